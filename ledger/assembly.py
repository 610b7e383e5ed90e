"""An invoice's lines, put together from what is known at one position of the log: a pure function of it.

The state of the subscription is that from just before it was billed, so that whoever has the log can do this
again: `daybook invoice verify` does, and a draft that takes late usage in is nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ledger.fee_lines import (
    ARREARS_FEE,
    SETUP_FEE,
    advance_lines,
    arrears_lines,
    proration_lines,
    setup_lines,
)
from ledger.late_credits import without_late_credits
from ledger.line_taxes import discounted, taxed
from ledger.minimum_lines import minimum_lines
from ledger.streams.subscription import FEE
from ledger.usage_corrections import CorrectedUses
from ledger.usage_lines import ask_of, charge, chargings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from ledger.events.invoice import InvoiceLine
    from ledger.events.plan import PlanTerms
    from ledger.events.subscription import UsageBilled
    from ledger.late_credits import Key, LateCredit
    from ledger.measuring import Ask, Measured
    from ledger.meters import MeterDefinition
    from ledger.policies import Policy
    from ledger.streams.invoice import Invoice
    from ledger.streams.plan import PricedPlan
    from ledger.streams.subscription import Subscription
    from ledger.streams.tax_rate import TaxRate
    from ledger.usage_lines import Charging


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What an invoice is made from: the subscription, the prices, the rules, and up to where usage counts.

    `at` is the instant that is billed; usage of stretches that ended before `late_since` is no longer looked
    at again, since none can come any more, unless it was `corrected`. `earlier` are lines of invoices before,
    whose rest is credited, and `invoiced_on` the invoices that billed the usage of a charge, newest first,
    where credit notes correct them.
    """

    subscription: Subscription
    time_zone: str
    plans: Mapping[tuple[str, int], PricedPlan]
    meters: Mapping[str, MeterDefinition]
    tax_rates: Mapping[str, TaxRate]
    policies: Mapping[int, Policy]
    policy_version: int
    at: datetime
    through_position: int
    late_since: datetime
    corrected: CorrectedUses = field(default_factory=CorrectedUses)
    # Only what a change left to be billed, at once; the rest is for the end of the period.
    waiting_only: bool = False
    earlier: Sequence[InvoiceLine] = field(default=())
    invoiced_on: Mapping[Key, Sequence[Invoice]] = field(default_factory=dict)

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.policies[self.policy_version]

    @property
    def currency(self) -> str:
        """The currency of every price, and of the invoice."""
        return self.plans[self.subscription.plan, self.subscription.price_version].currency


@dataclass(frozen=True)
class Assembled:
    """An invoice's lines, and what the subscription is to remember of them."""

    lines: tuple[InvoiceLine, ...]
    usage: tuple[UsageBilled, ...]
    coupons: tuple[str, ...]
    setup_fee: bool
    fee_line: str | None
    # What is not on the invoice, but given back by credit notes as it is issued.
    late_credits: tuple[LateCredit, ...] = ()


def asks_of(bill: Bill) -> tuple[list[Charging], list[Ask]]:
    """Say what to measure: the charges there are to bill, and for each of them how much was used."""
    if bill.waiting_only:
        return [], []
    wanted = chargings(bill.subscription, bill.plans, bill.late_since, _was_corrected(bill))
    account = bill.subscription.account
    return wanted, [ask_of(one, account, bill.meters, bill.through_position) for one in wanted]


def _was_corrected(bill: Bill) -> Callable[[Charging], bool] | None:
    """Give what says whether usage was corrected since it was billed; nothing where none ever was."""
    if not bill.corrected:
        return None

    def since_billed(charging: Charging) -> bool:
        assert charging.before is not None, "asked of what was billed before"
        ask = ask_of(charging, bill.subscription.account, bill.meters, bill.through_position)
        return bill.corrected.touch(replace(ask, after_position=charging.before.through_position))

    return since_billed


def assemble(bill: Bill, measured: Sequence[Sequence[Measured]]) -> Assembled:
    """Put the lines together: what begins in advance, what waited, what is over, coupons, tax."""
    subscription, billing = bill.subscription, bill.policy.billing
    waiting = [one for pending in subscription.pending for one in proration_lines(bill, pending)]
    wanted, asks = asks_of(bill)
    charged = [
        charge(one, groups, ask, bill.policies[one.policy_version].rating)
        for one, groups, ask in zip(wanted, measured, asks, strict=True)
    ]
    billed = tuple(one.billed for one in charged if one.billed is not None)
    setup: list[InvoiceLine] = []
    fees: list[InvoiceLine] = []
    over: list[InvoiceLine] = []
    late: list[LateCredit] = []
    if not bill.waiting_only:
        setup, fees = list(setup_lines(bill)), list(advance_lines(bill))
        over += [line for stretch in subscription.unbilled for line in arrears_lines(bill, stretch)]
        over += [line for one in charged for line in one.lines]
        over += minimum_lines(bill, billed)
        if billing.late_usage == "credit_note":
            over, late = without_late_credits(over, bill.invoiced_on)
    lines = [*setup, *fees, *(line for line, _ in waiting), *over]
    rates = {line.line: _rates_of(bill, line) for line in lines}
    rates |= {line.line: own for line, own in waiting}
    priced = discounted(lines, subscription.discounts, bill.currency, billing, bill.earlier)
    return Assembled(
        lines=tuple(taxed(priced, rates, bill.tax_rates, billing, bill.at)),
        usage=billed,
        coupons=priced.coupons,
        setup_fee=bool(setup),
        fee_line=fees[0].line if fees else None,
        late_credits=tuple(late),
    )


def _rates_of(bill: Bill, line: InvoiceLine) -> tuple[str, ...]:
    """Name the tax rates of what a line is for; a plan's minimum is under those of what it tops up."""
    assert line.plan is not None, "an assembled line is of a plan"
    assert line.price_version is not None, "and of one price version"
    terms = bill.plans[line.plan, line.price_version].terms
    own: tuple[str, ...] = ()
    if line.usage is not None:
        own = next(one.tax_rates for one in terms.charges if one.code == line.usage.charge)
    elif line.kind == SETUP_FEE and terms.setup_fee is not None:
        own = terms.setup_fee.tax_rates
    elif line.kind in (FEE, ARREARS_FEE):
        timing = "advance" if line.kind == FEE else "arrears"
        fees = [fee for fee in terms.fees if fee.timing == timing]
        own = fees[line.sequence - 1].tax_rates
    else:
        own = _common_rates(terms)
    return own or terms.tax_rates


def _common_rates(terms: PlanTerms) -> tuple[str, ...]:
    """Name the tax rates that all parts of a plan are under, if they are the same ones."""
    named = [*(fee.tax_rates for fee in terms.fees), *(one.tax_rates for one in terms.charges)]
    parts = {own or terms.tax_rates for own in named}
    return next(iter(parts)) if len(parts) == 1 else ()
