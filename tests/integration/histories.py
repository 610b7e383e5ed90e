"""Histories to try projections on: a small one that touches every table, and any number of random ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4, uuid5

from ledger.events import Actor, Event, Metadata, NewEvent
from ledger.events.account import AccountClosed, AccountEmailChanged, AccountRegistered, AccountRenamed
from ledger.events.api_key import ApiKeyIssued, ApiKeyRevoked, ApiKeyRotated, ApiKeySuspended
from ledger.events.clock import ClockMoved
from ledger.events.dunning import DunningPolicyAdopted, DunningStep
from ledger.events.invoice import InvoiceDrafted, InvoiceFinalized, InvoiceLine, PaymentApplied
from ledger.events.journal import JournalEntryPosted, Posting
from ledger.events.log import EventSetAside
from ledger.events.payment import PaymentReceived
from ledger.events.plan import PlanCreated, PlanRetired
from ledger.events.source import SourceGranted, SourceWithdrawn
from ledger.events.stripe import (
    StripeCustomerObserved,
    StripeInvoiceObserved,
    StripeSubscriptionItem,
    StripeSubscriptionObserved,
)
from ledger.events.subscription import PeriodOpened, PlanChanged, SubscriptionCancelled, SubscriptionStarted
from ledger.events.usage import UsageRecorded
from ledger.identifiers import public_id, usage_stream
from ledger.store import Log
from ledger.streams.plan import one_fee
from tests.integration.catalogue_histories import write_catalogue
from tests.integration.correction_histories import correct
from tests.integration.credit_histories import write_credit
from tests.integration.credit_note_histories import write_credit_note
from tests.integration.log_events import append_usage

if TYPE_CHECKING:
    from tests.postgres import Database

MASTER_KEY = b"m" * 32
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_IDS = UUID("00000000-0000-4000-8000-0000000000aa")


@dataclass
class Writer:
    """Writes events of one book, each at an instant that moves on by a second."""

    database: Database
    book: UUID = field(default_factory=uuid4)
    at: datetime = NOON
    actor: Actor = Actor(principal="prn_01h455vb4pex5vsknk084sn02q", kind="person")  # noqa: RUF009 - frozen
    versions: dict[UUID, int] = field(default_factory=dict)
    _log: Log | None = None

    @property
    def log(self) -> Log:
        """The log, as the run-time role of commands sees it."""
        if self._log is None:
            self._log = Log(self.database.app_url, MASTER_KEY)
        return self._log

    def close(self) -> None:
        """Close the log's pool."""
        if self._log is not None:
            self._log.close()

    def id_of(self, prefix: str, name: str) -> str:
        """Give the public id that a name stands for in this book."""
        return public_id(prefix, uuid5(_IDS, f"{self.book}{prefix}{name}"))

    def write(self, stream: str, *events: Event, booked_at: datetime | None = None) -> int:
        """Append events to the stream of a name, and give the last one's position."""
        return self.append([self.new(stream, event, booked_at) for event in events])

    def new(self, stream: str, event: Event, booked_at: datetime | None = None) -> NewEvent:
        """Give the next event of a stream, not written yet."""
        identity = uuid5(_IDS, f"{self.book}{stream}")
        self.versions[identity] = self.versions.get(identity, 0) + 1
        return NewEvent(
            stream=identity,
            stream_version=self.versions[identity],
            event=event,
            metadata=self._metadata(f"cause-{stream}-{self.versions[identity]}", booked_at),
        )

    def append(self, events: list[NewEvent]) -> int:
        """Append events in one transaction, and give the last one's position."""
        return self.log.append(self.book, events)[-1]

    def usage(self, account: str, *times: datetime, meter: str = "api_calls", quantity: str = "1") -> int:
        """Append a usage event at each time, and give the last one's position."""
        events = []
        for occurred_at in times:
            self.versions[_IDS] = number = self.versions.get(_IDS, 0) + 1
            usage = UsageRecorded(
                account=account,
                meter=meter,
                quantity=Decimal(quantity),
                source="tests",
                event_id=f"evt-{number}",
                accepted_at=occurred_at,
                digest="ab" * 32,
            )
            metadata = self._metadata(f"usage-{number}", None, occurred_at)
            stream = usage_stream(self.book, "tests", usage.event_id)
            events.append(NewEvent(stream=stream, stream_version=1, event=usage, metadata=metadata))
        outcome = append_usage(self.log, events)
        assert outcome.position is not None
        return outcome.position

    def _metadata(
        self, cause: str, booked_at: datetime | None, occurred_at: datetime | None = None
    ) -> Metadata:
        self.at += timedelta(seconds=1)
        return Metadata(
            book=self.book,
            occurred_at=occurred_at or self.at,
            booked_at=booked_at or self.at,
            actor=self.actor,
            cause=cause,
        )

    # -- facts ---------------------------------------------------------------------------------------

    def account(self, name: str = "ada", **changes: Any) -> str:
        """Register an account and give its id."""
        account = self.id_of("acc", name)
        facts = {"name": name.title(), "email": f"{name}@example.com", "currency": "USD", "time_zone": "UTC"}
        self.write(f"account-{name}", AccountRegistered(account=account, **facts | changes))
        return account

    def rename(self, account_name: str, name: str) -> int:
        """Give an account another name."""
        return self.write(
            f"account-{account_name}", AccountRenamed(account=self.id_of("acc", account_name), name=name)
        )

    def change_email(self, account_name: str, email: str) -> int:
        """Give an account another e-mail address."""
        event = AccountEmailChanged(account=self.id_of("acc", account_name), email=email)
        return self.write(f"account-{account_name}", event)

    def close_account(self, account_name: str) -> int:
        """Close an account."""
        event = AccountClosed(account=self.id_of("acc", account_name), reason="moved away", closed_at=self.at)
        return self.write(f"account-{account_name}", event)

    def key(self, account: str, name: str = "first") -> str:
        """Issue a key and give its id."""
        key = self.id_of("key", name)
        issued = ApiKeyIssued(
            key=key,
            owner=account,
            name=name,
            scopes=("read", "usage:write"),
            secret_hash="h" * 64,
            pepper_version=1,
            hint="a1b2",
        )
        self.write(f"key-{name}", issued)
        return key

    def change_key(self, account: str, name: str, what: str) -> int:
        """Rotate, suspend or revoke a key."""
        names = {"key": self.id_of("key", name), "owner": account}
        events: dict[str, Event] = {
            "rotate": ApiKeyRotated(**names, secret_hash="i" * 64, pepper_version=1, hint="c3d4"),
            "suspend": ApiKeySuspended(**names, reason="leaked"),
            "revoke": ApiKeyRevoked(**names, reason="leaked"),
        }
        return self.write(f"key-{name}", events[what])

    def grant(self, name: str = "gateway", *scopes: str) -> str:
        """Grant a source, whose text tells its book, and give it."""
        source = f"{name} of {self.book}"
        granted = SourceGranted(
            source=source,
            principal=self.actor.principal,
            principal_kind=self.actor.kind,
            scopes=scopes or ("usage:write",),
            granted_at=self.at,
        )
        self.write(f"source-{name}", granted)
        return source

    def withdraw(self, name: str = "gateway") -> int:
        """Withdraw a source."""
        event = SourceWithdrawn(
            source=f"{name} of {self.book}", reason="moved to another book", withdrawn_at=self.at
        )
        return self.write(f"source-{name}", event)

    def plan(self, name: str = "pro", amount: int = 2900) -> str:
        """Create a plan and give its id."""
        plan = self.id_of("plan", name)
        created = PlanCreated(
            plan=plan,
            product="product",
            name=name,
            price_version=1,
            terms=one_fee(name, "USD", "month", amount),
        )
        self.write(f"plan-{name}", created)
        return plan

    def retire_plan(self, name: str = "pro") -> int:
        """Take a plan off sale."""
        return self.write(f"plan-{name}", PlanRetired(plan=self.id_of("plan", name), reason="replaced"))

    def subscribe(self, account: str, plan: str, name: str = "first") -> str:
        """Subscribe an account to a plan and open its first period."""
        subscription = self.id_of("sub", name)
        started = SubscriptionStarted(
            subscription=subscription,
            account=account,
            plan=plan,
            price_version=1,
            item="item",
            anchor_day=1,
            anchor_month=3,
            anchor_weekday=6,
            anchor_time=time(12),
            time_zone="UTC",
            starts_at=NOON,
        )
        opened = PeriodOpened(
            subscription=subscription,
            account=account,
            period="per_1",
            starts_at=NOON,
            ends_at=NOON + timedelta(days=31),
            plan=plan,
            price_version=1,
            policy_version=1,
        )
        self.write(f"subscription-{name}", started, opened)
        return subscription

    def change_plan(self, account: str, old: str, new: str, name: str = "first") -> int:
        """Move a subscription to another plan."""
        changed = PlanChanged(
            subscription=self.id_of("sub", name),
            account=account,
            from_plan=old,
            to_plan=new,
            price_version=1,
            effective_at=self.at,
        )
        return self.write(f"subscription-{name}", changed)

    def cancel(self, account: str, name: str = "first") -> int:
        """End a subscription."""
        cancelled = SubscriptionCancelled(
            subscription=self.id_of("sub", name), account=account, ended_at=self.at
        )
        return self.write(f"subscription-{name}", cancelled)

    def invoice(self, account: str, amount: int = 2900, name: str = "first") -> str:
        """Draft and finalize an invoice and post its entry, in one transaction; give its id."""
        invoice = self.id_of("inv", name)
        drafted = InvoiceDrafted(
            invoice=invoice,
            account=account,
            billing_entity="default",
            payer=account,
            subscription=self.id_of("sub", name),
            kind="recurring",
            currency="USD",
            period_start=NOON,
            period_end=NOON + timedelta(days=31),
            lines=(_line(amount),),
            computed_at_position=1,
            managed_by="daybook",
        )
        finalized = InvoiceFinalized(
            invoice=invoice,
            account=account,
            billing_entity="default",
            series="INV",
            number=1,
            formatted_number="INV-000001",
            issued_on=date(2026, 3, 1),
            due_on=date(2026, 3, 31),
            terms="net 30",
            currency="USD",
            subtotal=amount,
            discount_total=0,
            tax_total=0,
            total=amount,
            seller_name="Seller",
            seller_tax_id=None,
            buyer_name="Ada",
            buyer_email="ada@example.com",
            buyer_tax_id=None,
        )
        self.append(
            [
                self.new(f"invoice-{name}", drafted),
                self.new(f"invoice-{name}", finalized),
                self.new(
                    f"entry-invoice-{name}", self.entry(account, "receivable", "deferred_revenue", amount)
                ),
            ]
        )
        return invoice

    def pay(self, account: str, amount: int, invoice_name: str = "first", name: str = "first") -> int:
        """Receive a payment, apply it to an invoice and post its entry, in one transaction."""
        payment = self.id_of("pay", name)
        received = PaymentReceived(
            payment=payment,
            account=account,
            amount=amount,
            currency="USD",
            method="transfer",
            reference=None,
            received_at=self.at,
        )
        applied = PaymentApplied(
            invoice=self.id_of("inv", invoice_name),
            account=account,
            payment=payment,
            amount=amount,
            currency="USD",
        )
        return self.append(
            [
                self.new(f"payment-{name}", received),
                self.new(f"invoice-{invoice_name}", applied),
                self.new(
                    f"entry-payment-{name}", self.entry(account, "external_asset", "receivable", amount)
                ),
            ]
        )

    def entry(self, account: str, debit: str, credit: str, amount: int) -> JournalEntryPosted:
        """Give a journal entry of two postings."""
        sides = (("debit", debit), ("credit", credit))
        return JournalEntryPosted(
            entry=f"ent_{self.at.timestamp()}",
            accounting_date=date(2026, 3, 1),
            economic_object="object",
            kind="kind",
            rule="rule",
            rule_version=1,
            postings=tuple(
                Posting(
                    ledger_account=ledger_account,
                    side=side,
                    amount=amount,
                    currency="USD",
                    functional_amount=amount,
                    functional_currency="USD",
                    account=account,
                )
                for side, ledger_account in sides
            ),
            description="an entry",
            account=account,
        )

    def see_customer(self, account: str, name: str | None, observed_at: datetime) -> int:
        """Observe a customer at Stripe."""
        seen = StripeCustomerObserved(
            customer="cus_1",
            account=account,
            name=name,
            email=None,
            deleted=False,
            observed_at=observed_at,
            stripe_event="evt_1",
        )
        return self.write("stripe-customer", seen)

    def see_subscription(self, account: str, status: str, observed_at: datetime) -> int:
        """Observe a subscription at Stripe."""
        item = StripeSubscriptionItem(
            item="si_1",
            price="price_1",
            product="prod_1",
            quantity=1,
            unit_amount="2900",
            currency="USD",
            interval="month",
            interval_count=1,
            period_start=NOON,
            period_end=NOON + timedelta(days=31),
        )
        seen = StripeSubscriptionObserved(
            stripe_subscription="sub_stripe",
            account=account,
            status=status,
            items=(item,),
            cancels_at=None,
            ended_at=None,
            observed_at=observed_at,
            stripe_event="evt_1",
        )
        return self.write("stripe-subscription", seen)

    def see_invoice(
        self, account: str, status: str, observed_at: datetime, managed_invoice: str | None = None
    ) -> int:
        """Observe an invoice at Stripe."""
        seen = StripeInvoiceObserved(
            stripe_invoice="in_stripe",
            account=account,
            stripe_subscription="sub_stripe",
            status=status,
            number="ABC-1",
            currency="USD",
            subtotal=2900,
            tax_total=0,
            total=2900,
            amount_paid=2900 if status == "paid" else 0,
            due_at=None,
            managed_invoice=managed_invoice,
            observed_at=observed_at,
            stripe_event="evt_1",
        )
        return self.write("stripe-invoice", seen)

    def adopt_dunning(self) -> int:
        """Remind whoever is three days late."""
        step = DunningStep(days_after_due=3, action="remind")
        adopted = DunningPolicyAdopted(policy_version=1, in_force_from=NOON, time_zone="UTC", steps=(step,))
        return self.write("dunning", adopted)

    def move_clock(self, to: datetime) -> int:
        """Move the book's clock."""
        return self.write("clock", ClockMoved(from_at=self.at, to_at=to))

    def set_aside(self, position: int) -> int:
        """Set an event aside."""
        return self.write(
            f"aside-{position}", EventSetAside(position=position, reason="no projection can take it")
        )


