"""Made-up requests, many and odd: none may break the service or get an answer that is not documented."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.http_world import http_world
from tests.postgres import temporary_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.http_world import HttpWorld

_EXAMPLES = 25


@pytest.fixture(scope="module")
def world(server_url: str, template_database: str) -> Iterator[HttpWorld]:
    with temporary_database(server_url, template_database) as database, http_world(database) as made:
        yield made
