"""A seller in memory: a book, one account, and everything that can be asked of its subscriptions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from commands import subscriptions as commands
from commands.accounts import register_account
from commands.billing import put_together, settle_draft
from commands.context import Context, Unit
from commands.coupons import create_coupon
from commands.explaining import recompute
from commands.meters import define_meter
from commands.plans import PlanDraft, create_plan_of
from commands.policies import adopt_policy
from commands.subscriptions import Wish
from commands.tax_rates import define_tax_rate
from ledger.events import Actor, Metadata, NewEvent
from ledger.events.coupon import CouponTerms
from ledger.events.invoice import InvoiceDrafted
from ledger.events.plan import PlanTerms
from ledger.events.usage import UsageRecorded
from ledger.identifiers import public_id, stream_of
from ledger.meters import MeterDefinition
from ledger.settings import Settings
from ledger.streams import book as books
from ledger.streams import invoice as invoices
from ledger.streams import subscription as subscriptions
from ledger.streams.base import Stream, fold
from ledger.streams.invoice import Invoice
from ledger.streams.subscribing import Beginning, due_at
from ledger.streams.tax_rate import TaxTerms
from tests.acme import counting_bytes, known
from tests.examples import BOOK, example_id
from tests.memory_log import MemoryLog
from tests.memory_measure import MemoryMeasure

if TYPE_CHECKING:
    from commands.subscriptions import Billed
    from ledger.events.invoice import InvoiceLine
    from ledger.streams.subscription import Subscription

E = TypeVar("E")
ACTOR: Final = Actor(principal=example_id("prn"), kind="person")
OPENED_AT: Final = datetime(2027, 1, 1, tzinfo=UTC)


@dataclass
class Shop:
    """A book in memory with one account; every command is asked at the shop's present time."""

    context: Context
    log: MemoryLog
    account: str
    subscription: str = ""
    _numbers: Any = field(default_factory=lambda: count(1))

    @property
    def now(self) -> datetime:
        """The shop's time."""
        return self.context.now

    def at(self, now: datetime) -> Shop:
        """Turn the clock; it may go back a little, as between two machines."""
        self.context = replace(self.context, now=now, cause=f"request {next(self._numbers)}")
        return self

    # -- the catalogue ----------------------------------------------------------------------------------

    def plan(self, name: str = "Pro", **terms: Any) -> str:
        """Create a plan of these terms, monthly unless they say otherwise."""
        wanted = PlanTerms(**{"interval": "month", **terms})
        return str(known(create_plan_of(self.context, PlanDraft(name=name, terms=wanted)).result).plan)

    def tax(self, percent: str, behaviour: str = "exclusive", jurisdiction: str = "DE") -> str:
        """Define a tax rate."""
        terms = TaxTerms(
            name=f"{percent} %", jurisdiction=jurisdiction, percent=Decimal(percent), behaviour=behaviour
        )
        return str(known(define_tax_rate(self.context, terms).result).tax_rate)

    def coupon(self, code: str = "WELCOME", **terms: Any) -> str:
        """Create a coupon and give its code."""
        create_coupon(self.context, code, code.title(), CouponTerms(**terms))
        return code

    def meter(self, code: str, **definition: Any) -> str:
        """Define a meter over events of a type that is its code unless told."""
        named = {"code": code, "name": code, "event_type": code, **definition}
        define_meter(self.context, MeterDefinition(**named))
        return code

    def adopt(self, preset: str, **overrides: str) -> None:
        """Bill by other conventions from now on."""
        adopt_policy(self.context, preset, overrides)

    # -- subscriptions ----------------------------------------------------------------------------------

    def subscribe(self, plan: str, coupon: str | None = None, **beginning: Any) -> Billed:
        """Subscribe the account; later commands are about this subscription."""
        how = Beginning(**{"starts_at": self.now, **beginning})
        billed = commands.subscribe(self.context, self.account, plan, beginning=how, coupon=coupon).result
        self.subscription = known(billed.subscription).subscription
        return billed

    def change(self, **wish: Any) -> Billed:
        """Change the subscription."""
        return commands.change_subscription(self.context, self.subscription, Wish(**wish)).result

    def cancel(self, *, at_period_end: bool = False, credit: bool = True) -> Billed:
        """End the subscription, now unless told."""
        return commands.cancel_subscription(
            self.context, self.subscription, at_period_end=at_period_end, credit=credit
        ).result

    def pause(self, *, shifts: bool = False) -> Billed:
        """Pause the subscription."""
        return commands.pause_subscription(self.context, self.subscription, shifts=shifts).result

    def resume(self) -> Billed:
        """Resume the subscription."""
        return commands.resume_subscription(self.context, self.subscription).result

    def reactivate(self) -> Billed:
        """Let the subscription go on, or begin again."""
        return commands.reactivate_subscription(self.context, self.subscription).result

    def redeem(self, coupon: str) -> Billed:
        """Redeem a coupon."""
        return commands.redeem_coupon(self.context, self.subscription, coupon).result

    def add(self, plan: str, quantity: int = 1) -> str:
        """Add a plan and give its item."""
        billed = commands.add_plan(self.context, self.subscription, plan, quantity).result
        return str(known(billed.subscription).items[-1].item)

    def remove(self, item: str) -> Billed:
        """Take an added plan away."""
        return commands.remove_plan(self.context, self.subscription, item).result

    def advance(self) -> Billed:
        """Do the one thing that is due next."""
        return commands.advance_subscription(self.context, self.subscription).result

    def advance_to(self, until: datetime, *, settles: bool = True) -> None:
        """Do in order, each when it is due, all that is due until an instant; it is then that instant.

        Without `settles`, drafts are left to be settled by whatever comes next.
        """
        while True:
            due = due_at(self.state)
            drafts = [
                (one.draft.finalizes_at, one.draft.invoice)
                for one in self.invoices()
                if settles and one.status == "draft" and one.draft.finalizes_at is not None
            ]
            first = min(drafts, default=None)
            if first is not None and first[0] <= until and (due is None or first[0] <= due):
                self.at(first[0])
                settle_draft(self.context, first[1])
            elif due is not None and due <= until:
                self.at(due).advance()
            else:
                break
        self.at(until)

    # -- usage ------------------------------------------------------------------------------------------

    def use(
        self,
        quantity: str | int,
        occurred_at: datetime | None = None,
        meter: str = "api_calls",
        **properties: Any,
    ) -> None:
        """Record a usage event, of now unless told."""
        number = next(self._numbers)
        event = UsageRecorded(
            account=self.account,
            meter=meter,
            quantity=Decimal(quantity),
            source="tests",
            event_id=f"evt-{number}",
            accepted_at=self.now,
            digest=f"{number:064x}",
            properties=properties,
        )
        metadata = Metadata(
            book=BOOK,
            occurred_at=occurred_at or self.now,
            booked_at=self.now,
            actor=ACTOR,
            cause=f"usage {number}",
        )
        self.log.append(
            BOOK, [NewEvent(stream=UUID(int=number), stream_version=1, event=event, metadata=metadata)]
        )

    # -- what came of it --------------------------------------------------------------------------------

    @property
    def state(self) -> Subscription:
        """The subscription as it stands."""
        return self.state_of(self.subscription)

    def state_of(self, subscription: str) -> Subscription:
        """Give a subscription as it stands."""
        recorded = self.log.load(BOOK, stream_of("sub", subscription))
        return subscriptions.require(fold(subscriptions.evolve, recorded).state)

    def of(self, event_class: type[E]) -> list[E]:
        """Give the events of a class, in log order."""
        return [event for event in self.log.events() if isinstance(event, event_class)]

    def invoices(self) -> list[Invoice]:
        """Give every invoice as it stands, in the order of their first drafts."""
        names = dict.fromkeys(drafted.invoice for drafted in self.of(InvoiceDrafted))
        return [self.invoice(name) for name in names]

    def invoice(self, name: str) -> Invoice:
        """Give an invoice as it stands."""
        return invoices.require(fold(invoices.evolve, self.log.load(BOOK, stream_of("inv", name))).state)

    def lines(self) -> list[InvoiceLine]:
        """Give the lines of all invoices as they stand."""
        return [line for invoice in self.invoices() for line in invoice.draft.lines]

    def again(self, invoice: Invoice) -> tuple[InvoiceLine, ...]:
        """Put an invoice together again from the log as it was when it was computed."""
        recomputed = recompute(self.context, invoice.draft.invoice)
        assert recomputed.bill is not None, "it was put together"
        return put_together(Unit(self.context, recomputed.bill.through_position), recomputed.bill).lines


def told(invoice: Stream[Invoice] | Invoice | None) -> list[tuple[str, int]]:
    """Give an invoice's lines as what they are and their amounts."""
    if invoice is None:
        return []
    state = invoice if isinstance(invoice, Invoice) else known(invoice)
    return [(line.description, line.amount) for line in state.draft.lines]


def open_shop(
    preset: str = "stripe",
    now: datetime = OPENED_AT,
    zone: str = "UTC",
    currency: str | None = "USD",
    **overrides: str,
) -> Shop:
    """Open a book under a preset with single axes overridden, and register an account in a zone."""
    log = MemoryLog()
    context = Context(
        log.as_log(), Settings(), BOOK, ACTOR, "test", now, counting_bytes(), measure=MemoryMeasure(log)
    )
    unit = Unit(context)
    opened = books.open_book(public_id("book", BOOK), example_id("org"), "Acme Inc.", "test", "USD", "UTC")
    unit.add(BOOK, Stream(), books.evolve, opened)
    log.append(BOOK, unit.events)
    if preset != "stripe" or overrides:
        adopt_policy(context, preset, overrides)
    account = known(register_account(context, "Ada", "ada@example.com", currency, zone).result).account
    return Shop(context, log, account)
