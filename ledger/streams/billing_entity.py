"""Billing entities: the sellers of a book, kept in the book's own stream, with their series and terms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ledger.errors import IdTaken, Invalid, NotFound
from ledger.events.book import BillingEntityDefined
from ledger.values import MAX_NAME_CHARACTERS, checked_code, checked_metadata, checked_text

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_BILLING_ENTITY: Final = "default"
MAX_TERMS_DAYS: Final = 365
MAX_TAX_ID_CHARACTERS: Final = 100
MAX_SERIES_CHARACTERS: Final = 40
_DEFAULT_TERMS_DAYS: Final = 14


@dataclass(frozen=True)
class BillingEntity:
    """A seller, as invoices name it."""

    billing_entity: str
    name: str
    tax_id: str | None
    invoice_series: str
    payment_terms_days: int
    credit_note_series: str = "CN"
    metadata: Mapping[str, str] = field(default_factory=dict)


def first_entity(name: str) -> BillingEntityDefined:
    """Give the seller that a book opens with."""
    return BillingEntityDefined(
        billing_entity=DEFAULT_BILLING_ENTITY,
        name=name,
        tax_id=None,
        invoice_series="INV",
        credit_note_series="CN",
        payment_terms_days=_DEFAULT_TERMS_DAYS,
    )


def define_new(entities: Mapping[str, BillingEntity], entity: BillingEntity) -> list[BillingEntityDefined]:
    """Define a seller under a code that is free."""
    if entity.billing_entity in entities:
        message = f"there is a billing entity {entity.billing_entity} already: change that one"
        raise IdTaken(message)
    return define(entities, entity)


def define(entities: Mapping[str, BillingEntity], entity: BillingEntity) -> list[BillingEntityDefined]:
    """Define a seller, or change one from here on; as it is already, that changes nothing.

    Invoices issued before keep what they say. A new series begins with its number 1.
    """
    checked = _checked(entity)
    if entities.get(entity.billing_entity) == entity:
        return []
    return [checked]


def require(entities: Mapping[str, BillingEntity], billing_entity: str) -> BillingEntity:
    """Give a seller, or refuse: the book has none of this code."""
    if billing_entity not in entities:
        message = "there is no such billing entity"
        raise NotFound(message)
    return entities[billing_entity]


def with_entity(
    entities: Mapping[str, BillingEntity], event: BillingEntityDefined
) -> dict[str, BillingEntity]:
    """Give the sellers with one of them as it was defined last."""
    entity = BillingEntity(
        event.billing_entity,
        event.name,
        event.tax_id,
        event.invoice_series,
        event.payment_terms_days,
        event.credit_note_series,
        event.metadata,
    )
    return {**entities, event.billing_entity: entity}


def _checked(entity: BillingEntity) -> BillingEntityDefined:
    checked_text(entity.name, MAX_NAME_CHARACTERS, "name")
    if entity.tax_id is not None:
        checked_text(entity.tax_id, MAX_TAX_ID_CHARACTERS, "tax_id")
    for field_name in ("invoice_series", "credit_note_series"):
        series = checked_code(getattr(entity, field_name), field_name)
        if len(series) > MAX_SERIES_CHARACTERS:
            raise _refused(field_name, f"must have at most {MAX_SERIES_CHARACTERS} characters")
    if entity.invoice_series == entity.credit_note_series:
        raise _refused("credit_note_series", "must not be that of invoices: each numbers its own documents")
    if not 0 <= entity.payment_terms_days <= MAX_TERMS_DAYS:
        raise _refused("payment_terms_days", f"must be from 0 to {MAX_TERMS_DAYS}")
    return BillingEntityDefined(
        billing_entity=checked_code(entity.billing_entity),
        name=entity.name,
        tax_id=entity.tax_id,
        invoice_series=entity.invoice_series,
        credit_note_series=entity.credit_note_series,
        payment_terms_days=entity.payment_terms_days,
        metadata=checked_metadata(entity.metadata),
    )


def _refused(field_name: str, reason: str) -> Invalid:
    return Invalid(f"{field_name}: {reason}", {field_name: [reason]})
