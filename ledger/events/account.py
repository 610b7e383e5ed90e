"""Events of an account: who is billed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class _OfAccount(Event):
    account: str

    def subject(self) -> str:
        """Name whose data key seals the personal fields: the account."""
        return f"account:{self.account}"


@dataclass(frozen=True, kw_only=True)
class AccountRegistered(_OfAccount):
    """An account signed up; `origin` names the outside customer it was made for, if any."""

    topic: ClassVar[str] = "account.registered"
    personal: ClassVar[tuple[str, ...]] = ("name", "email")

    name: str | None
    email: str | None
    currency: str | None
    time_zone: str
    origin: str | None = None


@dataclass(frozen=True, kw_only=True)
class AccountRenamed(_OfAccount):
    """The account goes by another name."""

    topic: ClassVar[str] = "account.renamed"
    personal: ClassVar[tuple[str, ...]] = ("name",)

    name: str | None


@dataclass(frozen=True, kw_only=True)
class AccountEmailChanged(_OfAccount):
    """The account is written to at another e-mail address."""

    topic: ClassVar[str] = "account.email_changed"
    personal: ClassVar[tuple[str, ...]] = ("email",)

    email: str | None


@dataclass(frozen=True, kw_only=True)
class AccountClosed(_OfAccount):
    """The account takes no more business; what happened before stays billable."""

    topic: ClassVar[str] = "account.closed"

    reason: str
    closed_at: datetime


AccountEvent = AccountRegistered | AccountRenamed | AccountEmailChanged | AccountClosed
