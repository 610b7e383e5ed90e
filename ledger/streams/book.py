"""A book: its calendar, its functional currency, its billing policy and its sellers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from ledger.errors import Invalid, NotFound
from ledger.events import Event
from ledger.events.book import BillingEntityDefined, BillingPolicyAdopted, BookOpened
from ledger.money import exponent
from ledger.periods import calendar_anchor, period_containing
from ledger.values import EARLIEST, MAX_NAME_CHARACTERS, checked_text

MODES: Final = ("live", "test")
DEFAULT_BILLING_ENTITY: Final = "default"
_DEFAULT_TERMS_DAYS: Final = 14


@dataclass(frozen=True)
class BillingEntity:
    """A seller, as invoices name it."""

    billing_entity: str
    name: str
    tax_id: str | None
    invoice_series: str
    payment_terms_days: int


@dataclass(frozen=True)
class Book:
    """A book as it stands."""

    book: str
    organisation: str
    organisation_name: str
    mode: str
    functional_currency: str
    time_zone: str
    policy_version: int = 0
    policy_preset: str = "stripe"
    billing_entities: dict[str, BillingEntity] = field(default_factory=dict)


def open_book(
    book: str, organisation: str, organisation_name: str, mode: str, functional_currency: str, time_zone: str
) -> list[Event]:
    """Open a book under the default policy, with one seller named after the organisation."""
    checked_text(organisation_name, MAX_NAME_CHARACTERS, "name")
    exponent(functional_currency)
    # Looks the zone up: an unknown one is refused.
    period_containing(calendar_anchor(time_zone), "month", EARLIEST.replace(year=2001))
    if mode not in MODES:
        message = "mode: must be live or test"
        raise Invalid(message, {"mode": ["must be live or test"]})
    return [
        BookOpened(
            book=book,
            organisation=organisation,
            organisation_name=organisation_name,
            mode=mode,
            functional_currency=functional_currency,
            time_zone=time_zone,
            fiscal_year_start_month=1,
        ),
        BillingPolicyAdopted(policy_version=1, preset="stripe"),
        BillingEntityDefined(
            billing_entity=DEFAULT_BILLING_ENTITY,
            name=organisation_name,
            tax_id=None,
            invoice_series="INV",
            credit_note_series="CN",
            payment_terms_days=_DEFAULT_TERMS_DAYS,
        ),
    ]


def require(state: Book | None) -> Book:
    """Give the book, or refuse: there is none."""
    if state is None:
        message = "there is no such book"
        raise NotFound(message)
    return state


def evolve(state: Book | None, event: Event) -> Book:
    """Apply one event; what does not concern the state is passed over."""
    if isinstance(event, BookOpened):
        return Book(
            book=event.book,
            organisation=event.organisation,
            organisation_name=event.organisation_name,
            mode=event.mode,
            functional_currency=event.functional_currency,
            time_zone=event.time_zone,
        )
    assert state is not None, "a stream begins with its first event"
    if isinstance(event, BillingPolicyAdopted):
        return replace(state, policy_version=event.policy_version, policy_preset=event.preset)
    if isinstance(event, BillingEntityDefined):
        entity = BillingEntity(
            event.billing_entity, event.name, event.tax_id, event.invoice_series, event.payment_terms_days
        )
        return replace(state, billing_entities={**state.billing_entities, event.billing_entity: entity})
    return state
