"""Monthly recurring revenue: what a subscription is worth a month, from instant to instant.

What counts is a definition (`MrrPolicy`) that is applied when the question is asked: what is kept of a
subscription is how it stands, so that the same history can be looked at under any definition. Values are
exact fractions of minor units; they are rounded where an account's are added up (`ledger.mrr_movements`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ledger.events.subscription import CouponApplied, CouponEnded
from ledger.mrr_values import History, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from ledger.mrr_values import Catalogue, Part, RecurringAmount, Reduction, Standing
    from ledger.policies import MrrPolicy

_HUNDRED: Final = 100
_TIMES_A_MONTH: Final[Mapping[str, Fraction]] = MappingProxyType(
    {
        "day": Fraction(365, 12),
        "week": Fraction(52, 12),
        "month": Fraction(1),
        "quarter": Fraction(1, 3),
        "year": Fraction(1, 12),
    }
)
_SHORTER_THAN_A_MONTH: Final = frozenset({"day", "week"})
INTERVALS: Final = frozenset(_TIMES_A_MONTH)


def monthly(amount: Fraction | Decimal | int, interval: str, policy: MrrPolicy, count: int = 1) -> Fraction:
    """Give what an amount every `count` intervals is a month: a year's is a twelfth, a week's 52 twelfths."""
    if policy.weekly == "zero" and interval in _SHORTER_THAN_A_MONTH:
        return Fraction()
    return Fraction(amount) * _TIMES_A_MONTH[interval] / count


def history(standings: Sequence[Standing], catalogue: Catalogue, policy: MrrPolicy) -> History | None:
    """Give what a subscription was worth under a definition; nothing where it never had a currency."""
    currency = _currency(standings, catalogue)
    if currency is None:
        return None
    worth = _Worth(catalogue, policy, currency)
    steps: list[Step] = []
    for standing, end in _stretches(standings):
        for at, position, topic in _turning_points(standing, end):
            by_plan, trial = worth.at(standing, at)
            _turn(steps, Step(at=at, position=position, topic=topic, by_plan=by_plan, trial=trial))
    newest = standings[-1]
    return History(
        subscription=newest.subscription, account=newest.account, currency=currency, steps=tuple(steps)
    )


def _turn(steps: list[Step], step: Step) -> None:
    """Add a step where it changes something; of several at one instant the last one that did is left."""
    if _same(steps, step):
        return
    while steps and steps[-1].at == step.at:
        steps.pop()
    if not _same(steps, step):
        steps.append(step)


def _same(steps: Sequence[Step], step: Step) -> bool:
    before = (steps[-1].by_plan, steps[-1].trial) if steps else ({}, 0)
    return before == (step.by_plan, step.trial)


def _currency(standings: Iterable[Standing], catalogue: Catalogue) -> str | None:
    """Give the currency a subscription is billed in; an old one that names none has a plan with only one."""
    found = None
    for standing in standings:
        found = standing.currency or found
        for part in standing.parts if found is None else ():
            price = catalogue.prices.get((part.plan, part.price_version))
            offered = {currency for fee in price.fees for currency in fee.amounts} if price else set()
            found = min(offered) if len(offered) == 1 else None
    return found


def _stretches(standings: Sequence[Standing]) -> list[tuple[Standing, datetime | None]]:
    """Lay standings end to end: each holds from its instant until the next, the last one for good.

    Those of one instant all stay, though only the last of them lasts: they tell which event changed what.
    """
    kept: list[Standing] = []
    for standing in standings:
        while kept and kept[-1].effective_at > standing.effective_at:
            kept.pop()
        kept.append(standing)
    ends = [after.effective_at for _, after in pairwise(kept)]
    return list(zip(kept, [*ends, None], strict=True))


def _turning_points(standing: Standing, end: datetime | None) -> list[tuple[datetime, int, str]]:
    """List the instants at which what a standing is worth may change, each with the event that says so."""
    points = []
    if standing.paid_through is not None:
        points.append((standing.paid_through, standing.caused_by, standing.topic))
    for reduction in standing.reductions:
        points.append((reduction.since, reduction.applied_by, CouponApplied.topic))
        if reduction.until is not None and reduction.ended_by is not None:
            points.append((reduction.until, reduction.ended_by, CouponEnded.topic))
    inside = [
        point for point in points if standing.effective_at < point[0] and (end is None or point[0] < end)
    ]
    beginning = (standing.effective_at, standing.caused_by, standing.topic)
    return [beginning, *sorted(inside, key=lambda point: point[0])]


@dataclass(frozen=True)
class _Worth:
    """What standings are worth under a catalogue and a definition, in one currency."""

    catalogue: Catalogue
    policy: MrrPolicy
    currency: str

    def at(self, standing: Standing, at: datetime) -> tuple[dict[str, Fraction], Fraction]:
        """Give what counts at an instant, by plan, and what a trial would be worth."""
        if standing.status == "trial":
            separate = self.policy.trials == "separate_figure"
            return {}, sum(self._by_plan(standing, at).values(), Fraction()) if separate else Fraction()
        return (self._by_plan(standing, at) if self._counts(standing, at) else {}), Fraction()

    def _counts(self, standing: Standing, at: datetime) -> bool:
        match standing.status:
            case "active":
                return True
            case "past_due":
                return self.policy.past_due != "not_counted"
            case "unpaid":
                return self.policy.past_due == "counted"
            case "ended":
                lingers = self.policy.churn_dated == "end_of_paid_period"
                return lingers and standing.paid_through is not None and at < standing.paid_through
            case _:
                return False

    def _by_plan(self, standing: Standing, at: datetime) -> dict[str, Fraction]:
        """Give what the parts ask for a month, less what coupons take off."""
        asked = [self._asked(part) for part in standing.parts]
        for reduction in standing.reductions:
            if self._reduces(reduction, at):
                asked = self._reduced(standing.parts, asked, reduction)
        by_plan: dict[str, Fraction] = {}
        for part, amount in zip(standing.parts, asked, strict=True):
            if amount:
                by_plan[part.plan] = by_plan.get(part.plan, Fraction()) + amount
        return by_plan

    def _asked(self, part: Part) -> Fraction:
        """Give what a part asks for a month, without the taxes within its prices."""
        if part.price is not None:
            whole = Fraction(part.price.unit_amount) * part.quantity
            return monthly(whole, part.price.interval, self.policy, part.price.count)
        price = self.catalogue.prices.get((part.plan, part.price_version))
        if price is None:
            return Fraction()
        fees = (
            Fraction(fee.amounts.get(self.currency, 0))
            * (part.quantity if fee.per_seat else 1)
            / self._with_tax(fee, part.since)
            for fee in price.fees
        )
        return monthly(sum(fees, Fraction()), price.interval, self.policy)

    def _with_tax(self, fee: RecurringAmount, since: datetime | None) -> Fraction:
        """Give how many times its net amount a fee is, by the rates in force when it was taken on."""
        within = Fraction()
        for tax_rate in fee.tax_rates:
            versions = self.catalogue.tax_rates.get(tax_rate, ())
            known = [one for one in versions if since is not None and one.effective_at <= since]
            known = known or list(versions[:1])
            within += Fraction(known[-1].percent_within) if known else 0
        return 1 + within / _HUNDRED

    def _reduces(self, reduction: Reduction, at: datetime) -> bool:
        if at < reduction.since or (reduction.until is not None and at >= reduction.until):
            return False
        if self.policy.discounts == "forever_reduce":
            return reduction.forever
        return self.policy.discounts != "not_considered"

    def _reduced(
        self, parts: Sequence[Part], asked: Sequence[Fraction], reduction: Reduction
    ) -> list[Fraction]:
        """Take a coupon off the parts it is for: its share of each, or its amount in proportion to them."""
        open_to_it = [
            amount if not reduction.plans or part.plan in reduction.plans else Fraction()
            for part, amount in zip(parts, asked, strict=True)
        ]
        whole = sum(open_to_it, Fraction())
        if not whole:
            return list(asked)
        if reduction.percent_off is not None:
            share = Fraction(reduction.percent_off) / _HUNDRED
        else:
            share = min(Fraction(1), self._amount_off(parts, reduction) / whole)
        return [amount - share * part for amount, part in zip(asked, open_to_it, strict=True)]

    def _amount_off(self, parts: Sequence[Part], reduction: Reduction) -> Fraction:
        """Give what an amount off every invoice is a month; invoices come with the first plan's fee."""
        amount = reduction.amounts_off.get(self.currency, 0)
        first = parts[0]
        if first.price is not None:
            return monthly(amount, first.price.interval, self.policy, first.price.count)
        price = self.catalogue.prices.get((first.plan, first.price_version))
        return Fraction() if price is None else monthly(amount, price.interval, self.policy)
