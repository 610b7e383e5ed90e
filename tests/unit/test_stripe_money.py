"""Invoices and payments of Stripe, in every place where an API version keeps their fields."""

from __future__ import annotations

import pytest

from schemas.stripe_shapes import (
    InvoiceFact,
    TaxFact,
    UnreadableFact,
)
from tests.unit.stripe_bodies import (
    BASIL,
    CH,
    CHARGE,
    INTENT,
    INVOICE_PAYMENT,
    LEGACY,
    PI,
    SESSION,
    event,
    facts_of,
    invoice,
    line,
    only,
    payments,
)


@pytest.mark.parametrize(
    "place",
    [
        {"subscription": "sub_1"},
        {"subscription": {"id": "sub_1", "object": "subscription"}},
        {"parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1"}}},
        {"parent": {"subscription_details": {"subscription": {"id": "sub_1"}}}, "subscription": "sub_0"},
    ],
)
def test_the_subscription_of_an_invoice_is_found_in_every_place(place: dict[str, object]) -> None:
    assert only(InvoiceFact, event("invoice.created", invoice(**place))).subscription == "sub_1"


@pytest.mark.parametrize(
    "place",
    [
        {"price": {"id": "price_1", "product": "prod_1"}},
        {"plan": {"id": "price_1", "product": {"id": "prod_1"}}, "price": None},
        {"pricing": {"price_details": {"price": "price_1", "product": "prod_1"}}},
        {"pricing": {"price_details": {"price": {"id": "price_1", "product": "prod_1"}}}},
    ],
)
def test_price_and_product_of_a_line_are_found_in_every_place(place: dict[str, object]) -> None:
    assert (line(**place).price, line(**place).product) == ("price_1", "prod_1")


@pytest.mark.parametrize(
    ("place", "proration"),
    [
        ({}, False),
        ({"proration": True}, True),
        ({"parent": {"type": "invoice_item_details", "invoice_item_details": {"proration": True}}}, True),
        ({"parent": {"type": "a_new_kind"}, "proration": "yes"}, False),
    ],
)
def test_a_proration_is_found_in_every_place(place: dict[str, object], proration: bool) -> None:  # noqa: FBT001
    assert line(**place).proration is proration


def test_an_exact_quantity_goes_before_the_one_that_is_cut() -> None:
    assert line(quantity=2, quantity_decimal="2.50").quantity == "2.5"
    assert line(quantity=2).quantity == "2"
    assert line(quantity=None).quantity is None


@pytest.mark.parametrize(
    ("place", "taxes"),
    [
        ({"tax": 70}, (TaxFact(70, inclusive=False, rate=None),)),
        ({"tax": 0}, ()),
        (
            {
                "tax": 70,
                "total_tax_amounts": [{"amount": 70, "inclusive": True, "tax_rate": {"id": "txr_1"}}],
            },
            (TaxFact(70, inclusive=True, rate="txr_1"),),
        ),
        (
            {
                "total_taxes": [
                    {"amount": 70, "tax_behavior": "inclusive", "tax_rate_details": {"tax_rate": "txr_1"}}
                ]
            },
            (TaxFact(70, inclusive=True, rate="txr_1"),),
        ),
    ],
)
def test_taxes_are_found_in_every_place(place: dict[str, object], taxes: tuple[TaxFact, ...]) -> None:
    assert only(InvoiceFact, event("invoice.created", invoice(**place))).taxes == taxes


def test_credits_and_discounts_share_a_list_and_are_told_apart() -> None:
    credits_ = [
        {"type": "discount", "amount": 100},
        {"type": "credit_balance_transaction", "amount": 30},
    ]
    found = only(InvoiceFact, event("invoice.created", invoice(total_pretax_credit_amounts=credits_)))
    assert (found.discount_total, found.credits_applied) == (100, 30)
    both = line(discount_amounts=[{"amount": 100}], pretax_credit_amounts=credits_)
    assert (both.discount_total, both.credits_applied) == (100, 30)


def test_a_line_without_a_currency_has_its_invoices() -> None:
    assert line(currency=None).currency == "USD"


@pytest.mark.parametrize("page", [{"data": [], "has_more": True}, {"data": [], "total_count": 3}])
def test_a_first_page_of_lines_says_that_there_are_more(page: dict[str, object]) -> None:
    assert only(InvoiceFact, event("invoice.created", invoice(lines=page))).has_more_lines


