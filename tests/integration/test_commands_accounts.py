"""Accounts from command to log: who did what, when, and who was first."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest

from commands.accounts import change_account, close_account, register_account
from commands.plans import create_plan, retire_plan
from commands.principals import register_principal
from commands.streams import account_stream
from ledger.errors import AccountClosed, Conflict, Invalid, NotFound, Unavailable, VersionConflict
from ledger.events.account import AccountRegistered
from tests.acme import (
    NOON,
    Acme,
    LosingLog,
    a_plan,
    acme_on,
    an_account,
    at,
    counting_bytes,
    interrupted,
    known,
    noting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.store import Log
    from tests.postgres import Database

LATER = NOON + timedelta(days=1)


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database) as founded:
        yield founded


def test_an_account_is_registered_changed_and_closed(acme: Acme) -> None:
    account = an_account(acme.live)
    changed = change_account(at(acme.live, LATER), account, {"name": "Ada L.", "email": None})
    assert (known(changed.result).name, known(changed.result).email) == ("Ada L.", None)
    closed = close_account(at(acme.live, LATER), account, "moved away").result
    assert (known(closed).status, known(closed).closed_at, closed.version) == ("closed", LATER, 4)
    assert (closed.created_at, closed.changed_at) == (NOON, LATER)


def test_every_event_says_who_did_it_why_and_when(acme: Acme) -> None:
    done = register_account(at(acme.live, LATER, "request 7"), "Ada", None)
    assert done.position is not None
    (recorded,) = acme.log.at_positions(acme.live.book, [done.position])
    assert isinstance(recorded.event, AccountRegistered)
    assert (recorded.metadata.actor, recorded.metadata.cause) == (acme.live.actor, "request 7")
    assert (recorded.metadata.occurred_at, recorded.metadata.booked_at) == (LATER, LATER)


def test_a_change_that_changes_nothing_reaches_no_position(acme: Acme) -> None:
    account = an_account(acme.live)
    assert change_account(acme.live, account, {"name": "Ada"}).position is None


@pytest.mark.parametrize("account", ["acc_unknown", "key_01h455vb4pex5vsknk084sn02q", "", "acc_" + "z" * 26])
def test_an_id_that_names_no_account_is_not_found(acme: Acme, account: str) -> None:
    with pytest.raises(NotFound):
        change_account(acme.live, account, {"name": "A"})
    with pytest.raises(NotFound):
        close_account(acme.live, account, "why", version=1)


def test_another_book_s_account_is_not_found(acme: Acme) -> None:
    account = an_account(acme.live)
    with pytest.raises(NotFound):
        change_account(acme.test, account, {"name": "A"})
    with pytest.raises(NotFound):
        close_account(acme.test, account, "why")


def test_a_closed_account_refuses_changes(acme: Acme) -> None:
    account = an_account(acme.live)
    close_account(acme.live, account, "moved away")
    with pytest.raises(AccountClosed):
        change_account(acme.live, account, {"name": "A"})


def test_a_stale_version_is_refused_as_a_conflict(acme: Acme) -> None:
    account = an_account(acme.live)
    change_account(acme.live, account, {"name": "A"}, version=1)
    for stale in (0, 1, 3):
        with pytest.raises(VersionConflict) as refusal:
            change_account(acme.live, account, {"name": "B"}, version=stale)
        assert isinstance(refusal.value, Conflict)
        assert refusal.value.code == "stale_version"
    with pytest.raises(VersionConflict):
        close_account(acme.live, account, "why", version=1)
    assert close_account(acme.live, account, "why", version=2).result.version == 3


@pytest.mark.parametrize("cause", ["another request", "request"], ids=["another cause", "the same cause"])
def test_a_version_that_goes_stale_while_it_is_decided_is_refused(acme: Acme, cause: str) -> None:
    account = an_account(acme.live)
    first = at(acme.live, NOON, cause)
    context, log = interrupted(acme.live, lambda: change_account(first, account, {"name": "First"}))
    with pytest.raises(VersionConflict):
        change_account(context, account, {"name": "Second"}, version=1)
    assert log.appends == 1
    assert [
        recorded.stream_version for recorded in acme.log.load(acme.live.book, account_stream(account))
    ] == [1, 2]


def test_a_change_without_a_version_is_decided_again_on_what_is_there_now(acme: Acme) -> None:
    account = an_account(acme.live)
    other = at(acme.live, NOON, "another request")
    context, log = interrupted(acme.live, lambda: change_account(other, account, {"email": "first@b.c"}))
    changed = change_account(context, account, {"name": "Second"}).result
    assert (known(changed).name, known(changed).email) == ("Second", "first@b.c")
    assert (changed.version, log.appends) == (3, 2)


def test_a_command_that_always_loses_gives_up(acme: Acme) -> None:
    account = an_account(acme.live)
    tries = 0

    class AlwaysSecond:
        def __getattr__(self, name: str) -> object:
            return getattr(acme.log, name)

        def append(self, *_: object) -> list[int]:
            nonlocal tries
            tries += 1
            message = "another writer reached the stream first"
            raise VersionConflict(message)

    with pytest.raises(VersionConflict):
        change_account(replace(acme.live, log=cast("Log", AlwaysSecond())), account, {"name": "A"})
    assert tries == 50


def test_an_answer_that_was_lost_can_be_asked_for_again(acme: Acme) -> None:
    losing = LosingLog(acme.log)
    first = replace(acme.live, log=cast("Log", losing), cause="request 7", random_bytes=counting_bytes())
    with pytest.raises(Unavailable):
        register_account(first, "Ada", "ada@example.com")
    again = register_account(replace(first, random_bytes=counting_bytes()), "Ada", "ada@example.com")
    assert losing.positions == [again.position]
    assert len(acme.log.load(acme.live.book, account_stream(known(again.result).account))) == 1


def test_the_same_append_of_another_cause_is_a_conflict(acme: Acme) -> None:
    register_account(replace(acme.live, cause="one", random_bytes=counting_bytes()), "Ada", None)
    with pytest.raises(VersionConflict):
        register_account(replace(acme.live, cause="two", random_bytes=counting_bytes()), "Ada", None)


def test_rows_commit_with_the_events_of_a_command(acme: Acme) -> None:
    noted: list[str] = []
    done = register_account(replace(acme.live, extra_for=noting(noted)), "Ada", None)
    assert noted == ["claimed", f"written [{done.position}]"]


def test_a_plan_is_created_and_retired(acme: Acme) -> None:
    created = create_plan(acme.live, "Pro", "USD", "month", 2900).result
    assert known(created).plan.startswith("plan_")
    assert known(created).product.startswith("prod_")
    retired = retire_plan(acme.live, known(created).plan, "replaced").result
    assert (known(retired).status, retired.version) == ("retired", 2)


def test_another_book_s_plan_is_not_found(acme: Acme) -> None:
    plan = a_plan(acme.live)
    with pytest.raises(NotFound):
        retire_plan(acme.test, plan, "why")
    with pytest.raises(NotFound):
        retire_plan(acme.live, "plan_?", "why")


@pytest.mark.parametrize("kind", ["person", "service"])
def test_a_principal_is_a_person_or_a_service(acme: Acme, kind: str) -> None:
    registered = register_principal(acme.live, kind, "Grace").result
    assert (registered.kind, registered.name) == (kind, "Grace")


def test_a_principal_of_another_kind_or_without_a_name_is_refused(acme: Acme) -> None:
    with pytest.raises(Invalid) as refusal:
        register_principal(acme.live, "robot", "Grace")
    assert set(refusal.value.errors) == {"kind"}
    with pytest.raises(Invalid) as refusal:
        register_principal(replace(acme.live, random_bytes=os.urandom), "person", "")
    assert set(refusal.value.errors) == {"name"}
