"""The rules of a source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from ledger.errors import Conflict, Invalid, NotFound, Refusal
from ledger.events.source import SourceGranted, SourceWithdrawn
from ledger.streams import source as sources
from tests.given_when_then import Rules, folded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.events.source import SourceEvent

given = Rules(sources.evolve).given
NOW = datetime(2027, 1, 31, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MOMENT = timedelta(microseconds=1)
GRANTED = SourceGranted(
    source="gateway/eu",
    principal="prn_1",
    principal_kind="service",
    scopes=("usage:write",),
    granted_at=NOW,
)
WITHDRAWN = SourceWithdrawn(source="gateway/eu", reason="moved", withdrawn_at=NOW + HOUR)
GRANTED_AGAIN = SourceGranted(
    source="gateway/eu",
    principal="prn_2",
    principal_kind="person",
    scopes=("write",),
    granted_at=NOW + 2 * HOUR,
)


def grant(
    state: sources.Source | None,
    source: str = "gateway/eu",
    scopes: Sequence[str] = ("usage:write",),
    now: datetime = NOW,
) -> Sequence[SourceEvent]:
    return sources.grant(state, source, "prn_1", "service", scopes, now)


def withdraw(
    state: sources.Source | None, reason: str = "moved", now: datetime = NOW + HOUR
) -> Sequence[SourceEvent]:
    return sources.withdraw(state, reason, now)


def test_a_source_is_granted_to_a_principal_with_its_scopes() -> None:
    state = given().when(grant).then(GRANTED).state
    assert (state.source, state.status) == ("gateway/eu", "granted")
    assert state.last == sources.Grant("prn_1", "service", ("usage:write",), NOW)


def test_scopes_are_kept_once_and_in_order() -> None:
    scopes = ("write", "usage:write", "write")
    state = given().when(lambda state: grant(state, scopes=scopes)).state
    assert state.last.scopes == ("usage:write", "write")


@pytest.mark.parametrize("scopes", [(), ("read",), ("admin",), ("usage:write", "everything")])
def test_a_source_may_write_and_nothing_else(scopes: tuple[str, ...]) -> None:
    given().when(lambda state: grant(state, scopes=scopes)).refused_with(Invalid, "scopes")


@pytest.mark.parametrize("source", ["", " ", "x" * 256, "nul\x00", "half \ud800"])
def test_a_source_outside_the_value_domain_is_refused(source: str) -> None:
    given().when(lambda state: grant(state, source)).refused_with(Invalid, "source")


def test_a_source_may_be_as_long_as_an_identity_is() -> None:
    assert given().when(lambda state: grant(state, "é" * 255)).state.source == "é" * 255


def test_a_source_that_is_granted_now_is_not_granted_over_it() -> None:
    given(GRANTED).when(grant).refused_with(Conflict)
    given(GRANTED, WITHDRAWN, GRANTED_AGAIN).when(grant).refused_with(Conflict)


def test_a_source_is_withdrawn_for_a_reason() -> None:
    state = given(GRANTED).when(withdraw).then(WITHDRAWN).state
    assert (state.status, state.last.withdrawn_at) == ("withdrawn", NOW + HOUR)
    given(GRANTED).when(lambda state: withdraw(state, "")).refused_with(Invalid, "reason")


def test_withdrawing_a_source_twice_changes_nothing() -> None:
    given(GRANTED, WITHDRAWN).when(withdraw).then_nothing()


def test_a_source_that_was_never_granted_cannot_be_withdrawn() -> None:
    given().when(withdraw).refused_with(NotFound)


def test_a_withdrawn_source_may_be_granted_again_to_another() -> None:
    outcome = given(GRANTED, WITHDRAWN).when(
        lambda state: sources.grant(state, "gateway/eu", "prn_2", "person", ("write",), NOW + 2 * HOUR)
    )
    state = outcome.then(GRANTED_AGAIN).state
    assert [one.principal for one in state.grants] == ["prn_1", "prn_2"]
    assert state.status == "granted"


# -- what a grant admits ------------------------------------------------------------------------------


def admitted(instant: datetime, *events: SourceEvent, scope: str = "usage:write") -> str | None:
    """Say who is taken to have done what the broker took at an instant."""
    found = sources.admits(folded(sources.evolve, events), scope, instant)
    return None if found is None else found.principal


def test_a_source_without_a_grant_is_not_admitted() -> None:
    assert admitted(NOW) is None


def test_a_grant_admits_from_its_instant_on_and_nothing_from_before() -> None:
    assert admitted(NOW - MOMENT, GRANTED) is None
    assert admitted(NOW, GRANTED) == "prn_1"
    assert admitted(NOW + 1_000 * HOUR, GRANTED) == "prn_1"


def test_a_withdrawal_does_not_undo_what_the_broker_took_before_it() -> None:
    assert admitted(NOW + HOUR - MOMENT, GRANTED, WITHDRAWN) == "prn_1"
    assert admitted(NOW + HOUR, GRANTED, WITHDRAWN) is None


def test_a_later_grant_neither_reaches_back_nor_hides_the_earlier_one() -> None:
    history = (GRANTED, WITHDRAWN, GRANTED_AGAIN)
    assert admitted(NOW, *history) == "prn_1"
    assert admitted(NOW + 2 * HOUR - MOMENT, *history) is None
    assert admitted(NOW + 2 * HOUR, *history) == "prn_2"


def test_a_grant_for_usage_admits_no_commands_and_one_for_writing_both() -> None:
    history = (GRANTED, WITHDRAWN, GRANTED_AGAIN)
    assert admitted(NOW, *history, scope="write") is None
    assert admitted(NOW + 2 * HOUR, *history, scope="write") == "prn_2"
    assert admitted(NOW + 2 * HOUR, *history, scope="usage:write") == "prn_2"


def test_a_clock_that_ran_backwards_leaves_no_grant_that_ends_before_it_begins() -> None:
    state = given(GRANTED).when(lambda state: withdraw(state, now=NOW - HOUR)).state
    assert state.last.withdrawn_at == NOW
    assert sources.admits(state, "usage:write", NOW - MOMENT) is None
    assert sources.admits(state, "usage:write", NOW) is None


def test_a_grant_on_a_clock_behind_the_last_withdrawal_s_begins_where_that_one_ended() -> None:
    state = given(GRANTED, WITHDRAWN).when(grant).state
    assert [one.granted_at for one in state.grants] == [NOW, NOW + HOUR]
    assert sources.admits(state, "usage:write", NOW) == state.grants[0]


def test_a_second_withdrawal_leaves_the_first_grant_as_it_was() -> None:
    history = (GRANTED, WITHDRAWN, GRANTED_AGAIN)
    state = given(*history).when(lambda state: withdraw(state, now=NOW + 3 * HOUR)).state
    assert state.grants[0] == given(GRANTED, WITHDRAWN).state.last
    assert (state.last.principal, state.last.withdrawn_at) == ("prn_2", NOW + 3 * HOUR)


@for_all(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), max_size=20))
def test_no_instant_lies_in_two_grants(history: list[tuple[bool, int]]) -> None:
    events: list[SourceEvent] = []
    # Clocks may run backwards between requests; grants follow one another all the same.
    for granting, hours in history:
        state, now = folded(sources.evolve, events), NOW + hours * HOUR
        try:
            events += grant(state, now=now) if granting else withdraw(state, now=now)
        except Refusal:
            continue
    state = folded(sources.evolve, events)
    grants = () if state is None else state.grants
    assert len(grants) == sum(isinstance(event, SourceGranted) for event in events)
    for hours in range(-6, 7):
        instant = NOW + hours * HOUR
        holding = [one for one in grants if one.holds_at(instant)]
        assert len(holding) <= 1
        assert sources.admits(state, "usage:write", instant) == (holding[0] if holding else None)
