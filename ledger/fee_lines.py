"""The lines of fees: those in advance and in arrears, the set-up fee, and what changes credit and charge."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from ledger.events.invoice import InvoiceLine, LineRating
from ledger.money import Money
from ledger.proration import rounded, share_of_period
from ledger.streams.subscription import CHARGE, CREDIT, FEE, last_period, line_id
from ledger.values import instant_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ledger.assembly import Bill
    from ledger.events.plan import RecurringFee
    from ledger.events.subscription import ProrationAdded
    from ledger.streams.plan import PricedPlan
    from ledger.streams.subscription import OpenPeriod, Stretch

SETUP_FEE: Final = "setup_fee"
ARREARS_FEE: Final = "fee_in_arrears"
_WORDS: Final = {CREDIT: "Unused time on", CHARGE: "Remaining time on"}


def advance_lines(bill: Bill) -> Iterator[InvoiceLine]:
    """Charge the period that begins: each item's fees in advance."""
    period = _paid_period(bill)
    if period is None:
        return
    for item in bill.subscription.items:
        plan = bill.plans[item.plan, item.price_version]
        base = of_period(plan, item.item, period)
        for number, fee in enumerate(plan.fees("advance"), 1):
            yield replace(
                base,
                line=line_id(item.item, period.period, FEE, number),
                kind=FEE,
                sequence=number,
                description=fee.name,
                quantity=str(item.quantity if fee.per_seat else 1),
                product=fee.product or plan.product,
                **_share(bill, plan.fee_amount(fee, item.quantity), period, period.starts_at, period.ends_at),
            )


def arrears_lines(bill: Bill, stretch: Stretch) -> Iterator[InvoiceLine]:
    """Charge a stretch that is over: its item's fees in arrears."""
    plan = bill.plans[stretch.plan, stretch.price_version]
    base = of_period(plan, stretch.item, stretch.period)
    for number, fee in enumerate(plan.fees("arrears"), 1):
        amount = plan.fee_amount(fee, stretch.quantity)
        kind = f"{ARREARS_FEE}:{instant_text(stretch.from_at)}"
        yield replace(
            base,
            line=line_id(stretch.item, stretch.period.period, kind, number),
            kind=ARREARS_FEE,
            sequence=number,
            description=fee.name,
            quantity=str(stretch.quantity if fee.per_seat else 1),
            product=fee.product or plan.product,
            **_share(bill, amount, stretch.period, stretch.from_at, stretch.to_at),
        )


def setup_lines(bill: Bill) -> Iterator[InvoiceLine]:
    """Charge the set-up fee with the first period that is billed, and never later."""
    subscription = bill.subscription
    period = _paid_period(bill)
    # Who was moved here was billed before, elsewhere.
    if period is None or subscription.setup_billed or subscription.billed_through is not None:
        return
    plan = bill.plans[subscription.plan, subscription.price_version]
    fee = plan.terms.setup_fee
    if fee is not None:
        amount = fee.amounts[plan.currency]
        yield replace(
            of_period(plan, subscription.item, period),
            line=line_id(subscription.item, subscription.subscription, SETUP_FEE, 1),
            kind=SETUP_FEE,
            description=fee.name,
            amount=amount,
            product=fee.product or plan.product,
            performance_obligation="setup",
            recognition_rule="at_finalization",
            rating=LineRating(formula=str(amount), exact=str(amount), rounding="none"),
        )


def proration_lines(bill: Bill, pending: ProrationAdded) -> list[tuple[InvoiceLine, tuple[str, ...]]]:
    """Write what a change left to be billed, each line with its tax rates.

    It was computed, under its policy, as the change was made. Fees of different products or tax rates share
    it in proportion, a line each.
    """
    plan = bill.plans[pending.plan, pending.price_version]
    shares: dict[tuple[str, tuple[str, ...]], list[RecurringFee]] = {}
    for fee in plan.fees("advance"):
        key = (fee.product or plan.product, fee.tax_rates or plan.terms.tax_rates)
        shares.setdefault(key, []).append(fee)
    weights = [sum(plan.fee_amount(fee, pending.quantity) for fee in fees) for fees in shares.values()]
    if len(shares) < 2 or not any(weights):  # noqa: PLR2004 - nothing to share out
        product, rates = next(iter(shares), (plan.product, plan.terms.tax_rates))
        return [(replace(_proration_line(bill, plan, pending), product=product), rates)]
    amounts = Money(pending.amount, pending.currency).allocate(weights)
    exact = Fraction(pending.exact or pending.amount)
    return [
        (
            replace(
                _proration_line(bill, plan, pending, number),
                product=product,
                description=f"{_WORDS[pending.kind]} {plan.name}, {', '.join(fee.name for fee in fees)}",
                amount=amount.amount,
                rating=_prorated(bill, pending, exact * weight / sum(weights)),
            ),
            rates,
        )
        for number, ((product, rates), fees, amount, weight) in enumerate(
            (
                (key, fees, amount, weight)
                for (key, fees), amount, weight in zip(shares.items(), amounts, weights, strict=True)
            ),
            1,
        )
    ]


