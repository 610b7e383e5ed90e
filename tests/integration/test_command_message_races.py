"""Commands that come as messages: once per identity whatever races, and with their offset or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING, Any, cast

import pytest
from msgspec import structs

from commands.accounts import change_account, close_account
from commands.keys import revoke_key
from commands.plans import retire_plan
from commands.streams import account_stream
from consumers.command_messages import apply_command
from consumers.message import MAX_VALUE_BYTES
from ledger.errors import (
    AccountClosed,
    Invalid,
    KeyNotActive,
    MessageConflict,
    NotFound,
    PlanRetired,
    Refusal,
    TooLarge,
    Unavailable,
    VersionConflict,
)
from ledger.events.api_key import ApiKeySuspended
from ledger.identifiers import public_id
from tests.acme import NOON, Acme, InterruptedLog, LosingLog, a_plan, acme_on, an_account, at, events_of
from tests.examples import example_id
from tests.integration.message_world import (
    ACCOUNT,
    ADA,
    Feed,
    Nothing,
    OutOfTurn,
    Turn,
    a_customer,
    admitted_to,
    chosen_id,
    message_of,
    recorded_of,
    secret_data,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.store import Extra, Log
    from tests.postgres import Database


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database) as founded:
        yield founded


@pytest.fixture
def feed(acme: Acme, database: Database) -> Feed:
    return Feed(acme, database)


# -- once -----------------------------------------------------------------------------------------------


def test_a_copy_does_nothing_but_move_on(acme: Acme, feed: Feed) -> None:
    feed.apply(feed.command("account.register", ADA))
    before, handled = acme.log.head(), feed.handled
    feed.apply(feed.command("account.register", dict(reversed(ADA.items())), time="2027-01-01T00:00:00Z"))
    assert (acme.log.head(), feed.handled, feed.read_to) == (before, handled, 2)
    assert (handled[0]["source"], handled[0]["message_id"], handled[0]["position"]) == (
        "/signup",
        "1",
        before,
    )


def test_a_copy_is_one_even_if_it_would_be_refused_by_now(acme: Acme, feed: Feed) -> None:
    account = an_account(acme.live)
    change = feed.command("account.change", {"name": "A.", "version": 1}, account)
    feed.apply(change)
    close_account(acme.live, account, "gone")
    feed.apply(change)
    assert feed.read_to == 2


@pytest.mark.parametrize(
    "other", [{"data": {**ADA, "name": "Grace"}}, {"type": "daybook.account.close", "data": {}}]
)
def test_other_facts_under_a_known_identity_are_refused_with_where_it_stands(
    acme: Acme, feed: Feed, other: dict[str, Any]
) -> None:
    feed.apply(feed.command("account.register", {**ADA, "account": ACCOUNT}))
    before = acme.log.head()
    command = {**feed.command("account.register"), **other}
    if command["type"] == "daybook.account.close":
        command["subject"] = ACCOUNT
    with pytest.raises(MessageConflict) as refusal:
        feed.apply(command)
    assert (refusal.value.known_position, refusal.value.code) == (before, "message_conflict")
    assert (acme.log.head(), feed.read_to) == (before, 1)


def test_an_identity_is_of_its_source_and_book(acme: Acme, feed: Feed) -> None:
    feed.apply(feed.command("account.register", ADA))
    feed.apply(feed.command("account.register", {"name": "Grace"}, source="/other"))
    book = public_id("book", acme.test.book)
    feed.apply(feed.command("account.register", {"name": "Joan"}, book=book), context=acme.test)
    assert feed.read_to == 3


def test_a_command_that_changes_nothing_is_carried_out_all_the_same(acme: Acme, feed: Feed) -> None:
    account = an_account(acme.live)
    before = acme.log.head()
    feed.apply(feed.command("account.change", {"name": "Ada"}, account))
    assert (acme.log.head(), feed.read_to) == (before, 1)
    assert feed.handled[0]["position"] is None
    with pytest.raises(MessageConflict) as refusal:
        feed.apply(feed.command("account.change", {"name": "Grace"}, account))
    assert refusal.value.known_position is None


def test_no_name_can_be_guessed_from_what_is_kept_of_a_message(acme: Acme, feed: Feed) -> None:
    feed.apply(feed.command("account.register", ADA))
    elsewhere = replace(acme.settings, master_key=b"e" * 32)
    with pytest.raises(MessageConflict):
        feed.apply(feed.command("account.register", ADA), context=replace(acme.live, settings=elsewhere))


# -- at once --------------------------------------------------------------------------------------------


class MeetingLog:
    """A log at whose first append everybody waits for everybody else."""

    def __init__(self, log: Log, barrier: Barrier) -> None:
        self._log = log
        self._barrier: Barrier | None = barrier

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, *arguments: Any, **named: Any) -> list[int]:
        """Wait for the others, once."""
        barrier, self._barrier = self._barrier, None
        if barrier is not None:
            barrier.wait(10)
        return self._log.append(*arguments, **named)


def meet(acme: Acme, commands: list[dict[str, Any]]) -> list[Refusal | Nothing]:
    """Apply commands that all come to append at the same time."""
    barrier = Barrier(len(commands))

    def apply(command: dict[str, Any]) -> Refusal | Nothing:
        extra = Nothing()
        log = cast("Log", MeetingLog(acme.log, barrier))
        try:
            apply_command(log, acme.settings, message_of(command), admitted_to(acme.live), extra)
        except Refusal as refusal:
            return refusal
        return extra

    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(apply, commands))


@pytest.mark.parametrize("chosen", [{}, {"account": ACCOUNT}])
def test_copies_at_once_are_carried_out_once(acme: Acme, feed: Feed, chosen: dict[str, str]) -> None:
    before = acme.log.head()
    outcomes = meet(acme, [feed.command("account.register", {**ADA, **chosen})] * 3)
    assert all(isinstance(one, Nothing) and one.written == 1 for one in outcomes)
    assert len(recorded_of(acme, before)) == 1
    assert len(feed.handled) == 1


def test_of_other_facts_at_once_one_stands_and_the_other_sees_it(acme: Acme, feed: Feed) -> None:
    outcomes = meet(acme, [feed.command("account.register", {"name": name}) for name in ("Ada", "Grace")])
    (conflict,) = (one for one in outcomes if isinstance(one, Refusal))
    assert isinstance(conflict, MessageConflict)
    assert conflict.known_position == feed.handled[0]["position"] == acme.log.head()


def test_two_messages_that_choose_one_id_at_once_get_it_once(acme: Acme, feed: Feed) -> None:
    commands = [feed.command("account.register", {**ADA, "account": ACCOUNT}, id=one) for one in "12"]
    outcomes = meet(acme, commands)
    assert sorted(type(one).__name__ for one in outcomes) == ["IdTaken", "Nothing"]
    assert len(acme.log.load(acme.live.book, account_stream(ACCOUNT))) == 1


def test_a_copy_that_was_faster_is_no_refusal(acme: Acme, feed: Feed) -> None:
    command = feed.command("account.register", {**ADA, "account": ACCOUNT})

    class Slow:
        """A log in which a copy is carried out right after this one looked for it."""

        def __init__(self) -> None:
            self.done = False

        def __getattr__(self, name: str) -> Any:
            if name == "rows_of" and not self.done:
                self.done = True
                apply_command(acme.log, acme.settings, message_of(command), admitted_to(acme.live), Nothing())
            return getattr(acme.log, name)

    extra = Nothing()
    log = cast("Log", Slow())
    apply_command(log, acme.settings, message_of(command), admitted_to(acme.live), extra)
    assert extra.written == 1
    assert len(acme.log.load(acme.live.book, account_stream(ACCOUNT))) == 1


def test_a_race_for_a_version_is_decided_again(acme: Acme, feed: Feed) -> None:
    account = an_account(acme.live)
    log = InterruptedLog(
        acme.log, lambda: change_account(at(acme.live, NOON, "another"), account, {"email": None})
    )
    turn = feed.apply(feed.command("account.change", {"name": "A."}, account), log=cast("Log", log))
    assert (log.appends, turn.claimed, feed.read_to) == (2, 2, 1)
    assert len(acme.log.load(acme.live.book, account_stream(account))) == 3


def test_a_race_that_is_always_lost_may_be_run_again_later(acme: Acme, feed: Feed) -> None:
    account = an_account(acme.live)

    class AlwaysSecond:
        def __getattr__(self, name: str) -> Any:
            return getattr(acme.log, name)

        def append(self, *_: object) -> list[int]:
            message = "another writer reached the stream first"
            raise VersionConflict(message)

    with pytest.raises(Unavailable):
        feed.apply(feed.command("account.change", {"name": "A."}, account), log=cast("Log", AlwaysSecond()))


def test_a_version_that_is_stale_stays_refused(acme: Acme, feed: Feed) -> None:
    account = an_account(acme.live)
    with pytest.raises(VersionConflict):
        feed.apply(feed.command("account.change", {"name": "A.", "version": 2}, account))
    assert feed.read_to == 0


def test_the_same_event_of_another_message_with_the_same_cause_still_moves_on(acme: Acme, feed: Feed) -> None:
    # "/a/b" + "c" and "/a" + "b/c" name one cause: the log takes the second append for the first one's.
    _, key, _ = a_customer(acme.live, "Pro")
    first = feed.command("key.suspend", {"reason": "leaked"}, key, source="/a/b", id="c")
    second = {**first, "source": "/a", "id": "b/c"}
    log = InterruptedLog(
        acme.log,
        lambda: apply_command(acme.log, acme.settings, message_of(first), admitted_to(acme.live), Nothing()),
    )
    feed.apply(second, log=cast("Log", log))
    suspended = [one for one in events_of(acme) if isinstance(one, ApiKeySuspended)]
    assert (len(suspended), feed.read_to, len(feed.handled)) == (1, 1, 2)
    assert len({row["position"] for row in feed.handled}) == 1


# -- all or nothing -------------------------------------------------------------------------------------


def test_nothing_happens_out_of_turn(acme: Acme, feed: Feed) -> None:
    before = acme.log.head()
    command = feed.command("account.register", ADA)
    with pytest.raises(OutOfTurn):
        apply_command(acme.log, acme.settings, message_of(command), admitted_to(acme.live), Turn(5))
    assert (recorded_of(acme, before), feed.handled, feed.read_to) == ([], [], 0)


def test_nothing_moves_on_when_what_goes_with_it_fails(acme: Acme, feed: Feed) -> None:
    class Failing(Turn):
        def after(self, cursor: object, positions: object) -> None:  # noqa: ARG002 - Extra's shape
            raise OutOfTurn

    before = acme.log.head()
    extra: Extra = Failing(0)
    command = feed.command("account.register", ADA)
    with pytest.raises(OutOfTurn):
        apply_command(acme.log, acme.settings, message_of(command), admitted_to(acme.live), extra)
    assert (recorded_of(acme, before), feed.handled, feed.read_to) == ([], [], 0)


def test_an_answer_that_was_lost_is_found_by_the_next_try(acme: Acme, feed: Feed) -> None:
    command, losing = feed.command("account.register", ADA), LosingLog(acme.log)
    with pytest.raises(Unavailable):
        feed.apply(command, log=cast("Log", losing))
    assert feed.read_to == 1
    before = acme.log.head()
    feed.apply(command)
    assert (acme.log.head(), feed.read_to, len(feed.handled)) == (before, 2, 1)


def refused(acme: Acme, feed: Feed) -> dict[str, tuple[type[Refusal], dict[str, Any]]]:
    """Write commands that the books refuse, and what they are refused as."""
    account, key, subscription = a_customer(acme.live, "Pro")
    closed, retired = an_account(acme.live), a_plan(acme.live, name="Old")
    close_account(acme.live, closed, "gone")
    retire_plan(acme.live, retired, "replaced")
    revoke_key(acme.live, key, "leaked")
    elsewhere, _, other = a_customer(acme.test, "Pro")
    suffix = key.removeprefix("key_")
    write = feed.command
    return {
        "closed": (AccountClosed, write("account.change", {"name": "A."}, closed)),
        "closed for keys": (
            AccountClosed,
            write("key.issue", {"key": chosen_id("key"), **secret_data("x")}, closed),
        ),
        "retired": (PlanRetired, write("subscription.start", {"plan": retired}, account)),
        "revoked": (KeyNotActive, write("key.resume", {}, key)),
        "no account": (NotFound, write("account.close", {}, ACCOUNT)),
        "no plan": (NotFound, write("subscription.start", {"plan": example_id("plan")}, account)),
        "an account elsewhere": (NotFound, write("account.close", {}, elsewhere)),
        "a subscription elsewhere": (NotFound, write("subscription.renew", {}, other)),
        "a key for an account": (NotFound, write("account.close", {}, f"acc_{suffix}")),
        "a key for a plan": (NotFound, write("subscription.start", {"plan": f"plan_{suffix}"}, account)),
        "an account for a key": (NotFound, write("key.revoke", {}, account.replace("acc_", "key_"))),
        "a plan for a subscription": (
            NotFound,
            write("subscription.cancel", {}, retired.replace("plan_", "sub_")),
        ),
        "no currency": (Invalid, write("account.register", {"name": "A", "currency": "ZZZ"})),
        "another book": (Invalid, write("account.register", ADA, book=public_id("book", acme.test.book))),
        "not yet": (Refusal, write("subscription.renew", {}, subscription)),
    }


def test_a_refusal_leaves_nothing(acme: Acme, feed: Feed) -> None:
    for name, (kind, command) in refused(acme, feed).items():
        before = acme.log.head()
        with pytest.raises(kind):
            feed.apply(command)
        assert (acme.log.head(), feed.read_to, feed.handled) == (before, 0, []), name


def test_what_was_not_there_yet_is_done_once_it_is(feed: Feed) -> None:
    change = feed.command("account.change", {"name": "A."}, ACCOUNT)
    with pytest.raises(NotFound):
        feed.apply(change)
    feed.apply(feed.command("account.register", {**ADA, "account": ACCOUNT}, id="0"))
    feed.apply(change)
    assert feed.read_to == 2


def test_what_is_huge_is_refused_unread(acme: Acme, feed: Feed) -> None:
    message = message_of(feed.command("account.register", ADA, padding="x" * MAX_VALUE_BYTES))
    with pytest.raises(TooLarge):
        apply_command(acme.log, acme.settings, message, admitted_to(acme.live), Turn(0))


def test_a_message_without_a_value_is_refused(acme: Acme) -> None:
    message = message_of({})
    for value in (None, b""):
        with pytest.raises(Refusal):
            apply_command(
                acme.log,
                acme.settings,
                structs.replace(message, value=value),
                admitted_to(acme.live),
                Turn(0),
            )
