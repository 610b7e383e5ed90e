"""The rules of a seller, which stands in its book's own stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ledger.errors import IdTaken, Invalid, NotFound
from ledger.events.book import BillingEntityDefined
from ledger.streams import billing_entity as entities
from ledger.streams.billing_entity import BillingEntity

GMBH = BillingEntity("gmbh", "Acme GmbH", "DE123456789", "R", 30, "G", {"country": "DE"})
DEFINED = BillingEntityDefined(
    billing_entity="gmbh",
    name="Acme GmbH",
    tax_id="DE123456789",
    invoice_series="R",
    credit_note_series="G",
    payment_terms_days=30,
    metadata={"country": "DE"},
)


def refusal(entity: BillingEntity) -> Invalid:
    with pytest.raises(Invalid) as refused:
        entities.define({}, entity)
    return refused.value


def test_a_seller_is_defined_and_known_from_then_on() -> None:
    assert entities.define_new({}, GMBH) == [DEFINED]
    assert entities.require(entities.with_entity({}, DEFINED), "gmbh") == GMBH


def test_a_seller_s_code_is_taken_once() -> None:
    with pytest.raises(IdTaken, match="gmbh already"):
        entities.define_new({"gmbh": GMBH}, GMBH)


def test_a_seller_may_change_from_here_on() -> None:
    moved = replace(GMBH, name="Acme SE", payment_terms_days=14)
    (event,) = entities.define({"gmbh": GMBH}, moved)
    assert entities.with_entity({"gmbh": GMBH}, event) == {"gmbh": moved}


def test_a_seller_as_it_is_changes_nothing() -> None:
    assert entities.define({"gmbh": GMBH}, GMBH) == []


def test_a_seller_that_there_is_not_is_not_found() -> None:
    with pytest.raises(NotFound):
        entities.require({"gmbh": GMBH}, "default")


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("code", {"billing_entity": "Acme GmbH"}),
        ("name", {"name": ""}),
        ("tax_id", {"tax_id": ""}),
        ("invoice_series", {"invoice_series": "R 2027"}),
        ("invoice_series", {"invoice_series": "R" * 41}),
        ("credit_note_series", {"credit_note_series": "/"}),
        ("credit_note_series", {"credit_note_series": "R"}),
        ("payment_terms_days", {"payment_terms_days": -1}),
        ("payment_terms_days", {"payment_terms_days": 366}),
        ("metadata.k", {"metadata": {"k": ""}}),
    ],
)
def test_a_seller_that_cannot_number_its_invoices_is_refused_by_field(
    field: str, changes: dict[str, Any]
) -> None:
    assert set(refusal(replace(GMBH, **changes)).errors) == {field}
