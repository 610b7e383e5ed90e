"""API keys from command to check: a key opens for whom it was made, until it does not, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from commands.accounts import close_account
from commands.keys import (
    IssuedKey,
    check_key,
    expire_key,
    issue_key,
    resume_key,
    revoke_key,
    rotate_key,
    suspend_key,
)
from commands.principals import register_principal
from ledger.errors import AccountClosed, Invalid, KeyNotActive, NotFound, Unauthenticated
from ledger.identifiers import stream_of
from ledger.settings import SettingsError
from tests.acme import NOON, Acme, acme_on, an_account, at, interrupted, known

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from commands.context import Context
    from commands.keys import CheckedKey
    from tests.postgres import Database

TOMORROW = NOON + timedelta(days=1)


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database) as founded:
        yield founded


def issued(
    context: Context, scopes: Sequence[str] = ("read",), expires_at: datetime | None = None
) -> IssuedKey:
    return issue_key(context, "live", an_account(context), "Server", scopes, expires_at).result


def key_of(made: IssuedKey) -> str:
    return str(known(made.stream).key)


def check(acme: Acme, secret: str, now: datetime = NOON) -> CheckedKey:
    return check_key(acme.log, acme.settings, secret, now)


def assert_refused(acme: Acme, secret: str, saying: str = "unknown", now: datetime = NOON) -> None:
    with pytest.raises(Unauthenticated, match=f"the key is {saying}"):
        check(acme, secret, now)


# -- opening ----------------------------------------------------------------------------------------


def test_a_key_opens_for_its_account_in_its_book_with_its_scopes(acme: Acme) -> None:
    made = issued(acme.live, ["usage:write", "read"])
    checked = check(acme, made.secret)
    assert (checked.book, checked.mode) == (acme.live.book, "live")
    assert checked.scopes == {"read", "usage:write"}
    assert checked.key == made.stream.state


def test_an_operator_s_key_opens_for_its_principal(acme: Acme) -> None:
    grace = register_principal(acme.test, "service", "Grace").result.principal
    made = issue_key(acme.test, "test", grace, "CI", ["write"]).result
    checked = check(acme, made.secret)
    assert (checked.book, checked.key.owner, checked.mode) == (acme.test.book, grace, "test")
    assert checked.scopes == {"write", "read", "usage:write"}


def test_a_wrong_secret_with_the_right_id_is_as_unknown_as_any_other(acme: Acme) -> None:
    made = issued(acme.live)
    wrong = made.secret[:-1] + ("a" if made.secret[-1] != "a" else "b")
    assert_refused(acme, wrong)
    assert_refused(acme, made.secret.replace("_live_", "_test_"))
    assert_refused(acme, made.secret + "a")


@pytest.mark.parametrize(
    "text", ["", "dbk_live_", "sk_live_1", "dbk_live_" + "0" * 58, "é" * 60, "x" * 10_000]
)
def test_what_was_never_issued_is_unknown(acme: Acme, text: str) -> None:
    assert_refused(acme, text)


def test_a_suspended_key_is_refused_until_it_is_resumed(acme: Acme) -> None:
    made = issued(acme.live)
    suspend_key(acme.live, key_of(made), "leaked?")
    assert_refused(acme, made.secret, "suspended")
    resume_key(acme.live, key_of(made))
    assert check(acme, made.secret).key.status == "active"


def test_a_revoked_key_never_opens_again(acme: Acme) -> None:
    made = issued(acme.live)
    revoke_key(acme.live, key_of(made), "leaked")
    assert_refused(acme, made.secret, "revoked")
    for change in (
        lambda: resume_key(acme.live, key_of(made)),
        lambda: rotate_key(acme.live, "live", key_of(made)),
    ):
        with pytest.raises(KeyNotActive):
            change()
    assert_refused(acme, made.secret, "revoked")


def test_a_key_expires_at_its_instant_whether_or_not_that_is_recorded(acme: Acme) -> None:
    made = issued(acme.live, expires_at=TOMORROW)
    assert check(acme, made.secret, TOMORROW - timedelta(microseconds=1)).key.status == "active"
    assert_refused(acme, made.secret, "expired", TOMORROW)
    assert expire_key(acme.live, key_of(made)).position is None
    assert expire_key(at(acme.live, TOMORROW), key_of(made)).position is not None
    assert_refused(acme, made.secret, "expired", NOON)


def test_a_rotated_key_opens_with_its_new_secret_only(acme: Acme) -> None:
    made = issued(acme.live)
    rotated = rotate_key(acme.live, "live", key_of(made)).result
    assert_refused(acme, made.secret)
    assert check(acme, rotated.secret).key.key == key_of(made)
    assert rotated.stream.version == 2


# -- peppers ----------------------------------------------------------------------------------------


def test_keys_under_the_old_pepper_still_open_and_new_secrets_use_the_new_one(acme: Acme) -> None:
    old = issued(acme.live)
    both = replace(acme, settings=replace(acme.settings, peppers=((1, b"p" * 32), (2, b"q" * 32))))
    new = issued(replace(acme.live, settings=both.settings))
    assert (check(both, old.secret).key.pepper_version, check(both, new.secret).key.pepper_version) == (1, 2)
    moved = rotate_key(replace(acme.live, settings=both.settings), "live", key_of(old)).result
    only_new = replace(acme, settings=replace(acme.settings, peppers=((2, b"q" * 32),)))
    assert check(only_new, moved.secret).key.key == key_of(old)
    assert check(only_new, new.secret).key.pepper_version == 2


def test_another_pepper_of_the_same_version_opens_nothing(acme: Acme) -> None:
    made = issued(acme.live)
    assert_refused(replace(acme, settings=replace(acme.settings, peppers=((1, b"z" * 32),))), made.secret)


def test_a_lost_pepper_is_the_operator_s_error_and_not_the_caller_s(acme: Acme) -> None:
    made = issued(acme.live)
    lost = replace(acme, settings=replace(acme.settings, peppers=((2, b"q" * 32),)))
    with pytest.raises(SettingsError, match="no version 1"):
        check(lost, made.secret)


# -- books ------------------------------------------------------------------------------------------


def test_a_key_of_one_book_reads_nothing_of_another(acme: Acme) -> None:
    made = issued(acme.live)
    book = check(acme, made.secret).book
    account = an_account(acme.test)
    assert acme.log.load(book, stream_of("acc", account)) == []
    assert acme.log.load(acme.test.book, stream_of("key", key_of(made))) == []


def test_another_book_s_key_is_not_found(acme: Acme) -> None:
    made = issued(acme.live)
    for change in (
        lambda: suspend_key(acme.test, key_of(made), "why"),
        lambda: resume_key(acme.test, key_of(made)),
        lambda: revoke_key(acme.test, key_of(made), "why"),
        lambda: expire_key(acme.test, key_of(made)),
        lambda: rotate_key(acme.test, "test", key_of(made)),
        lambda: revoke_key(acme.live, "key_?", "why"),
    ):
        with pytest.raises(NotFound):
            change()
    assert check(acme, made.secret).key.status == "active"


def test_a_key_is_only_issued_to_an_owner_of_the_same_book(acme: Acme) -> None:
    account = an_account(acme.live)
    principal = register_principal(acme.live, "person", "Grace").result.principal
    for owner in (account, principal, "acc_?", "prn_?", "org_?", ""):
        with pytest.raises(NotFound):
            issue_key(acme.test, "test", owner, "Server", ["read"])


# -- issuing ----------------------------------------------------------------------------------------


def test_a_closed_account_refuses_a_new_key(acme: Acme) -> None:
    account = an_account(acme.live)
    close_account(acme.live, account, "moved away")
    with pytest.raises(AccountClosed):
        issue_key(acme.live, "live", account, "Server", ["read"])


def test_an_account_that_closes_while_its_key_is_issued_gets_none(acme: Acme) -> None:
    account = an_account(acme.live)
    context, log = interrupted(acme.live, lambda: close_account(acme.live, account, "moved away"))
    before = acme.log.head()
    with pytest.raises(AccountClosed):
        issue_key(context, "live", account, "Server", ["read"])
    assert (log.appends, acme.log.head()) == (1, before + 1)


def test_scopes_that_an_account_s_key_may_not_have_are_refused(acme: Acme) -> None:
    with pytest.raises(Invalid) as refusal:
        issued(acme.live, ["admin"])
    assert set(refusal.value.errors) == {"scopes"}


def test_no_secret_enters_the_log(acme: Acme, database: Database) -> None:
    made = issued(acme.live)
    rotated = rotate_key(acme.live, "live", key_of(made)).result
    stored = stored_bytes(database)
    secrets = (made.secret, rotated.secret, acme.founded.live_key, acme.founded.webhook_secret)
    for secret in secrets:
        # Neither whole nor the random part behind the key's own id.
        assert secret.encode() not in stored
        assert secret[-32:].encode() not in stored


def stored_bytes(database: Database) -> bytes:
    """Read every stored event as the owner of the database would."""
    with psycopg.connect(database.owner_url) as connection:
        return b"\n".join(bytes(row[0]) for row in connection.execute("SELECT state FROM log.events"))