def _line(amount: int) -> InvoiceLine:
    return InvoiceLine(
        line="line_1",
        subscription_item="item",
        period="per_1",
        kind="fee",
        sequence=1,
        description="pro",
        quantity="1",
        amount=amount,
        service_from=NOON,
        service_to=NOON + timedelta(days=31),
        usage_after_position=None,
        usage_through_position=None,
        plan=None,
        price_version=1,
        policy_version=1,
        performance_obligation="subscription",
        recognition_rule="straight_line",
        revenue_account="revenue",
        product=None,
    )


def write_everything(writer: Writer) -> str:
    """Write a history that leaves rows in every table of every projection; give its account."""
    account = writer.account()
    writer.key(account)
    writer.grant()
    writer.adopt_dunning()
    write_catalogue(writer)
    plan = writer.plan()
    writer.subscribe(account, plan)
    writer.move_clock(NOON)
    writer.invoice(account)
    writer.pay(account, 1000)
    write_credit(writer, account)
    write_credit_note(writer, account)
    writer.see_customer(account, "Ada at Stripe", NOON)
    writer.see_subscription(account, "active", NOON)
    writer.see_invoice(account, "open", NOON)
    writer.usage(account, *(NOON + timedelta(minutes=minute) for minute in range(5)))
    correct(writer, 1, "1", region="eu")
    return account
