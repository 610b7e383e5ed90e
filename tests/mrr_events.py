"""A log of subscriptions' events for tests of MRR, and what it comes to without a database."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Self
from uuid import UUID, uuid4, uuid5

from ledger.events import Actor, Event, Metadata, NewEvent, Recorded
from ledger.events.plan import PlanCreated, PlanRepriced, PlanTerms, RecurringFee
from ledger.events.tax_rate import TaxRateDefined
from ledger.mrr import history
from ledger.mrr_movements import changes
from ledger.mrr_rates import Rate, converted
from ledger.mrr_values import Catalogue, PlanPrice, Standing, TaxVersion
from projections import mrr_invoices
from projections.base import fold_rows
from projections.mrr import changes_of, prices_of, tax_rates_of

if TYPE_CHECKING:
    from ledger.mrr_movements import Change
    from ledger.mrr_values import History
    from ledger.policies import MrrPolicy
    from projections.mrr_invoices import Dues
    from projections.mrr_rows import StandingRow

BEGINNING = datetime(2026, 12, 1, tzinfo=UTC)
_ACTOR = Actor(principal="prn_01h455vb4pex5vsknk084sn02q", kind="service")


@dataclass(kw_only=True)
class Life:
    """What a story remembers of a subscription, to open its periods as they come."""

    account: str
    plan: str
    anchored_at: datetime
    period_end: datetime | None = None
    trial_end: datetime | None = None
    running: bool = True


@dataclass
class Events:
    """Events of one book, in the order they are told."""

    book: UUID = field(default_factory=uuid4)
    recorded: list[Recorded] = field(default_factory=list)
    terms: dict[str, PlanTerms] = field(default_factory=dict)
    rates: list[Rate] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    lives: dict[str, Life] = field(default_factory=dict)

    def record(self, stream: str, event: Event, at: datetime, booked_at: datetime | None = None) -> Recorded:
        """Add an event to the log."""
        self.versions[stream] = self.versions.get(stream, 0) + 1
        metadata = Metadata(
            book=self.book,
            occurred_at=at,
            booked_at=booked_at or at,
            actor=_ACTOR,
            cause=f"{stream} {self.versions[stream]}",
        )
        one = Recorded(
            position=len(self.recorded) + 1,
            stream=uuid5(self.book, stream),
            stream_version=self.versions[stream],
            recorded_at=booked_at or at,
            event=event,
            metadata=metadata,
        )
        self.recorded.append(one)
        return one

    def in_book(self, book: UUID) -> Self:
        """Tell the same in another book."""
        names = {uuid5(self.book, name): name for name in self.versions}
        other = type(self)(book=book, rates=self.rates)
        for one in self.recorded:
            other.record(names[one.stream], one.event, one.metadata.occurred_at, one.metadata.booked_at)
        return other

    def new_events(self) -> list[NewEvent]:
        """Give the events as they are appended to a log."""
        return [
            NewEvent(
                stream=one.stream, stream_version=one.stream_version, event=one.event, metadata=one.metadata
            )
            for one in self.recorded
        ]

    # -- the catalogue --------------------------------------------------------------------------------

    def add_plan(
        self,
        name: str,
        interval: str,
        amounts: dict[str, int],
        *,
        per_seat: bool = True,
        tax_rates: tuple[str, ...] = (),
    ) -> None:
        """Create a plan, or give it a new price version."""
        fees = (RecurringFee(code="fee", name=name, amounts=amounts, per_seat=per_seat),) if amounts else ()
        terms = PlanTerms(interval=interval, fees=fees, tax_rates=tax_rates)
        version = self.versions.get(f"plan {name}", 0) + 1
        event = (
            PlanCreated(plan=name, product="product", name=name, price_version=1, terms=terms)
            if version == 1
            else PlanRepriced(plan=name, price_version=version, terms=terms, effective_at=BEGINNING)
        )
        self.terms[name] = terms
        self.record(f"plan {name}", event, BEGINNING)

    def add_tax_rate(self, name: str, percent: str, behaviour: str, at: datetime = BEGINNING) -> None:
        """Define a tax rate, or another version of it."""
        version = self.versions.get(f"tax rate {name}", 0) + 1
        defined = TaxRateDefined(
            tax_rate=name,
            tax_rate_version=version,
            name=name,
            jurisdiction="DE",
            percent=Decimal(percent),
            behaviour=behaviour,
            effective_at=at,
        )
        self.record(f"tax rate {name}", defined, at)

    # -- what it comes to -----------------------------------------------------------------------------

    def standings(self) -> list[StandingRow]:
        """Fold the events as the projection does, in one batch."""
        dues: list[Dues] = []
        fold_rows({}, mrr_invoices.changes_of(self.recorded, dues))
        standings: list[StandingRow] = []
        fold_rows({}, changes_of(self.recorded, dues, standings))
        return standings

    def catalogue(self) -> Catalogue:
        """Give the prices and taxes of the events."""
        prices = {
            (row.plan, row.price_version): PlanPrice(interval=row.interval, fees=row.fees)
            for row in prices_of(self.recorded)
        }
        tax_rates: dict[str, list[TaxVersion]] = {}
        for row in tax_rates_of(self.recorded):
            version = TaxVersion(percent_within=row.percent_within, effective_at=row.effective_at)
            tax_rates.setdefault(row.tax_rate, []).append(version)
        return Catalogue(prices, tax_rates)

    def histories(self, policy: MrrPolicy, currency: str | None = None) -> list[History]:
        """Give what each subscription was worth, in one currency if one is named."""
        of_one: dict[str, list[Standing]] = {}
        for row in self.standings():
            of_one.setdefault(row.subscription, []).append(standing(row))
        catalogue = self.catalogue()
        found = [history(standings, catalogue, policy) for standings in of_one.values()]
        told = [one for one in found if one is not None]
        return told if currency is None else converted(told, self.rates, currency, policy)

    def changes(self, policy: MrrPolicy, currency: str | None = None) -> list[Change]:
        """Give every change of revenue."""
        return changes(self.histories(policy, currency), policy)


def standing(row: StandingRow) -> Standing:
    """Read a row as the ledger knows it."""
    return Standing(**{one.name: getattr(row, one.name) for one in fields(Standing)})
