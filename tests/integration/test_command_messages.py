"""Commands that come as messages: what HTTP does, they do; ids and secrets are their senders' own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from commands.accounts import change_account, close_account, register_account
from commands.context import Context
from commands.keys import check_key, issue_key, resume_key, revoke_key, suspend_key
from commands.streams import account_stream
from commands.subscriptions import (
    Wish,
    advance_subscription,
    cancel_subscription,
    change_subscription,
    subscribe,
)
from ledger.errors import Forbidden, IdTaken, Invalid, Unauthenticated
from ledger.events.account import AccountRegistered
from ledger.events.api_key import ApiKeyRotated
from ledger.events.subscription import SubscriptionStarted
from ledger.identifiers import stream_of
from tests.acme import NOON, Acme, a_plan, acme_on, an_account, at, events_of
from tests.integration.message_world import (
    ACCOUNT,
    ADA,
    LATER,
    Feed,
    a_customer,
    chosen_id,
    recorded_of,
    secret_data,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.events import Event
    from tests.postgres import Database

NEXT_MONTH = NOON + timedelta(days=40)


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database) as founded:
        yield founded


@pytest.fixture
def feed(acme: Acme, database: Database) -> Feed:
    return Feed(acme, database)


def said(acme: Acme, after: int) -> list[dict[str, Any]]:
    """Say what was appended after a position, without the ids that differ from one time to another."""
    events = [one.event for one in recorded_of(acme, after)]
    names: dict[str, str] = {}
    return [{"topic": event.topic, **_nameless(asdict(event), names)} for event in events]


def _nameless(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _nameless(below, names) for name, below in value.items() if name not in _VARYING}
    if isinstance(value, tuple | list):
        return [_nameless(below, names) for below in value]
    if isinstance(value, str) and len(value.rpartition("_")[2]) == 26:
        return names.setdefault(value, f"{value.partition('_')[0]} {len(names)}")
    return value


# Numbers and positions go up; a secret's hash is of the secret.
_VARYING = ("computed_at_position", "description", "formatted_number", "hint", "number", "secret_hash")


# -- what HTTP does, messages do ------------------------------------------------------------------------

Command = Callable[[Context, str, str, str], object]
Written = Callable[[str, str, str], tuple[str, dict[str, Any] | None, str | None]]

# What is asked for over HTTP and as a message, given an account, its key and its subscription.
SAME: dict[str, tuple[Command, Written]] = {
    "account.change": (
        lambda to, account, _key, _sub: change_account(to, account, {"name": "A.", "email": None}, 1),
        lambda account, _key, _sub: ("account.change", {"name": "A.", "email": None, "version": 1}, account),
    ),
    "account.close": (
        lambda to, account, _key, _sub: close_account(to, account, "asked for by an operator"),
        lambda account, _key, _sub: ("account.close", None, account),
    ),
    "key.issue": (
        lambda to, account, _key, _sub: issue_key(to, "live", account, "API key", ("usage:write",), None),
        lambda account, _key, _sub: ("key.issue", {"key": chosen_id("key"), **secret_data("x")}, account),
    ),
    "key.suspend": (
        lambda to, _account, key, _sub: suspend_key(to, key, "leaked"),
        lambda _account, key, _sub: ("key.suspend", {"reason": "leaked"}, key),
    ),
    "key.resume": (
        lambda to, _account, key, _sub: resume_key(to, key),
        lambda _account, key, _sub: ("key.resume", {}, key),
    ),
    "key.revoke": (
        lambda to, _account, key, _sub: revoke_key(to, key, "revoked by an operator"),
        lambda _account, key, _sub: ("key.revoke", None, key),
    ),
    "subscription.cancel": (
        lambda to, _account, _key, sub: cancel_subscription(to, sub),
        lambda _account, _key, sub: ("subscription.cancel", None, sub),
    ),
    "subscription.cancel now": (
        lambda to, _account, _key, sub: cancel_subscription(to, sub, at_period_end=False),
        lambda _account, _key, sub: ("subscription.cancel", {"at_period_end": False}, sub),
    ),
    "subscription.renew": (
        lambda to, _account, _key, sub: advance_subscription(at(to, NEXT_MONTH), sub),
        lambda _account, _key, sub: ("subscription.renew", None, sub),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_a_message_does_what_http_does(acme: Acme, feed: Feed, name: str) -> None:
    over_http, written = SAME[name]
    now = NEXT_MONTH if name == "subscription.renew" else LATER
    over, through = a_customer(acme.live, "Pro"), a_customer(acme.live, "Pro")
    if name == "key.resume":
        for _, key, _ in (over, through):
            suspend_key(acme.live, key, "for now")
    before = acme.log.head()
    over_http(at(acme.live, now), *over)
    expected, middle = said(acme, before), acme.log.head()
    kind, data, subject = written(*through)
    feed.apply(feed.command(kind, data, subject), now=now)
    assert expected
    assert said(acme, middle) == expected
    assert feed.read_to == 1


def test_a_registration_does_what_http_does(acme: Acme, feed: Feed) -> None:
    before = acme.log.head()
    register_account(at(acme.live, LATER), "Ada", "ada@example.com", "USD")
    expected, middle = said(acme, before), acme.log.head()
    feed.apply(feed.command("account.register", ADA))
    assert said(acme, middle) == expected


def test_a_subscription_does_what_http_does(acme: Acme, feed: Feed) -> None:
    plan, first, second = a_plan(acme.live), an_account(acme.live), an_account(acme.live)
    before = acme.log.head()
    subscribe(at(acme.live, LATER), first, plan)
    expected, middle = said(acme, before), acme.log.head()
    feed.apply(feed.command("subscription.start", {"plan": plan}, second))
    assert expected[0]["topic"] == SubscriptionStarted.topic
    assert [one["topic"] for one in said(acme, middle)] == [one["topic"] for one in expected]


@pytest.mark.parametrize("at_period_end", [True, False])
def test_a_change_of_plan_does_what_http_does(acme: Acme, feed: Feed, *, at_period_end: bool) -> None:
    (_, _, over), (_, _, through) = a_customer(acme.live, "Pro"), a_customer(acme.live, "Pro")
    plan = a_plan(acme.live, 9900, "Team")
    before = acme.log.head()
    change_subscription(at(acme.live, LATER), over, Wish(plan=plan, at_period_end=at_period_end))
    expected, middle = said(acme, before), acme.log.head()
    feed.apply(feed.command("subscription.change", {"plan": plan, "at_period_end": at_period_end}, through))
    assert said(acme, middle) == expected


def test_every_event_says_which_message_it_comes_from(acme: Acme, feed: Feed) -> None:
    before = acme.log.head()
    feed.apply(feed.command("account.register", ADA, id="7"))
    (one,) = recorded_of(acme, before)
    assert one.metadata.cause == "message:/signup/7"
    assert one.metadata.actor == replace(acme.live.actor, key=None)
    assert (one.metadata.occurred_at, one.metadata.booked_at) == (LATER, LATER)


# -- ids and secrets ------------------------------------------------------------------------------------


def test_an_account_has_the_id_that_was_chosen_for_it(acme: Acme, feed: Feed) -> None:
    feed.apply(feed.command("account.register", {**ADA, "account": ACCOUNT}))
    (one,) = acme.log.load(acme.live.book, account_stream(ACCOUNT))
    assert isinstance(one.event, AccountRegistered)
    assert (one.event.account, one.event.name, one.event.email) == (ACCOUNT, "Ada", "ada@example.com")


def test_a_chosen_subscription_can_be_changed_by_the_next_message(acme: Acme, feed: Feed) -> None:
    account, chosen = an_account(acme.live), chosen_id("sub")
    feed.apply(
        feed.command("subscription.start", {"plan": a_plan(acme.live), "subscription": chosen}, account)
    )
    feed.apply(feed.command("subscription.cancel", {}, chosen, id="2"))
    assert feed.read_to == 2


def test_an_id_that_is_taken_is_refused_whoever_has_it(acme: Acme, feed: Feed) -> None:
    # An id of the same book, one of another book that nobody here can see, and one of another kind of thing.
    account, key, _ = a_customer(acme.live, "Pro")
    suffix = key.removeprefix("key_")
    for taken in (account, an_account(acme.test), f"acc_{suffix}"):
        before = acme.log.head()
        with pytest.raises(IdTaken, match=taken):
            feed.apply(feed.command("account.register", {**ADA, "account": taken}))
        assert recorded_of(acme, before) == []
    assert (feed.read_to, feed.handled) == (0, [])


def test_a_subscription_s_and_a_key_s_taken_ids_are_refused(acme: Acme, feed: Feed) -> None:
    account, plan = an_account(acme.live), a_plan(acme.live)
    _, other_key, other_subscription = a_customer(acme.test, "Pro")
    with pytest.raises(IdTaken):
        feed.apply(
            feed.command("subscription.start", {"plan": plan, "subscription": other_subscription}, account)
        )
    with pytest.raises(IdTaken):
        feed.apply(feed.command("key.issue", {"key": other_key, **secret_data("x")}, account))
    assert feed.read_to == 0


def test_an_id_made_for_a_message_depends_on_who_asks_and_where(acme: Acme, feed: Feed) -> None:
    before = acme.log.head()
    for identity in ({}, {"id": "2"}, {"source": "/other"}):
        feed.apply(feed.command("account.register", ADA, **identity))
    made = {
        one.event.account for one in recorded_of(acme, before) if isinstance(one.event, AccountRegistered)
    }
    assert len(made) == 3
    assert all(stream_of("acc", one).version == 4 for one in made)


def test_a_key_whose_hash_came_opens_with_the_secret_that_did_not(acme: Acme, feed: Feed) -> None:
    account, key = an_account(acme.live), chosen_id("key")
    first, second = (f"dbk_live_{key.removeprefix('key_')}{random * 32}" for random in "ab")
    feed.apply(feed.command("key.issue", {"key": key, **secret_data(first), "scopes": ["read"]}, account))
    checked = check_key(acme.log, acme.settings, first, LATER)
    assert (checked.book, checked.key.owner, checked.key.hint) == (acme.live.book, account, "abcd")
    assert checked.scopes == {"read"}
    feed.apply(feed.command("key.rotate", secret_data(second), key, id="2"))
    assert check_key(acme.log, acme.settings, second, LATER).key.key == key
    with pytest.raises(Unauthenticated):
        check_key(acme.log, acme.settings, first, LATER)


def test_a_principal_s_key_is_out_of_a_source_s_reach(acme: Acme, feed: Feed) -> None:
    key = str(acme.live.actor.key)
    before = acme.log.head()
    for name, data in (
        ("key.suspend", {}),
        ("key.resume", {}),
        ("key.revoke", {}),
        ("key.rotate", secret_data("x")),
    ):
        with pytest.raises(Forbidden):
            feed.apply(feed.command(name, data, key))
    assert (acme.log.head(), feed.read_to) == (before, 0)


def test_an_account_s_key_gets_no_scope_of_an_operator_s(acme: Acme, feed: Feed) -> None:
    data = {"key": chosen_id("key"), **secret_data("x"), "scopes": ["admin"]}
    with pytest.raises(Invalid):
        feed.apply(feed.command("key.issue", data, an_account(acme.live)))


def test_no_secret_s_hash_as_it_travels_is_kept(acme: Acme, feed: Feed) -> None:
    _, key, _ = a_customer(acme.live, "Pro")
    data = secret_data("secret")
    feed.apply(feed.command("key.rotate", data, key))
    rotated: list[Event] = [one for one in events_of(acme) if isinstance(one, ApiKeyRotated)]
    assert rotated
    assert all(data["secret_sha256"] not in str(one) for one in rotated)
    assert data["secret_sha256"] not in str(feed.handled)
