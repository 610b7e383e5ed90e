"""Billing conventions: where billing systems disagree, each question is an axis, each answer has a name.

A book adopts a preset, which answers every question as a known system does, and may override single axes.
What it adopted is an event with a version; an invoice line names the version it was made under, so that it
can be made again. Presets are therefore permanent: a value in the table below is never changed, and a new
axis answers, in every preset, as things were done before there was a question.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, get_type_hints

from ledger.errors import Invalid
from ledger.money import RoundingName  # noqa: TC001 - its values are read while running
from ledger.rating_values import RatingConventions, VolumeSplit, ZeroUsageFlat, ZeroUsagePackage

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_GRACE_HOURS: Final = 30 * 24
_MAX_SHOWN_CHARACTERS: Final = 64


class UnknownPolicy(Invalid):
    """There is no such preset, no such axis, or no such value of an axis."""

    code = "unknown_policy"


@dataclass(frozen=True, kw_only=True)
class BillingPolicy:
    """How a book bills; the defaults are the preset `stripe`.

    proration_unit: what a period is counted in; a local day is one of the account's time zone.
    period_end: periods are half-open; they end at an instant, or where a local day begins.
    upgrade_day: a change takes effect at its instant, or the whole day goes to the new price and is credited
        on the old one.
    cancellation_day: the credit of a cancellation begins at its instant, or the day begun stays the seller's.
    days_in_year: a year prorated by days has as many as there are, or 366 if it holds a 29 February and else
        365.
    proration_rounding: how a prorated line is rounded, once; taxes and shares are rounded alike.
    change_credit: what carries the credit of a change.
    credit_base: which price the unused time is credited at. Only `current_price` can give back more than was
        billed; `..._less_discount` takes the discount of the item off the price that was billed.
    interval_change: a change to another interval starts a period at the change; it is a whole one at the full
        price, or it ends where the subscription's calendar turns over and costs its share.
    downgrade: when a change to a cheaper price takes effect, unless the request says.
    zero_usage_flat, zero_usage_package: what no usage costs where the first tier has a flat amount, and at a
        package price.
    fixed_coupon_split: how an amount off is shared among lines: whole minor units with the remainder on the
        last line, exactly, or by largest remainder with each price's own share prorated.
    tax_rounding: taxes are rounded on each line, or once for each rate of an invoice.
    minimum_spend: where a minimum holds, and whether part of a period asks for part of it.
    trial_end: charges begin at the instant a trial ends, or with the local day it ends on.

    Of our own:
    change_invoice: a change waits for the next invoice, or is invoiced at once; a change that starts a period
        always is.
    late_usage: usage that comes after its invoice was finalized is billed on the next one; what it takes away
        is a line of that one too, or is given back by a credit note on the invoice that it corrects.
    grace_hours: how long after its period's end an invoice stays a draft.
    volume_split: where a period is billed in several lines, each bills what it adds to the volume price so
        far, or the line that closes the period bills it whole.
    rating_rounding: how the amount of rated usage is rounded, once.
    """

    proration_unit: Literal["second", "local_day", "elapsed_fraction"] = "second"
    period_end: Literal["instant", "local_midnight"] = "instant"
    upgrade_day: Literal["exact_instant", "whole_day_on_new_price"] = "exact_instant"
    cancellation_day: Literal["exact_instant", "kept_by_seller"] = "exact_instant"
    days_in_year: Literal["actual", "by_29_february"] = "actual"
    proration_rounding: RoundingName = "half_away"
    change_credit: Literal[
        "negative_line", "credit_note_with_tax", "repair_item_and_account_credit", "entry_on_next_invoice"
    ] = "negative_line"
    credit_base: Literal[
        "current_price_up_to_billed", "current_price", "last_billed_price", "last_billed_price_less_discount"
    ] = "current_price_up_to_billed"
    interval_change: Literal["new_period_at_full_price", "new_period_to_anchor"] = "new_period_at_full_price"
    downgrade: Literal["by_request", "at_period_end", "by_catalogue_rule"] = "by_request"
    zero_usage_flat: ZeroUsageFlat = "none"
    zero_usage_package: ZeroUsagePackage = "zero_line"
    fixed_coupon_split: Literal["floor_remainder_on_last", "exact_per_line", "largest_remainder"] = (
        "floor_remainder_on_last"
    )
    tax_rounding: Literal["per_line", "per_rate_on_invoice"] = "per_line"
    minimum_spend: Literal["plan_or_charge", "charge_prorated_by_days", "charge_on_last_line_of_period"] = (
        "plan_or_charge"
    )
    trial_end: Literal["exact_instant", "local_day", "by_catalogue_phase"] = "exact_instant"
    change_invoice: Literal["next_invoice", "immediate"] = "next_invoice"
    late_usage: Literal["next_invoice", "credit_note"] = "next_invoice"
    grace_hours: int = 0
    volume_split: VolumeSplit = "progressive"
    rating_rounding: RoundingName = "half_away"


@dataclass(frozen=True, kw_only=True)
class MrrPolicy:
    """What counts as monthly recurring revenue; the defaults are the preset `stripe`.

    weekly: a week counts 52 / 12 times, a price for every n weeks 52 / 12n times; or nothing shorter than a
        month counts.
    past_due: a subscription whose invoice is past due counts until it is given up, always, or not.
    paused: what is paused is out; a pause of collection alone leaves it in, or is a pause too.
    churn_dated: when a loss is dated.
    second_subscription: a further subscription of an account is expansion; losing one of several is churn of
        that subscription, or contraction of the account.
    currency_changes: how a change of exchange rates shows.
    """

    trials: Literal["excluded", "separate_figure"] = "excluded"
    discounts: Literal["forever_reduce", "reduce_and_expiry_is_expansion", "reduce", "not_considered"] = (
        "forever_reduce"
    )
    annual: Literal["twelfth"] = "twelfth"
    weekly: Literal["fifty_two_twelfths", "zero"] = "fifty_two_twelfths"
    past_due: Literal["counted_until_unpaid", "counted", "not_counted"] = "counted_until_unpaid"
    paused: Literal["out_unless_collection_only", "out"] = "out_unless_collection_only"
    metered: Literal["excluded", "excluded_unless_invoiced_as_subscription"] = "excluded"
    churn_dated: Literal["when_cancellation_takes_effect", "end_of_paid_period", "effective_date"] = (
        "when_cancellation_takes_effect"
    )
    second_subscription: Literal["expansion", "expansion_and_losing_one_is_contraction"] = "expansion"
    currency_changes: Literal[
        "separate_movement", "no_movement", "average_rate_of_the_month", "per_currency"
    ] = "separate_movement"
    grouping: Literal["none", "within_60_minutes"] = "none"


@dataclass(frozen=True, kw_only=True)
class RecognitionPolicy:
    """When revenue is earned; the defaults are the preset `stripe`.

    straight_line_by: what a service period is counted in.
    usage: revenue of usage is earned as it is used, against an unbilled receivable; a meter of the latest
        value ever, only when it is invoiced.
    rounding: what is earned until an instant is rounded, and differences of it are posted, so that the last
        posting is exact.
    """

    straight_line_by: Literal["second", "day"] = "second"
    line_without_period: Literal["at_finalization"] = "at_finalization"
    usage: Literal["when_used"] = "when_used"
    rounding: Literal["cumulative_differences"] = "cumulative_differences"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """All conventions of a book: how it bills, what counts as MRR, when revenue is earned."""

    billing: BillingPolicy = BillingPolicy()
    mrr: MrrPolicy = MrrPolicy()
    recognition: RecognitionPolicy = RecognitionPolicy()

    @property
    def rating(self) -> RatingConventions:
        """What rating needs to know of how the book bills."""
        return RatingConventions(
            zero_usage_flat=self.billing.zero_usage_flat,
            zero_usage_package=self.billing.zero_usage_package,
            volume_split=self.billing.volume_split,
            rounding=self.billing.rating_rounding,
        )


PolicyGroup = BillingPolicy | MrrPolicy | RecognitionPolicy
G = TypeVar("G", BillingPolicy, MrrPolicy, RecognitionPolicy)

STRIPE: Final = BillingPolicy()
LAGO: Final = BillingPolicy(
    proration_unit="local_day",
    period_end="local_midnight",
    upgrade_day="whole_day_on_new_price",
    cancellation_day="kept_by_seller",
    days_in_year="by_29_february",
    proration_rounding="half_up",
    change_credit="credit_note_with_tax",
    credit_base="last_billed_price",
    interval_change="new_period_to_anchor",
    downgrade="at_period_end",
    zero_usage_flat="billed",
    fixed_coupon_split="exact_per_line",
    tax_rounding="per_rate_on_invoice",
    minimum_spend="charge_prorated_by_days",
    trial_end="local_day",
    change_invoice="immediate",
)
KILLBILL: Final = BillingPolicy(
    proration_unit="local_day",
    proration_rounding="half_up",
    change_credit="repair_item_and_account_credit",
    credit_base="last_billed_price",
    downgrade="by_catalogue_rule",
    trial_end="by_catalogue_phase",
    change_invoice="immediate",
)
POLAR: Final = BillingPolicy(
    proration_unit="elapsed_fraction",
    proration_rounding="half_up",
    change_credit="entry_on_next_invoice",
    credit_base="last_billed_price_less_discount",
    fixed_coupon_split="largest_remainder",
)
OPENMETER: Final = BillingPolicy(
    zero_usage_flat="first_line",
    zero_usage_package="no_line",
    minimum_spend="charge_on_last_line_of_period",
    volume_split="closing_line",
)

CHARTMOGUL_MRR: Final = MrrPolicy(
    discounts="reduce_and_expiry_is_expansion",
    past_due="counted",
    metered="excluded_unless_invoiced_as_subscription",
    churn_dated="end_of_paid_period",
    second_subscription="expansion_and_losing_one_is_contraction",
    currency_changes="no_movement",
    grouping="within_60_minutes",
)
POLAR_MRR: Final = MrrPolicy(
    trials="separate_figure",
    discounts="reduce",
    past_due="counted",
    paused="out",
    churn_dated="end_of_paid_period",
    currency_changes="average_rate_of_the_month",
)
KILLBILL_MRR: Final = MrrPolicy(
    discounts="not_considered",
    weekly="zero",
    past_due="counted",
    paused="out",
    churn_dated="effective_date",
    currency_changes="per_currency",
)

DEFAULT_PRESET: Final = "stripe"
# A system of which nothing is known about a group answers there as `stripe` does.
PRESETS: Final[Mapping[str, Policy]] = MappingProxyType(
    {
        "stripe": Policy(),
        "lago": Policy(billing=LAGO),
        "killbill": Policy(billing=KILLBILL, mrr=KILLBILL_MRR),
        "polar": Policy(billing=POLAR, mrr=POLAR_MRR),
        "openmeter": Policy(billing=OPENMETER),
        "chartmogul": Policy(mrr=CHARTMOGUL_MRR),
    }
)
GROUPS: Final[tuple[str, ...]] = tuple(field.name for field in fields(Policy))
_BILLING: Final = "billing"


def policy_of(preset: str, overrides: Mapping[str, str], at: str = "overrides") -> Policy:
    """Give the conventions of a preset with single axes overridden, or refuse, saying what there is.

    An axis of billing is named as it is, one of another group with the group before it (`mrr.trials`); the
    name of a group alone takes the whole group from another preset (`mrr`: `chartmogul`). `at` is the path of
    the overrides in what was asked.
    """
    chosen = {group: getattr(_preset(preset, "preset"), group) for group in GROUPS}
    for group in GROUPS:
        if group in overrides:
            chosen[group] = getattr(_preset(overrides[group], f"{at}.{group}"), group)
    for name in overrides:
        if name not in GROUPS:
            group, axis = _axis(name, at)
            value = _value(type(chosen[group]), axis, overrides[name], f"{at}.{name}")
            chosen[group] = _with(chosen[group], axis, value)
    return Policy(**chosen)


def resolved(policy: Policy) -> dict[str, dict[str, str]]:
    """Write every axis with its value, as an override would give it, by group."""
    return {group: written(getattr(policy, group)) for group in GROUPS}


def written(group: PolicyGroup) -> dict[str, str]:
    """Write every axis of one group with its value."""
    return {field.name: str(getattr(group, field.name)) for field in fields(group)}


@cache
def axes() -> Mapping[str, tuple[str, ...]]:
    """List every axis by the name an override gives it, with its values."""
    kinds = {group: type(getattr(Policy(), group)) for group in GROUPS}
    named = {
        name_of(group, field.name): _allowed(kind, field.name)
        for group, kind in kinds.items()
        for field in fields(kind)
    }
    return MappingProxyType(named)


def name_of(group: str, axis: str) -> str:
    """Name an axis as an override does."""
    return axis if group == _BILLING else f"{group}.{axis}"


def _preset(name: str, at: str) -> Policy:
    if name not in PRESETS:
        raise _unknown(at, f"{_shown(name)} is not a preset: there are {', '.join(PRESETS)}")
    return PRESETS[name]


def _axis(name: str, at: str) -> tuple[str, str]:
    group, _, axis = name.rpartition(".")
    group = group or _BILLING
    if name not in axes():
        problem = f"there is no such axis: there are {', '.join((*GROUPS, *axes()))}"
        raise _unknown(f"{at}.{_shown(name)}", problem)
    return group, axis


def _allowed(kind: type[PolicyGroup], axis: str) -> tuple[str, ...]:
    """Give the values an axis may have; a number has its bounds instead."""
    hint: Any = get_type_hints(kind)[axis]
    return (f"0 to {_MAX_GRACE_HOURS}",) if hint is int else get_args(hint)


def _value(kind: type[PolicyGroup], axis: str, value: str, at: str) -> str | int:
    hint: Any = get_type_hints(kind)[axis]
    if hint is int:
        # Few enough digits that reading them costs nothing.
        if value.isascii() and value.isdecimal() and len(value) < 5 and int(value) <= _MAX_GRACE_HOURS:  # noqa: PLR2004
            return int(value)
        raise _unknown(at, f"{_shown(value)} is not a whole number from 0 to {_MAX_GRACE_HOURS}")
    if value not in get_args(hint):
        raise _unknown(at, f"{_shown(value)} is not a value of it: there are {', '.join(get_args(hint))}")
    return value


def _with(group: G, axis: str, value: str | int) -> G:
    values: dict[str, Any] = {field.name: getattr(group, field.name) for field in fields(group)}
    return type(group)(**{**values, axis: value})


def _shown(text: str) -> str:
    return repr(text[:_MAX_SHOWN_CHARACTERS])[1:-1]


def _unknown(at: str, reason: str) -> UnknownPolicy:
    return UnknownPolicy(f"{at}: {reason}", {at: [reason]})
