"""What the edge takes about subscriptions."""

from __future__ import annotations

from marshmallow import fields, validate

from ledger.plan_terms import MAX_TRIAL_DAYS
from ledger.streams.subscribing import MAX_SEATS
from ledger.values import MAX_CODE_CHARACTERS, MAX_IDENTITY_CHARACTERS, MAX_PROPERTIES
from schemas.fields import Instant, PublicId, Strict, Text, TrueOrFalse, strict_integer


def _seats(**options: object) -> fields.Integer:
    return strict_integer(validate=validate.Range(min=1, max=MAX_SEATS), **options)


class NewSubscription(Strict):
    """A subscription to a plan: from now, or from another instant; what is not said comes from the plan.

    `anchor` says whether periods turn over with the calendar or on the day it began. Another system billed
    the customer through `billed_through`; the contract is over at `ends_at`.
    """

    plan = PublicId("plan", required=True)
    starts_at = Instant(load_default=None, allow_none=True)
    trial_days = strict_integer(
        load_default=None, allow_none=True, validate=validate.Range(min=0, max=MAX_TRIAL_DAYS)
    )
    quantity = _seats(load_default=1)
    coupon = Text(MAX_CODE_CHARACTERS, load_default=None, allow_none=True)
    anchor = fields.String(
        load_default=None, allow_none=True, validate=validate.OneOf(["calendar", "anniversary"])
    )
    ends_at = Instant(load_default=None, allow_none=True)
    billed_through = Instant(load_default=None, allow_none=True)
    external_id = Text(MAX_IDENTITY_CHARACTERS, load_default=None, allow_none=True)
    metadata = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        load_default=dict,
        validate=validate.Length(max=MAX_PROPERTIES),
    )


class SubscriptionChange(Strict):
    """A move to another plan, price version or number of seats; when, is for the policy unless it is said.

    Credits and charges for parts of the period wait for the next invoice (`create_prorations`), are left out
    (`none`), or are invoiced at once (`always_invoice`).
    """

    plan = PublicId("plan", load_default=None)
    price_version = strict_integer(load_default=None, validate=validate.Range(min=1))
    quantity = _seats(load_default=None)
    at_period_end = TrueOrFalse(load_default=None, allow_none=True)
    proration_behavior = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.OneOf(["create_prorations", "none", "always_invoice"]),
    )


class SubscriptionChangeQuery(Strict):
    """Whether to show what the change would do, and not to make it."""

    preview = fields.String(load_default="false", validate=validate.OneOf(["true", "false"]))


class SubscriptionCancel(Strict):
    """When the subscription ends: with its present period, or now; then what is left of it is credited."""

    at_period_end = TrueOrFalse(load_default=True)
    credit = TrueOrFalse(load_default=True)


class SubscriptionPause(Strict):
    """What becomes of the time paid for: it runs on (`keep`), or is kept for afterwards (`shift`)."""

    period = fields.String(load_default="keep", validate=validate.OneOf(["keep", "shift"]))


class CouponRedemption(Strict):
    """A coupon, by its code or its id."""

    coupon = Text(MAX_CODE_CHARACTERS, required=True)


class NewItem(Strict):
    """A plan beside the subscription's own, from now."""

    plan = PublicId("plan", required=True)
    quantity = _seats(load_default=1)
