"""Events of an account's credit: its own, in each currency, and the prepaid grants that it draws down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class CreditScope:
    """What of an invoice a grant may settle: lines of these plans and meters, where any are named."""

    plans: tuple[str, ...] = ()
    meters: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _OfCredit(Event):
    account: str
    currency: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class AccountCredited(_OfCredit):
    """The account was credited, by hand or because an invoice owed it; a negative amount is taken back.

    `reference` is the invoice, or what a caller calls a credit by hand.
    """

    topic: ClassVar[str] = "account_credit.credited"

    credit: str
    source: str
    reference: str | None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class AccountCreditUsed(_OfCredit):
    """The account's own credit settled part of an invoice."""

    topic: ClassVar[str] = "account_credit.used"

    invoice: str


@dataclass(frozen=True, kw_only=True)
class AccountCreditGivenBack(_OfCredit):
    """The invoice that the account's own credit settled was made void."""

    topic: ClassVar[str] = "account_credit.given_back"

    invoice: str


@dataclass(frozen=True, kw_only=True)
class CreditGranted(_OfCredit):
    """The account got a prepaid grant: paid for, by `method`, or promotional; lower priorities go first."""

    topic: ClassVar[str] = "credit_grant.granted"

    grant: str
    kind: str
    method: str | None
    priority: int
    granted_at: datetime
    expires_at: datetime | None
    scope: CreditScope
    name: str | None = None
    reference: str | None = None


@dataclass(frozen=True, kw_only=True)
class CreditDrawnDown(_OfCredit):
    """Part of a grant settled part of an invoice."""

    topic: ClassVar[str] = "credit_grant.drawn_down"

    grant: str
    invoice: str


@dataclass(frozen=True, kw_only=True)
class CreditRestored(_OfCredit):
    """The invoice that a grant settled part of was made void."""

    topic: ClassVar[str] = "credit_grant.restored"

    grant: str
    invoice: str


@dataclass(frozen=True, kw_only=True)
class CreditGrantExpired(_OfCredit):
    """What was left of a grant can no longer be drawn down, which may be nothing.

    `invoice` is there where it came back, from an invoice made void, after the grant had expired.
    """

    topic: ClassVar[str] = "credit_grant.expired"

    grant: str
    invoice: str | None = None


@dataclass(frozen=True, kw_only=True)
class CreditGrantVoided(_OfCredit):
    """A grant of which nothing was used is taken back whole."""

    topic: ClassVar[str] = "credit_grant.voided"

    grant: str
    reason: str


GrantEvent = CreditGranted | CreditDrawnDown | CreditRestored | CreditGrantExpired | CreditGrantVoided
CreditEvent = AccountCredited | AccountCreditUsed | AccountCreditGivenBack | GrantEvent