@pytest.mark.parametrize(
    ("changes", "api_version", "off_stripe"),
    [
        ({"paid_out_of_band": True, "amount_paid": 0}, LEGACY, 1000),
        ({"paid_out_of_band": False}, LEGACY, 0),
        ({"amount_paid_off_stripe": 400}, BASIL, 400),
        ({"amount_paid": 0}, BASIL, 0),
        ({}, BASIL, None),
        ({"payments": {"data": [], "has_more": True}}, BASIL, None),
        (
            {
                "payments": {
                    "data": [
                        {"status": "paid", "amount_paid": 300, "payment": {"type": "payment_record"}},
                        {"status": "canceled", "amount_paid": None, "payment": {"type": "payment_record"}},
                    ]
                }
            },
            BASIL,
            300,
        ),
    ],
)
def test_what_was_paid_outside_stripe_is_told_or_left_open(
    changes: dict[str, object], api_version: str, off_stripe: int | None
) -> None:
    body = event("invoice.updated", invoice(**changes), api_version=api_version)
    assert only(InvoiceFact, body).off_stripe_amount == off_stripe


@pytest.mark.parametrize("kind", ["upcoming", "will_be_due", "overdue", "sent"])
def test_an_announcement_is_a_notice(kind: str) -> None:
    assert only(InvoiceFact, event(f"invoice.{kind}", invoice())).notice
    assert not only(InvoiceFact, event("invoice.finalized", invoice())).notice


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"total": None}, "total: must be a whole number of minor units"),
        ({"total": True}, "total: must be a whole number of minor units"),
        ({"total": 10**18}, "total: must have at most 18 digits"),
        ({"total": 10.5}, "total: must be a whole number of minor units"),
        ({"currency": "dollars"}, "currency: must be a three-letter currency code"),
        ({"currency": None}, "currency: must be a three-letter currency code"),
        ({"currency": "us\u00e9"}, "currency: must be a three-letter currency code"),
        ({"status": None}, "status: must be text"),
        ({"lines": 7}, "lines: must be a list"),
        ({"lines": [7]}, "lines: must hold objects"),
        ({"lines": [{"id": "il_1"}]}, "lines.amount: must be a whole number of minor units"),
    ],
)
def test_an_invoice_without_its_money_is_unreadable(changes: dict[str, object], reason: str) -> None:
    assert facts_of(event("invoice.created", invoice(**changes))) == (UnreadableFact("in_1", reason),)


def test_an_invoice_with_a_malformed_id_is_unreadable() -> None:
    assert facts_of(event("invoice.created", invoice(id=7))) == (UnreadableFact("", "id: must be an id"),)


@pytest.mark.parametrize("api_version", ["2020-03-02", LEGACY, BASIL, "2026-10-28.endive"])
def test_all_events_of_one_payment_share_its_key_and_amount(api_version: str) -> None:
    told = [
        *payments("charge.succeeded", {**CHARGE, "payment_intent": PI}, api_version=api_version),
        *payments("payment_intent.succeeded", {**INTENT, "latest_charge": CH}, api_version=api_version),
        *payments("invoice_payment.paid", INVOICE_PAYMENT, api_version=api_version),
        *payments("checkout.session.completed", SESSION, api_version=api_version),
        *payments("invoice.paid", invoice(payment_intent=PI, charge=CH), api_version=api_version),
        *payments("invoice.payment_succeeded", invoice(payment_intent={"id": PI}), api_version=api_version),
        *payments("invoice.paid", invoice(payments={"data": [INVOICE_PAYMENT]}), api_version=api_version),
    ]
    assert len(told) == 7
    assert {(fact.key, fact.amount, fact.currency, fact.status) for fact in told} == {
        (PI, 1000, "USD", "succeeded")
    }


def test_a_payment_without_an_intent_is_known_by_its_charge() -> None:
    link = {**INVOICE_PAYMENT, "payment": {"type": "charge", "charge": CH}}
    told = [
        *payments("charge.succeeded", CHARGE),
        *payments("invoice_payment.paid", link),
        *payments("invoice.paid", invoice(charge=CH), api_version=LEGACY),
    ]
    assert [fact.key for fact in told] == [CH, CH, CH]


def test_an_expanded_charge_still_leads_to_its_intent() -> None:
    expanded = {"id": CH, "object": "charge", "payment_intent": PI}
    (told,) = payments("invoice.paid", invoice(charge=expanded), api_version=LEGACY)
    assert (told.key, told.charge) == (PI, CH)


def test_an_old_paid_invoice_that_names_no_payment_is_its_own_key() -> None:
    (told,) = payments("invoice.paid", invoice(), api_version=LEGACY)
    assert (told.key, told.amount) == ("invoice:in_1", 1000)
    (unversioned,) = payments("invoice.paid", invoice(paid=True))
    assert unversioned.key == "invoice:in_1"


