"""Commands on coupons: create, retire; each is named by its id or by its code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.catalogue import change, check_plans
from commands.streams import find_coupon
from ledger.identifiers import stream_of
from ledger.streams import coupon as coupons

if TYPE_CHECKING:
    from collections.abc import Mapping

    from commands.catalogue import Desk
    from commands.context import Context, Done
    from ledger.events.coupon import CouponTerms
    from ledger.streams.base import Stream
    from ledger.streams.coupon import Coupon


def create_coupon(
    context: Context,
    code: str,
    name: str,
    terms: CouponTerms,
    external_id: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Done[Stream[Coupon]]:
    """Create a coupon under a code that is its for good."""
    coupon = coupons.coupon_id(context.book, code)

    def decide(desk: Desk) -> Stream[Coupon]:
        events = coupons.create(coupon, code, name, terms, external_id, metadata)
        check_plans(desk, terms.plans)
        what = f"a coupon with the code {code}, {coupon},"
        return desk.begin(stream_of(coupons.PREFIX, coupon), coupons.evolve, events, what)

    return change(context, decide)


def retire_coupon(context: Context, coupon: str, reason: str) -> Done[Stream[Coupon]]:
    """Let nobody redeem a coupon from now on."""
    stream = find_coupon(context.book, coupon)

    def decide(desk: Desk) -> Stream[Coupon]:
        state = desk.load(coupons.evolve, stream).state
        return desk.add(stream, coupons.evolve, coupons.retire(state, reason))

    return change(context, decide)
