"""Setting an event aside that no projection can apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from commands.log import set_event_aside
from ledger.errors import Invalid, NotFound
from ledger.events.log import EventSetAside
from tests.acme import Acme, acme_on, events_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database) as founded:
        yield founded


def test_an_event_is_set_aside_once_for_a_reason(acme: Acme) -> None:
    position = acme.log.load(acme.live.book, acme.live.book)[0].position
    done = set_event_aside(acme.live, position, "cannot be read")
    assert done.result == EventSetAside(position=position, reason="cannot be read")
    assert set_event_aside(acme.live, position, "again").position is None
    assert events_of(acme)[-1] == done.result


def test_another_book_s_event_and_one_that_is_not_there_cannot_be_set_aside(acme: Acme) -> None:
    others = acme.log.load(acme.test.book, acme.test.book)[0].position
    for position in (others, 0, -1, 10**12):
        with pytest.raises(NotFound):
            set_event_aside(acme.live, position, "cannot be read")


def test_setting_an_event_aside_wants_a_reason(acme: Acme) -> None:
    with pytest.raises(Invalid) as refusal:
        set_event_aside(acme.live, 1, " ")
    assert set(refusal.value.errors) == {"reason"}
