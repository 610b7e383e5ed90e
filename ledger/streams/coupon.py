"""A coupon: what it takes off, and which subscriptions redeemed it, up to its limit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, assert_never

from ledger.errors import Conflict, Invalid, NotFound
from ledger.events.coupon import CouponCreated, CouponEvent, CouponRedeemed, CouponRetired, CouponTerms
from ledger.identifiers import derived_id
from ledger.money import checked_amount, exponent
from ledger.streams.base import begins_with
from ledger.values import (
    MAX_METER_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    checked_code_beside_ids,
    checked_external_id,
    checked_metadata,
    checked_percent,
    checked_text,
    checked_time,
    instant_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from uuid import UUID

PREFIX: Final = "coup"
DURATIONS: Final = ("once", "repeating", "forever")
MAX_PERIODS: Final = 1_200
MAX_REDEMPTIONS: Final = 10**9
MAX_RESTRICTIONS: Final = 100


class UnusableCoupon(Invalid):
    """The coupon cannot be taken off anything as it is; `errors` says what to do, field by field."""

    code = "unusable_coupon"


class CouponIsRetired(Conflict):
    """The coupon can no longer be redeemed."""

    code = "coupon_retired"


class CouponExpired(Conflict):
    """The time to redeem the coupon is over."""

    code = "coupon_expired"


class CouponUsedUp(Conflict):
    """The coupon was redeemed as often as it may be."""

    code = "coupon_used_up"


class CouponTwice(Conflict):
    """The subscription has redeemed the coupon before."""

    code = "coupon_twice"


class NoAmountInCurrency(Conflict):
    """The coupon takes off an amount, and none in the currency that the subscription is billed in."""

    code = "no_coupon_in_currency"


class CouponDiffers(Conflict):
    """The coupon takes off something else, and what a coupon takes off never changes."""

    code = "coupon_differs"


@dataclass(frozen=True)
class Redemption:
    """A subscription that took the coupon."""

    subscription: str
    account: str


@dataclass(frozen=True)
class Coupon:
    """A coupon as it stands, with its redemptions, the oldest first."""

    coupon: str
    code: str
    name: str
    terms: CouponTerms
    status: str = "active"
    redemptions: tuple[Redemption, ...] = ()
    external_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def coupon_id(book: UUID, code: str) -> str:
    """Give the id of the coupon of a code: a book has one at most."""
    return derived_id(PREFIX, "coupon", book.bytes, code)


def create(
    coupon: str,
    code: str,
    name: str,
    terms: CouponTerms,
    external_id: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> list[CouponEvent]:
    """Create a coupon."""
    checked_text(name, MAX_NAME_CHARACTERS, "name")
    return [
        CouponCreated(
            coupon=coupon,
            code=checked_code_beside_ids(code, PREFIX),
            name=name,
            terms=checked_terms(terms),
            external_id=checked_external_id(external_id),
            metadata=checked_metadata(metadata or {}),
        )
    ]


def redeem(state: Coupon | None, subscription: str, account: str, now: datetime) -> list[CouponEvent]:
    """Let a subscription take the coupon: once each, in time, and up to its limit."""
    coupon = require(state)
    if any(one.subscription == subscription for one in coupon.redemptions):
        message = f"coupon {coupon.code} was redeemed by this subscription before: it can be once"
        raise CouponTwice(message)
    terms = coupon.terms
    if terms.redeem_by is not None and now >= terms.redeem_by:
        message = f"coupon {coupon.code} could be redeemed until {instant_text(terms.redeem_by)}"
        raise CouponExpired(message)
    if coupon.status == "retired":
        message = f"coupon {coupon.code} is retired: use another one"
        raise CouponIsRetired(message)
    if terms.max_redemptions is not None and len(coupon.redemptions) >= terms.max_redemptions:
        message = f"coupon {coupon.code} was redeemed {terms.max_redemptions} times, which is its limit"
        raise CouponUsedUp(message)
    number = len(coupon.redemptions) + 1
    return [
        CouponRedeemed(coupon=coupon.coupon, subscription=subscription, account=account, redemption=number)
    ]


def require_currency(coupon: Coupon, currency: str) -> None:
    """Refuse to take an amount off what is billed in a currency that the coupon has no amount in."""
    amounts = coupon.terms.amounts_off
    if amounts and currency not in amounts:
        message = f"coupon {coupon.code} takes off {', '.join(sorted(amounts))}, not {currency}"
        raise NoAmountInCurrency(message)


def retire(state: Coupon | None, reason: str) -> list[CouponEvent]:
    """Let nobody redeem the coupon from now on; retiring it twice changes nothing."""
    coupon = require(state)
    if coupon.status == "retired":
        return []
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    return [CouponRetired(coupon=coupon.coupon, reason=reason)]


def require(state: Coupon | None) -> Coupon:
    """Give the coupon, or refuse: there is none in this book."""
    if state is None:
        message = "there is no such coupon"
        raise NotFound(message)
    return state


@begins_with(CouponCreated)
def evolve(state: Coupon | None, event: CouponEvent) -> Coupon:
    """Apply one event."""
    match event:
        case CouponCreated():
            return Coupon(
                coupon=event.coupon,
                code=event.code,
                name=event.name,
                terms=event.terms,
                external_id=event.external_id,
                metadata=event.metadata,
            )
        case CouponRedeemed():
            coupon = _known(state)
            taken = Redemption(event.subscription, event.account)
            return replace(coupon, redemptions=(*coupon.redemptions, taken))
        case CouponRetired():
            return replace(_known(state), status="retired")
        case _:
            assert_never(event)


def _known(state: Coupon | None) -> Coupon:
    assert state is not None, "a stream begins with its first event"
    return state


# -- terms --------------------------------------------------------------------------------------------


def checked_terms(terms: CouponTerms) -> CouponTerms:
    """Return terms that can be taken off, or refuse them with what to do about each field."""
    reasons: dict[str, list[str]] = {}
    for path, reason in (*_off_problems(terms), *_duration_problems(terms), *_limit_problems(terms)):
        reasons.setdefault(path, []).append(reason)
    if reasons:
        path, (reason, *_) = next(iter(reasons.items()))
        raise UnusableCoupon(f"{path}: {reason}", reasons)
    return terms


def _off_problems(terms: CouponTerms) -> Iterator[tuple[str, str]]:
    if (terms.percent_off is None) == (not terms.amounts_off):
        yield "percent_off", "must be given, or else amounts_off, but not both"
    if terms.percent_off is not None:
        try:
            checked_percent(terms.percent_off, "percent_off")
        except Invalid as error:
            yield "percent_off", error.errors["percent_off"][0]
        else:
            if terms.percent_off == 0:
                yield "percent_off", "must be greater than 0"
    for currency, amount in terms.amounts_off.items():
        path = f"amounts_off.{currency[:16]}"
        try:
            exponent(currency)
            if checked_amount(amount) <= 0:
                yield path, "must be greater than 0"
        except Invalid as error:
            yield path, next(iter(error.errors.values()))[0]


def _duration_problems(terms: CouponTerms) -> Iterator[tuple[str, str]]:
    if terms.duration not in DURATIONS:
        yield "duration", f"must be one of {', '.join(DURATIONS)}"
    elif terms.duration == "repeating" and terms.periods is None:
        yield "periods", "must be given: how many invoices a repeating coupon is taken off"
    elif terms.duration != "repeating" and terms.periods is not None:
        yield "periods", f"is for a repeating coupon: leave it out of one that is taken off {terms.duration}"
    if terms.periods is not None and not 1 <= terms.periods <= MAX_PERIODS:
        yield "periods", f"must be from 1 to {MAX_PERIODS}"


def _limit_problems(terms: CouponTerms) -> Iterator[tuple[str, str]]:
    if terms.max_redemptions is not None and not 1 <= terms.max_redemptions <= MAX_REDEMPTIONS:
        yield "max_redemptions", f"must be from 1 to {MAX_REDEMPTIONS}"
    for name, restricted in (("plans", terms.plans), ("meters", terms.meters)):
        if len(restricted) > MAX_RESTRICTIONS:
            yield name, f"must be at most {MAX_RESTRICTIONS}"
        elif len(set(restricted)) != len(restricted):
            yield name, "must name each only once"
    for number, meter in enumerate(terms.meters[:MAX_RESTRICTIONS]):
        try:
            checked_text(meter, MAX_METER_CHARACTERS, "meter")
        except Invalid as error:
            yield f"meters.{number}", error.errors["meter"][0]
    if terms.redeem_by is not None:
        try:
            checked_time(terms.redeem_by, "redeem_by")
        except Invalid as error:
            yield "redeem_by", error.errors["redeem_by"][0]
