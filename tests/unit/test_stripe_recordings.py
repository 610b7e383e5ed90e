"""Recorded Stripe events of many API versions tell exactly what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.stripe_shapes import InvoiceFact, TaxFact, UnreadableFact, read_event, read_facts
from tests.unit.stripe_bodies import (
    BASIL,
    EVENT_FILES,
    RECORDINGS,
    at,
    envelope_of,
    event,
    facts_of,
    only,
    payments,
    recorded,
)
from tests.unit.stripe_expected import APRIL_29, EXPECTED
from tests.unit.stripe_facts import paid

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("name", EVENT_FILES)
def test_every_recorded_event_tells_exactly_what_is_expected_of_it(name: str) -> None:
    assert read_facts(read_event((RECORDINGS / name).read_bytes())) == EXPECTED.get(name, ())


def test_every_expectation_has_its_recording() -> None:
    recorded("pay-rails/invoice.json")
    assert set(EXPECTED) <= set(EVENT_FILES)
    assert len(EVENT_FILES) == 31


def test_the_envelope_of_a_recorded_event_is_read() -> None:
    found = envelope_of(recorded("supabase-stripe-sync-engine/customer_updated.json"))
    assert (found.event_id, found.type) == ("evt_1IlZRsJDPojXS6LN2AbFmnR4", "customer.updated")
    assert (found.api_version, found.livemode, found.account) == ("2020-03-02", False, "")
    assert (found.created, found.customer) == (APRIL_29, "cus_IhGfebO16cMIGN")
    assert found.previous_attributes == {"email": "customer@example.com"}


def test_an_invoice_that_carries_old_and_new_fields_is_counted_once() -> None:
    body = event("invoice.paid", recorded("pay-rails/invoice.json"), api_version=BASIL)
    found, payment = facts_of(body)
    assert isinstance(found, InvoiceFact)
    assert (found.total, found.subtotal, found.amount_paid) == (24512, 25230, 24512)
    assert (found.discount_total, found.credits_applied) == (2523 + 870, 0)
    assert found.taxes == (TaxFact(1805, inclusive=False, rate="txr_1REBcPKXBGcbgpbZad52Yd7V"),)
    assert [(part.amount, part.discount_total, part.quantity) for part in found.lines] == [
        (17400, 1740, "6"),
        (8700, 1653, "3"),
    ]
    assert [tax.amount for part in found.lines for tax in part.taxes] == [1245, 560]
    assert {part.price for part in found.lines} == {"price_1KOpJJKXBGcbgpbZyDoF66XQ"}
    assert {part.product for part in found.lines} == {"prod_IxQQWtyij0rvGp"}
    assert payment == paid(
        "pi_3RFFrjKXBGcbgpbZ0mAQxeI1",
        24512,
        "invoice",
        at(2023, 11, 14, 22, 13, 20),
        charge="ch_3RFFrjKXBGcbgpbZ0g57Qovb",
        invoice="in_1RFFohKXBGcbgpbZk9MxzDMc",
        customer="cus_S9YwWMaQEgeJYO",
    )


def recorded_invoices() -> Iterator[InvoiceFact]:
    bodies = [recorded(name) for name in EVENT_FILES]
    wrapped = [
        recorded(f"pay-rails/invoice.{name}.json")["object"] for name in ("payment_failed", "upcoming")
    ]
    bare = [recorded("pay-rails/invoice.json"), recorded("stripe-openapi/invoice.object.json")]
    bodies += [event("invoice.updated", about) for about in wrapped + bare]
    return (fact for body in bodies for fact in facts_of(body) if isinstance(fact, InvoiceFact))


def test_the_total_of_every_recorded_invoice_follows_from_its_parts() -> None:
    found = list(recorded_invoices())
    assert len(found) == 9
    for fact in found:
        assert not fact.has_more_lines
        exclusive_taxes = sum(tax.amount for tax in fact.taxes if not tax.inclusive)
        line_sum = sum(part.amount for part in fact.lines)
        assert fact.total == line_sum - fact.discount_total - fact.credits_applied + exclusive_taxes


def test_a_preview_without_an_id_is_a_notice() -> None:
    about = recorded("pay-rails/invoice.upcoming.json")["object"]
    found = only(InvoiceFact, event("invoice.upcoming", about, api_version=BASIL))
    assert (found.notice, found.invoice, found.subscription, found.total) == (True, "", "sub_1234", 1900)


def test_an_object_of_another_kind_than_its_event_is_unreadable() -> None:
    about = recorded("pay-rails/invoice.updated.json")["object"]
    refused = UnreadableFact("inpay_1T4AIlGWAy8DppqhYcK0hqe3", "object: must be invoice")
    assert facts_of(event("invoice.updated", about)) == (refused,)
    (told,) = payments("invoice_payment.paid", about)
    assert (told.key, told.amount, told.status) == ("pi_3T4AIlGWAy8Dppqh3Vsl9Pya", 2000, "succeeded")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("invoice.updated", "invoice"),
        ("customer.subscription.updated", "subscription"),
        ("invoice_payment.paid", "invoice_payment"),
    ],
)
def test_machine_filled_objects_are_read_or_set_aside(kind: str, name: str) -> None:
    assert len(facts_of(event(kind, recorded(f"stripe-openapi/{name}.object.json")))) == 1
