"""The rules of an API key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from ledger.errors import Invalid, KeyNotActive, NotFound, Refusal
from ledger.events.api_key import (
    ApiKeyExpired,
    ApiKeyIssued,
    ApiKeyResumed,
    ApiKeyRevoked,
    ApiKeyRotated,
    ApiKeySuspended,
)
from ledger.streams import api_key as keys
from tests.given_when_then import Rules, folded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ledger.events.api_key import ApiKeyEvent

given = Rules(keys.evolve).given
NOW = datetime(2027, 1, 31, 12, 0, tzinfo=UTC)
TOMORROW = NOW + timedelta(days=1)
SECRET = keys.Secret("hash one", 1, "aaaa")
OTHER_SECRET = keys.Secret("hash two", 2, "bbbb")
ISSUED = ApiKeyIssued(
    key="key_1",
    owner="acc_1",
    name="Server",
    scopes=("read",),
    secret_hash="hash one",
    pepper_version=1,
    hint="aaaa",
    expires_at=TOMORROW,
)
SUSPENDED = ApiKeySuspended(key="key_1", owner="acc_1", reason="leaked?")
RESUMED = ApiKeyResumed(key="key_1", owner="acc_1")
REVOKED = ApiKeyRevoked(key="key_1", owner="acc_1", reason="leaked")
EXPIRED = ApiKeyExpired(key="key_1", owner="acc_1")
ROTATED = ApiKeyRotated(key="key_1", owner="acc_1", secret_hash="hash two", pepper_version=2, hint="bbbb")


def issue(
    owner: str = "acc_1",
    name: str = "Server",
    scopes: Sequence[str] = ("read",),
    expires_at: datetime | None = TOMORROW,
) -> Sequence[ApiKeyEvent]:
    return keys.issue("key_1", owner, name, scopes, SECRET, expires_at, NOW)


def rotate(state: keys.ApiKey | None) -> Sequence[ApiKeyEvent]:
    return keys.rotate(state, OTHER_SECRET, NOW)


def suspend(state: keys.ApiKey | None) -> Sequence[ApiKeyEvent]:
    return keys.suspend(state, "leaked?", NOW)


def resume(state: keys.ApiKey | None) -> Sequence[ApiKeyEvent]:
    return keys.resume(state, NOW)


def revoke(state: keys.ApiKey | None) -> Sequence[ApiKeyEvent]:
    return keys.revoke(state, "leaked")


def test_a_key_is_issued_active_and_the_secret_is_nowhere() -> None:
    state = given().when(lambda _: issue()).then(ISSUED).state
    assert (state.status, state.secret_hash, state.hint) == ("active", "hash one", "aaaa")


def test_scopes_are_kept_once_and_in_order() -> None:
    state = given().when(lambda _: issue("prn_1", scopes=("admin", "read", "admin"))).state
    assert state.scopes == ("read", "admin")


@pytest.mark.parametrize("scopes", [(), ("write",), ("admin",), ("read", "everything")])
def test_an_account_s_own_key_never_gets_more_than_reading_and_usage(scopes: tuple[str, ...]) -> None:
    given().when(lambda _: issue("acc_1", scopes=scopes)).refused_with(Invalid, "scopes")


@pytest.mark.parametrize("scope", keys.SCOPES)
def test_an_operator_s_key_may_have_any_scope(scope: str) -> None:
    assert given().when(lambda _: issue("prn_1", scopes=(scope,))).state.scopes == (scope,)


def test_a_nameless_key_is_refused() -> None:
    given().when(lambda _: issue(name="")).refused_with(Invalid, "name")


@pytest.mark.parametrize("expires_at", [NOW, NOW - timedelta(microseconds=1)])
def test_a_key_that_has_expired_already_is_refused(expires_at: datetime) -> None:
    given().when(lambda _: issue(expires_at=expires_at)).refused_with(Invalid, "expires_at")


@pytest.mark.parametrize("expires_at", [TOMORROW.replace(tzinfo=None), datetime(2200, 1, 1, tzinfo=UTC)])
def test_an_expiry_outside_the_value_domain_is_refused(expires_at: datetime) -> None:
    given().when(lambda _: issue(expires_at=expires_at)).refused_with(Invalid, "expires_at")


def test_an_expiry_given_in_another_zone_is_kept_in_utc() -> None:
    in_tokyo = TOMORROW.astimezone(timezone(timedelta(hours=9)))
    kept = given().when(lambda _: issue(expires_at=in_tokyo)).state.expires_at
    assert kept is not None
    assert (kept, kept.tzinfo) == (TOMORROW, UTC)


def test_a_key_may_live_for_ever() -> None:
    assert given().when(lambda _: issue(expires_at=None)).state.expires_at is None


def test_a_rotated_key_has_the_new_secret_only() -> None:
    state = given(ISSUED).when(rotate).then(ROTATED).state
    assert (state.secret_hash, state.pepper_version, state.hint) == ("hash two", 2, "bbbb")


def test_a_suspended_key_is_rotated_without_being_resumed() -> None:
    assert given(ISSUED, SUSPENDED).when(rotate).state.status == "suspended"


def test_a_key_is_suspended_for_a_reason() -> None:
    state = given(ISSUED).when(suspend).then(SUSPENDED).state
    assert (state.status, state.reason) == ("suspended", "leaked?")
    given(ISSUED).when(lambda state: keys.suspend(state, "", NOW)).refused_with(Invalid, "reason")


def test_suspending_a_key_twice_changes_nothing() -> None:
    given(ISSUED, SUSPENDED).when(suspend).then_nothing()


def test_a_suspended_key_is_resumed() -> None:
    state = given(ISSUED, SUSPENDED).when(resume).then(RESUMED).state
    assert (state.status, state.reason) == ("active", None)


def test_resuming_an_active_key_changes_nothing() -> None:
    given(ISSUED).when(resume).then_nothing()


def test_a_key_is_revoked_for_a_reason() -> None:
    state = given(ISSUED).when(revoke).then(REVOKED).state
    assert (state.status, state.reason) == ("revoked", "leaked")
    given(ISSUED).when(lambda state: keys.revoke(state, "")).refused_with(Invalid, "reason")


def test_revoking_a_key_twice_changes_nothing() -> None:
    given(ISSUED, REVOKED).when(revoke).then_nothing()


def test_an_expired_key_can_still_be_revoked() -> None:
    given(ISSUED, EXPIRED).when(revoke).then(REVOKED)


@pytest.mark.parametrize("decide", [rotate, suspend, resume])
@pytest.mark.parametrize("end", [REVOKED, EXPIRED])
def test_a_key_that_ended_takes_no_changes(
    decide: Callable[[keys.ApiKey | None], Sequence[ApiKeyEvent]], end: ApiKeyEvent
) -> None:
    given(ISSUED, end).when(decide).refused_with(KeyNotActive)


def test_a_key_whose_time_ran_out_takes_no_changes_even_before_that_is_recorded() -> None:
    given(ISSUED).when(lambda state: keys.resume(state, TOMORROW)).refused_with(KeyNotActive)


@pytest.mark.parametrize("decide", [rotate, suspend, resume, revoke, lambda state: keys.expire(state, NOW)])
def test_an_unknown_key_cannot_change(
    decide: Callable[[keys.ApiKey | None], Sequence[ApiKeyEvent]],
) -> None:
    given().when(decide).refused_with(NotFound)


@pytest.mark.parametrize("before", [(ISSUED,), (ISSUED, SUSPENDED)])
def test_an_expiry_is_recorded_once_its_instant_has_come(before: tuple[ApiKeyEvent, ...]) -> None:
    a_moment_before = TOMORROW - timedelta(microseconds=1)
    given(*before).when(lambda state: keys.expire(state, a_moment_before)).then_nothing()
    outcome = given(*before).when(lambda state: keys.expire(state, TOMORROW)).then(EXPIRED)
    assert outcome.state.status == "expired"


@pytest.mark.parametrize("end", [REVOKED, EXPIRED])
def test_a_key_that_ended_does_not_expire_again(end: ApiKeyEvent) -> None:
    given(ISSUED, end).when(lambda state: keys.expire(state, TOMORROW)).then_nothing()


def test_a_key_without_an_expiry_never_expires() -> None:
    for_ever = given().when(lambda _: issue(expires_at=None)).state
    assert keys.expire(for_ever, TOMORROW) == []
    assert keys.status_at(for_ever, datetime(2199, 1, 1, tzinfo=UTC)) == "active"


def test_an_expiry_holds_from_its_instant_on_recorded_or_not() -> None:
    key = given(ISSUED).state
    assert keys.status_at(key, TOMORROW - timedelta(microseconds=1)) == "active"
    assert keys.status_at(key, TOMORROW) == "expired"
    assert keys.status_at(given(ISSUED, SUSPENDED).state, TOMORROW) == "expired"
    assert keys.status_at(given(ISSUED, REVOKED).state, TOMORROW) == "revoked"


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        ("read", {"read"}),
        ("usage:write", {"usage:write"}),
        ("write", {"write", "read", "usage:write"}),
        ("admin", {"admin", "write", "read", "usage:write"}),
    ],
)
def test_a_wider_scope_grants_the_narrower_ones(scope: str, granted: set[str]) -> None:
    assert keys.granted(given().when(lambda _: issue("prn_1", scopes=(scope,))).state) == granted


requests = st.lists(
    st.tuples(
        st.sampled_from(["rotate", "suspend", "resume", "revoke", "expire"]), st.integers(0, 48 * 3600)
    ),
    max_size=30,
)


def decision(request: str, state: keys.ApiKey | None, now: datetime) -> Sequence[ApiKeyEvent]:
    match request:
        case "rotate":
            return keys.rotate(state, OTHER_SECRET, now)
        case "suspend":
            return keys.suspend(state, "why", now)
        case "resume":
            return keys.resume(state, now)
        case "revoke":
            return keys.revoke(state, "why")
        case _:
            return keys.expire(state, now)


@for_all(requests)
def test_a_key_that_was_revoked_or_expired_never_opens_again(history: list[tuple[str, int]]) -> None:
    events: list[ApiKeyEvent] = [ISSUED]
    revoked = False
    # Clocks may run backwards between requests; an end must hold all the same.
    for request, seconds in history:
        now = NOW + timedelta(seconds=seconds)
        try:
            events += decision(request, folded(keys.evolve, events), now)
        except Refusal:
            continue
        finally:
            state = folded(keys.evolve, events)
            assert state is not None
        revoked = revoked or request == "revoke"
        assert not revoked or state.status == "revoked"
        assert keys.status_at(state, TOMORROW) != "active"
        ended = any(isinstance(event, ApiKeyRevoked | ApiKeyExpired) for event in events)
        assert not ended or keys.status_at(state, NOW) not in ("active", "suspended")
