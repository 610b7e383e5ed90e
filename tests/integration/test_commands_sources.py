"""Sources from command to log: granted once at a time, to a principal of the book, and withdrawn."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from commands.principals import register_principal
from commands.sources import grant_source, withdraw_source
from ledger.errors import Conflict, Invalid, NotFound
from ledger.events.source import SourceGranted
from ledger.identifiers import source_stream
from ledger.streams import source as sources
from ledger.streams.base import fold
from tests.acme import NOON, Acme, acme_on, at, at_once, interrupted, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commands.context import Context
    from ledger.events import Recorded
    from ledger.streams.source import Source
    from tests.postgres import Database

HOUR = timedelta(hours=1)
USAGE = ("usage:write",)


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database) as founded:
        yield founded


@pytest.fixture
def gateway(acme: Acme) -> str:
    """Register a service in the live book."""
    return register_principal(acme.live, "service", "Gateway").result.principal


def recorded(context: Context) -> list[Recorded]:
    return context.log.load(context.book, source_stream(context.book, "gateway/eu"))


def loaded(context: Context) -> Source:
    return sources.require(fold(sources.evolve, recorded(context)).state)


def test_a_source_is_granted_to_a_principal_of_the_book(acme: Acme, gateway: str) -> None:
    done = grant_source(acme.live, "gateway/eu", gateway, ("write", "usage:write"))
    assert known(done.result).status == "granted"
    assert done.position is not None
    (only,) = recorded(acme.live)
    assert only.event == SourceGranted(
        source="gateway/eu",
        principal=gateway,
        principal_kind="service",
        scopes=("usage:write", "write"),
        granted_at=NOON,
    )


def test_a_withdrawal_is_read_back_with_the_grant_it_ends(acme: Acme, gateway: str) -> None:
    grant_source(acme.live, "gateway/eu", gateway, USAGE)
    withdraw_source(at(acme.live, NOON + HOUR), "gateway/eu", "moved")
    grant_source(at(acme.live, NOON + 2 * HOUR), "gateway/eu", acme.live.actor.principal, USAGE)
    source = loaded(acme.live)
    assert [
        None if found is None else found.principal_kind
        for hours in (-1, 0, 1, 2)
        for found in [sources.admits(source, "usage:write", NOON + hours * HOUR)]
    ] == [None, "service", None, "person"]


def test_a_source_that_is_granted_is_not_granted_again(acme: Acme, gateway: str) -> None:
    grant_source(acme.live, "gateway/eu", gateway, USAGE)
    with pytest.raises(Conflict, match="granted already"):
        grant_source(acme.live, "gateway/eu", gateway, USAGE)
    assert len(recorded(acme.live)) == 1


def test_of_two_who_grant_a_source_at_once_one_is_refused(acme: Acme, gateway: str) -> None:
    other = acme.live.actor.principal
    sooner = at(acme.live, NOON, "another request")
    context, log = interrupted(acme.live, lambda: grant_source(sooner, "gateway/eu", other, USAGE))
    with pytest.raises(Conflict, match="granted already"):
        grant_source(context, "gateway/eu", gateway, USAGE)
    assert log.appends == 1
    assert loaded(acme.live).last.principal == other


def test_of_many_who_grant_a_source_at_once_one_succeeds(acme: Acme, gateway: str) -> None:
    contexts = [at(acme.live, NOON, f"request {number}") for number in range(8)]
    answers = at_once(lambda context: grant_source(context, "gateway/eu", gateway, USAGE), contexts)
    assert [type(answer) for answer in answers].count(Conflict) == 7
    assert len(recorded(acme.live)) == 1


def test_withdrawing_twice_appends_nothing(acme: Acme, gateway: str) -> None:
    grant_source(acme.live, "gateway/eu", gateway, USAGE)
    withdraw_source(acme.live, "gateway/eu", "moved")
    again = withdraw_source(acme.live, "gateway/eu", "moved")
    assert (again.position, known(again.result).status) == (None, "withdrawn")
    assert len(recorded(acme.live)) == 2


@pytest.mark.parametrize("principal", ["prn_01h455vb4pex5vsknk084sn02q", "prn_nonsense", "installer", ""])
def test_a_source_is_not_granted_to_nobody(acme: Acme, principal: str) -> None:
    with pytest.raises(NotFound):
        grant_source(acme.live, "gateway/eu", principal, USAGE)
    assert recorded(acme.live) == []


def test_a_source_is_not_granted_to_a_principal_of_another_book(acme: Acme) -> None:
    stranger = register_principal(acme.test, "service", "Gateway").result.principal
    with pytest.raises(NotFound):
        grant_source(acme.live, "gateway/eu", stranger, USAGE)


def test_a_source_belongs_to_each_book_on_its_own(acme: Acme, gateway: str) -> None:
    grant_source(acme.live, "gateway/eu", gateway, USAGE)
    with pytest.raises(NotFound):
        withdraw_source(acme.test, "gateway/eu", "moved")
    grant_source(acme.test, "gateway/eu", acme.test.actor.principal, ("write",))
    assert loaded(acme.live).last.scopes == ("usage:write",)
    assert loaded(acme.test).last.scopes == ("write",)


@pytest.mark.parametrize("source", ["", "x" * 256, "nul\x00", "half \ud800"])
def test_a_source_outside_the_value_domain_is_refused_by_name(acme: Acme, gateway: str, source: str) -> None:
    with pytest.raises(Invalid) as granting:
        grant_source(acme.live, source, gateway, USAGE)
    with pytest.raises(Invalid) as withdrawing:
        withdraw_source(acme.live, source, "moved")
    assert set(granting.value.errors) == set(withdrawing.value.errors) == {"source"}
