"""An account: who is billed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from ledger.errors import AccountClosed as AccountIsClosed
from ledger.errors import NotFound
from ledger.events.account import (
    AccountClosed,
    AccountEmailChanged,
    AccountEvent,
    AccountRegistered,
    AccountRenamed,
)
from ledger.money import exponent
from ledger.periods import local_date
from ledger.streams.base import begins_with
from ledger.values import MAX_EMAIL_CHARACTERS, MAX_NAME_CHARACTERS, MAX_REASON_CHARACTERS, checked_text

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class Account:
    """An account as it stands."""

    account: str
    name: str | None
    email: str | None
    currency: str | None
    time_zone: str
    status: str
    origin: str | None
    closed_at: datetime | None = None
    close_reason: str | None = None


def register(
    account: str,
    name: str | None,
    email: str | None,
    currency: str | None,
    time_zone: str,
    now: datetime,
    origin: str | None = None,
) -> list[AccountEvent]:
    """Register an account; its zone and currency must be real ones."""
    local_date(now, time_zone)
    if currency is not None:
        exponent(currency)
    return [
        AccountRegistered(
            account=account,
            name=_checked(name, MAX_NAME_CHARACTERS, "name"),
            email=_checked(email, MAX_EMAIL_CHARACTERS, "email"),
            currency=currency,
            time_zone=time_zone,
            origin=origin,
        )
    ]


def change(state: Account | None, changes: dict[str, str | None]) -> list[AccountEvent]:
    """Rename the account or change its e-mail address; what stays the same makes no event."""
    account = require_open(state)
    events: list[AccountEvent] = []
    if "name" in changes and changes["name"] != account.name:
        name = _checked(changes["name"], MAX_NAME_CHARACTERS, "name")
        events.append(AccountRenamed(account=account.account, name=name))
    if "email" in changes and changes["email"] != account.email:
        email = _checked(changes["email"], MAX_EMAIL_CHARACTERS, "email")
        events.append(AccountEmailChanged(account=account.account, email=email))
    return events


def close(state: Account | None, reason: str, now: datetime) -> list[AccountEvent]:
    """Close the account from now on; closing it twice changes nothing."""
    account = require(state)
    if account.status == "closed":
        return []
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    return [AccountClosed(account=account.account, reason=reason, closed_at=now)]


def require(state: Account | None) -> Account:
    """Give the account, or refuse: there is none in this book."""
    if state is None:
        message = "there is no such account"
        raise NotFound(message)
    return state


def require_open(state: Account | None) -> Account:
    """Give the account, or refuse: it is closed."""
    account = require(state)
    if account.status == "closed":
        message = f"account {account.account} is closed"
        raise AccountIsClosed(message)
    return account


@begins_with(AccountRegistered)
def evolve(state: Account | None, event: AccountEvent) -> Account:
    """Apply one event."""
    match event:
        case AccountRegistered():
            return Account(
                account=event.account,
                name=event.name,
                email=event.email,
                currency=event.currency,
                time_zone=event.time_zone,
                status="open",
                origin=event.origin,
            )
        case AccountRenamed():
            return replace(_known(state), name=event.name)
        case AccountEmailChanged():
            return replace(_known(state), email=event.email)
        case AccountClosed():
            return replace(
                _known(state), status="closed", closed_at=event.closed_at, close_reason=event.reason
            )
        case _:
            assert_never(event)


def _known(state: Account | None) -> Account:
    assert state is not None, "a stream begins with its first event"
    return state


def _checked(text: str | None, limit_characters: int, field: str) -> str | None:
    return None if text is None else checked_text(text, limit_characters, field)