def _proration_line(bill: Bill, plan: PricedPlan, pending: ProrationAdded, number: int = 1) -> InvoiceLine:
    item = pending.item or bill.subscription.item
    kind = pending.kind if number == 1 else f"{pending.kind}:{number}"
    return replace(
        of_period(plan, item, last_period(bill.subscription)),
        line=line_id(item, pending.period, kind, pending.sequence),
        period=pending.period,
        kind=pending.kind,
        sequence=pending.sequence,
        description=f"{_WORDS[pending.kind]} {plan.name}",
        quantity=str(pending.quantity),
        amount=pending.amount,
        service_from=pending.service_from,
        service_to=pending.service_to,
        policy_version=pending.policy_version,
        adjusts_line=pending.adjusts_line,
        rating=_prorated(bill, pending, Fraction(pending.exact or pending.amount)),
    )


def _prorated(bill: Bill, pending: ProrationAdded, exact: Fraction) -> LineRating:
    rounding = bill.policies[pending.policy_version].billing.proration_rounding
    return LineRating(formula=str(exact), exact=str(exact), rounding=rounding)


def _paid_period(bill: Bill) -> OpenPeriod | None:
    """Give the period that begins, if it is one that is paid for."""
    subscription = bill.subscription
    period = subscription.period
    begins = period is not None and not period.trial and subscription.status != "cancelled"
    return period if begins else None


def of_period(plan: PricedPlan, item: str, period: OpenPeriod) -> InvoiceLine:
    """Begin a line: of an item, in a period, at a price version and under the period's policy."""
    return InvoiceLine(
        line="",
        subscription_item=item,
        period=period.period,
        kind="",
        sequence=1,
        description="",
        quantity="1",
        amount=0,
        service_from=None,
        service_to=None,
        usage_after_position=None,
        usage_through_position=None,
        plan=plan.plan,
        price_version=plan.price_version,
        policy_version=period.policy_version,
        performance_obligation="subscription",
        recognition_rule="straight_line",
        revenue_account="revenue",
        product=plan.product,
    )


def fees_of_stretch(bill: Bill, stretch: Stretch) -> int:
    """Add up what an item's fees, in advance and in arrears, come to for a stretch."""
    plan = bill.plans[stretch.plan, stretch.price_version]
    amounts = [plan.fee_amount(fee, stretch.quantity) for fee in plan.terms.fees]
    billing = bill.policies[stretch.period.policy_version].billing
    return sum(
        rounded(exact_share(bill, amount, stretch.period, stretch.from_at, stretch.to_at), billing)
        for amount in amounts
    )


def exact_share(bill: Bill, amount: int, period: OpenPeriod, from_at: datetime, to_at: datetime) -> Fraction:
    """Give the part of a whole period's price that a stretch is."""
    billing = bill.policies[period.policy_version].billing
    return share_of_period(amount, period.whole, from_at, to_at, billing, bill.time_zone)


def _share(bill: Bill, amount: int, period: OpenPeriod, from_at: datetime, to_at: datetime) -> dict[str, Any]:
    """Give the fields of a line that costs the part of a whole period's price that a stretch is."""
    exact = exact_share(bill, amount, period, from_at, to_at)
    billing = bill.policies[period.policy_version].billing
    formula = str(amount) if exact == amount else f"{amount} x {exact / amount}"
    return {
        "amount": rounded(exact, billing),
        "service_from": from_at,
        "service_to": to_at,
        "rating": LineRating(formula=formula, exact=str(exact), rounding=billing.proration_rounding),
    }
