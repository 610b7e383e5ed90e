"""The session's one broker, and topics of a test's own on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kafka.broker import Cluster, running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def kafka() -> Iterator[Cluster]:
    """Run one broker for the whole session; tests that kill brokers run their own."""
    with running_cluster() as cluster:
        yield cluster