@pytest.mark.parametrize(
    ("kind", "changes", "api_version"),
    [
        ("invoice.paid", {}, BASIL),
        ("invoice.paid", {}, None),
        ("invoice.paid", {"amount_paid": 0, "payment_intent": PI}, LEGACY),
        ("invoice.paid", {"paid_out_of_band": True, "payment_intent": PI}, LEGACY),
        ("invoice.paid", {"amount_paid_off_stripe": 1000, "payment_intent": PI}, BASIL),
        ("invoice.updated", {"payment_intent": PI}, LEGACY),
        ("invoice.paid", {"id": None, "payment_intent": PI}, LEGACY),
    ],
)
def test_an_invoice_tells_no_payment_that_is_not_surely_its_own(
    kind: str, changes: dict[str, object], api_version: str | None
) -> None:
    assert payments(kind, invoice(**changes), api_version=api_version) == []


def test_the_part_paid_outside_stripe_is_left_out_of_a_payment() -> None:
    (told,) = payments(
        "invoice.paid", invoice(payment_intent=PI, amount_paid_off_stripe=400), api_version=BASIL
    )
    assert told.amount == 600


def test_a_payment_recorded_from_elsewhere_is_no_payment() -> None:
    record = {**INVOICE_PAYMENT, "payment": {"type": "payment_record", "payment_record": "pr_1"}}
    assert facts_of(event("invoice_payment.paid", record)) == ()


def test_an_authorization_moves_no_money() -> None:
    (told,) = payments("charge.succeeded", {**CHARGE, "captured": False, "amount_captured": 0})
    assert (told.status, told.amount) == ("requires_capture", 1000)
    (expired,) = payments("charge.expired", {**CHARGE, "captured": False})
    assert expired.status == "canceled"


def test_a_partial_capture_moves_what_was_captured() -> None:
    (told,) = payments("charge.captured", {**CHARGE, "amount_captured": 700})
    (intent,) = payments("payment_intent.succeeded", {**INTENT, "amount_received": 700})
    assert (told.amount, intent.amount) == (700, 700)


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("payment_intent.processing", "processing", "pending"),
        ("payment_intent.payment_failed", "requires_payment_method", "failed"),
        ("payment_intent.payment_failed", "succeeded", "succeeded"),
        ("payment_intent.canceled", "canceled", "canceled"),
        ("payment_intent.requires_action", "requires_action", "requires_action"),
    ],
)
def test_the_status_of_an_intent_is_its_objects(kind: str, status: str, expected: str) -> None:
    (told,) = payments(kind, {**INTENT, "status": status})
    assert told.status == expected


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("completed", "paid", "succeeded"),
        ("completed", "unpaid", "pending"),
        ("async_payment_succeeded", "paid", "succeeded"),
        ("async_payment_failed", "unpaid", "failed"),
        ("expired", "unpaid", "canceled"),
    ],
)
def test_a_checkout_tells_how_its_payment_stands(kind: str, status: str, expected: str) -> None:
    (told,) = payments(f"checkout.session.{kind}", {**SESSION, "payment_status": status})
    assert told.status == expected


@pytest.mark.parametrize("changes", [{"payment_intent": None}, {"payment_status": "no_payment_required"}])
def test_a_checkout_without_a_payment_of_its_own_tells_none(changes: dict[str, object]) -> None:
    assert payments("checkout.session.completed", {**SESSION, **changes}) == []


def test_an_open_invoice_payment_is_pending_for_what_it_asks() -> None:
    opened = {**INVOICE_PAYMENT, "status": "open", "amount_paid": None, "amount_requested": 900}
    (told,) = payments("invoice_payment.created", opened)
    assert (told.status, told.amount) == ("pending", 900)


@pytest.mark.parametrize(
    ("kind", "about", "reason"),
    [
        ("charge.succeeded", {**CHARGE, "amount": -1}, "amount: must not be negative"),
        ("charge.succeeded", {**CHARGE, "status": None}, "status: must be text"),
        ("charge.succeeded", {**CHARGE, "currency": 7}, "currency: must be a three-letter currency code"),
        ("invoice_payment.paid", {**INVOICE_PAYMENT, "payment": None}, "payment: must name a payment"),
    ],
)
def test_a_payment_without_its_money_is_unreadable(kind: str, about: dict[str, object], reason: str) -> None:
    (unread,) = facts_of(event(kind, about))
    assert isinstance(unread, UnreadableFact)
    assert unread.reason.startswith(reason)


@pytest.mark.parametrize(
    "kind", ["refund.created", "charge.refund.updated", "charge.dispute.created", "x", ""]
)
def test_other_kinds_tell_nothing(kind: str) -> None:
    assert facts_of(event(kind or "payout.paid", {"id": "x_1", "object": "x"})) == ()
