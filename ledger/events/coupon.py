"""Events of a coupon: what it takes off, of what, how often and until when, and who took it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class CouponTerms:
    """What a coupon takes off: a share in per cent, or an amount in minor units by currency.

    `duration` is once, repeating (for `periods` invoices) or forever. `plans` and `meters`, where there are
    any, are the only ones it is taken off.
    """

    percent_off: Decimal | None = None
    amounts_off: dict[str, int] = field(default_factory=dict)
    duration: str = "once"
    periods: int | None = None
    plans: tuple[str, ...] = ()
    meters: tuple[str, ...] = ()
    max_redemptions: int | None = None
    redeem_by: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class CouponCreated(Event):
    """A coupon that subscriptions may redeem; what it takes off never changes."""

    topic: ClassVar[str] = "coupon.created"

    coupon: str
    code: str
    name: str
    terms: CouponTerms
    external_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CouponRedeemed(Event):
    """A subscription took the coupon; in the coupon's own stream, so that its limit holds."""

    topic: ClassVar[str] = "coupon.redeemed"

    coupon: str
    subscription: str
    account: str
    redemption: int


@dataclass(frozen=True, kw_only=True)
class CouponRetired(Event):
    """The coupon can no longer be redeemed; those who have it keep it."""

    topic: ClassVar[str] = "coupon.retired"

    coupon: str
    reason: str


CouponEvent = CouponCreated | CouponRedeemed | CouponRetired
