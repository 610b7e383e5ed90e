"""A book: its calendar, its functional currency, its billing policy and its sellers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, assert_never

from ledger.errors import Invalid, NotFound
from ledger.events.book import (
    BillingEntityDefined,
    BillingPolicyAdopted,
    BookOpened,
    WebhookEndpointRegistered,
)
from ledger.money import exponent
from ledger.periods import local_date
from ledger.secrets import MODES
from ledger.streams.base import begins_with
from ledger.values import EARLIEST, MAX_NAME_CHARACTERS, checked_text

BookEvent: TypeAlias = BookOpened | BillingPolicyAdopted | BillingEntityDefined | WebhookEndpointRegistered

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
) -> list[BookEvent]:
    """Open a book under the default policy, with one seller named after the organisation."""
    checked_text(organisation_name, MAX_NAME_CHARACTERS, "name")
    exponent(functional_currency)
    # Looks the zone up: an unknown one is refused.
    local_date(EARLIEST, time_zone)
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


@begins_with(BookOpened)
def evolve(state: Book | None, event: BookEvent) -> Book:
    """Apply one event."""
    match event:
        case BookOpened():
            return Book(
                book=event.book,
                organisation=event.organisation,
                organisation_name=event.organisation_name,
                mode=event.mode,
                functional_currency=event.functional_currency,
                time_zone=event.time_zone,
            )
        case BillingPolicyAdopted():
            return replace(_known(state), policy_version=event.policy_version, policy_preset=event.preset)
        case BillingEntityDefined():
            return _with_entity(_known(state), event)
        case WebhookEndpointRegistered():
            return _known(state)
        case _:
            assert_never(event)


def _with_entity(state: Book, event: BillingEntityDefined) -> Book:
    entity = BillingEntity(
        event.billing_entity, event.name, event.tax_id, event.invoice_series, event.payment_terms_days
    )
    return replace(state, billing_entities={**state.billing_entities, event.billing_entity: entity})


def _known(state: Book | None) -> Book:
    assert state is not None, "a stream begins with its first event"
    return state
