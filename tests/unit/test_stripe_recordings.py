"""Recorded Stripe events of many API versions tell exactly what is in them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from schemas.stripe_shapes import (
    CustomerFact,
    Fact,
    InvoiceFact,
    InvoiceLineFact,
    PaymentFact,
    SubscriptionFact,
    SubscriptionItemFact,
    TaxFact,
    UnreadableFact,
    read_event,
    read_facts,
)
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

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

FREE_PRICE = ("price_1IDQm5JDPojXS6LNM31hxKzp", "prod_Ip4vqwv3EJ7Mi0")
OLD_CHARGE_INVOICE = "in_1KJdKkJDPojXS6LNSwSWkZSN"


def item(name: str, start: datetime, end: datetime, **changes: object) -> SubscriptionItemFact:
    price, product = FREE_PRICE
    plain: dict[str, Any] = {
        "price": price,
        "product": product,
        "quantity": 1,
        "unit_amount_decimal": Decimal(0),
        "currency": "USD",
        "interval": "month",
        "interval_count": 1,
    }
    return SubscriptionItemFact(item=name, period_start=start, period_end=end, **{**plain, **changes})


def subscribed(name: str, customer: str, as_of: datetime, **changes: Any) -> SubscriptionFact:
    plain: dict[str, Any] = {
        "status": "active",
        "cancel_at": None,
        "canceled_at": None,
        "ended_at": None,
        "trial_end": None,
        "paused": None,
        "metadata_account": None,
    }
    return SubscriptionFact(subscription=name, customer=customer, as_of=as_of, **{**plain, **changes})


def invoiced(name: str, customer: str, as_of: datetime, **changes: Any) -> InvoiceFact:
    plain: dict[str, Any] = {
        "subscription": None,
        "number": None,
        "currency": "USD",
        "amount_paid": 0,
        "starting_balance": 0,
        "ending_balance": 0,
        "taxes": (),
        "discount_total": 0,
        "credits_applied": 0,
        "payments": (),
        "paid_out_of_band": False,
        "off_stripe_amount": 0,
        "managed_invoice": None,
        "finalized_at": None,
        "paid_at": None,
        "voided_at": None,
        "due_at": None,
        "has_more_lines": False,
        "notice": False,
    }
    return InvoiceFact(invoice=name, customer=customer, as_of=as_of, **{**plain, **changes})


def lined(name: str, amount: int, start: datetime, end: datetime, **changes: Any) -> InvoiceLineFact:
    price, product = FREE_PRICE
    plain: dict[str, Any] = {
        "currency": "USD",
        "description": None,
        "price": price,
        "product": product,
        "quantity": "1",
        "proration": False,
        "discount_total": 0,
        "taxes": (),
    }
    return InvoiceLineFact(
        line=name, amount=amount, period_start=start, period_end=end, **{**plain, **changes}
    )


def paid(key: str, amount: int, source: str, as_of: datetime, **changes: Any) -> PaymentFact:
    plain: dict[str, Any] = {
        "payment_intent": key,
        "charge": None,
        "invoice": None,
        "customer": None,
        "currency": "USD",
        "status": "succeeded",
    }
    return PaymentFact(key=key, amount=amount, source=source, as_of=as_of, **{**plain, **changes})


JUNE, JULY = at(2021, 6, 8, 10, 41, 58), at(2021, 7, 8, 10, 41, 58)
OCTOBER, NOVEMBER = at(2013, 10, 6, 17, 30, 23), at(2013, 11, 6, 17, 30, 23)
APRIL_29 = at(2021, 4, 29, 12, 58, 31)
DAHLIA_ITEM = item(
    "si_UaRaMpdva0xGKZ",
    at(2026, 5, 26, 8, 50, 33),
    at(2026, 6, 26, 8, 50, 33),
    price="price_1TZtAjJEe0yY0QKr27Tj0mDA",
    product="prod_UZ1DpExTQfai36",
    unit_amount_decimal=Decimal(12100),
)

# Every recorded event that tells something; the others must tell nothing.
EXPECTED: dict[str, tuple[Fact, ...]] = {
    "stripe-ruby-mock/checkout.session.completed.payment_mode.json": (
        paid(
            "pi_00000000000000",
            25000,
            "checkout",
            at(2012, 1, 18, 2, 24, 38),
            customer="cus_00000000000000",
        ),
    ),
    "stripe-ruby-mock/customer.created.json": (
        CustomerFact("cus_00000000000000", None, None, False, None, at(2022, 3, 26, 18, 41, 47)),  # noqa: FBT003
    ),
    "stripe-ruby-mock/customer.subscription.trial_will_end.json": (
        subscribed(
            "su_00000000000000",
            "cus_00000000000000",
            at(2012, 1, 18, 2, 24, 38),
            status="trialing",
            trial_end=at(2013, 10, 9, 1, 5, 30),
            items=(
                item(
                    "si_00000000000000",
                    OCTOBER,
                    NOVEMBER,
                    price="fkx0AFo_00000000000000",
                    product="pr_00000000000000",
                    unit_amount_decimal=Decimal(100),
                ),
                item(
                    "si_00000000000001",
                    OCTOBER,
                    NOVEMBER,
                    price="fkx0AFo_00000000000001",
                    product="pr_00000000000001",
                    quantity=5,
                    unit_amount_decimal=Decimal(200),
                    currency="EUR",
                ),
            ),
        ),
    ),
    "stripe-ruby-mock/invoice.created.json": (
        invoiced(
            "in_000000000000000000000000",
            "cus_00000000000000",
            at(2022, 3, 26, 18, 41, 50),
            subscription="sub_000000000000000000000000",
            status="draft",
            total=1500,
            subtotal=1500,
            amount_due=1500,
            ending_balance=None,
            lines=(
                lined(
                    "il_000000000000000000000000",
                    1500,
                    at(2022, 3, 26, 18, 41, 50),
                    at(2022, 4, 26, 18, 41, 50),
                    description="1 \u00d7 myproduct (at $15.00 / month)",
                    price="price_000000000000000000000000",
                    product="prod_00000000000000",
                    subscription_item="si_00000000000000",
                ),
            ),
        ),
    ),
    "stripe-ruby-mock/invoice.payment_failed.json": (
        invoiced(
            "in_000000000000000000000000",
            "cus_00000000000000",
            at(2022, 3, 26, 18, 40, 9),
            status="open",
            number="C93E45D7-0001",
            total=2000,
            subtotal=2000,
            amount_due=2000,
            payments=("pi_000000000000000000000000", "ch_000000000000000000000000"),
            finalized_at=at(2022, 3, 26, 18, 40, 8),
            lines=(
                lined(
                    "il_000000000000000000000000",
                    2000,
                    at(2022, 3, 26, 18, 40, 6),
                    at(2022, 3, 26, 18, 40, 6),
                    description="(created by Stripe CLI)",
                    price="price_000000000000000000000000",
                    product="prod_00000000000000",
                ),
            ),
        ),
    ),
    "stripe-ruby-mock/payment_intent.payment_failed.json": (
        paid(
            "pi_000000000000000000000000",
            2000,
            "payment_intent",
            at(2022, 3, 26, 18, 40, 29),
            charge="ch_000000000000000000000000",
            status="failed",
        ),
    ),
    "supabase-stripe-sync-engine/charge_failed.json": (
        paid(
            "pi_3KtoMeJDPojXS6LN0XnGDnI3",
            2500,
            "charge",
            APRIL_29,
            charge="ch_3KtoMeJDPojXS6LN0igeffJ6",
            invoice=OLD_CHARGE_INVOICE,
            customer="cus_J7Mkgr8mvbl1eK",
            status="failed",
        ),
    ),
    "supabase-stripe-sync-engine/charge_refunded.json": (
        paid(
            "pi_3Kl36gJDPojXS6LN02fQVtKR",
            2500,
            "charge",
            APRIL_29,
            charge="ch_3Kl36gJDPojXS6LN0DCM4A8l",
            invoice=OLD_CHARGE_INVOICE,
            customer="cus_J7Mkgr8mvbl1eK",
        ),
    ),
    "supabase-stripe-sync-engine/charge_succeeded.json": (
        paid(
            "pi_3KtQThJDPojXS6LN0H9EfsjV",
            3000,
            "charge",
            APRIL_29,
            charge="ch_3KtQThJDPojXS6LN0YmgbxGj",
            invoice=OLD_CHARGE_INVOICE,
            customer="cus_J7Mkgr8mvbl1eK",
        ),
    ),
    "supabase-stripe-sync-engine/customer_updated.json": (
        CustomerFact(
            customer="cus_IhGfebO16cMIGN",
            name="Redacted Name",
            email="customer@example.com",
            deleted=False,
            metadata_account=None,
            as_of=APRIL_29,
        ),
    ),
    "supabase-stripe-sync-engine/invoice_deleted.json": (
        invoiced(
            "in_xyz",
            "cus_123",
            at(2023, 7, 17, 22, 56, 25),
            status="deleted",
            total=1000,
            subtotal=1000,
            amount_due=0,
            starting_balance=-51315,
            ending_balance=None,
            due_at=at(2023, 8, 16, 22, 24, 2),
            lines=(
                lined(
                    "il_1",
                    1000,
                    at(2023, 7, 17, 22, 24, 11),
                    at(2023, 7, 17, 22, 24, 11),
                    description="something",
                    price="price_1",
                    product="prod_OHY",
                ),
            ),
        ),
    ),
    "supabase-stripe-sync-engine/invoice_finalized.json": (
        invoiced(
            OLD_CHARGE_INVOICE,
            "cus_J7Mkgr8mvbl1eK",
            at(2022, 1, 19, 13, 33, 14),
            subscription="sub_K4J0aB2bmSyb6b",
            status="open",
            number="B1AB464C-0181",
            total=0,
            subtotal=0,
            amount_due=0,
            finalized_at=at(2022, 1, 19, 13, 33, 12),
            paid_at=at(2022, 1, 19, 13, 33, 12),
            lines=(
                lined(
                    "il_1KJdKkJDPojXS6LN2lyAeJz1",
                    0,
                    at(2022, 1, 19, 12, 30, 28),
                    at(2022, 2, 19, 12, 30, 28),
                    description="1 \u00d7 Free tier (at $0.00 / month)",
                    subscription_item="si_K4J0IhgijHnskj",
                ),
            ),
        ),
    ),
    # Nothing was paid, so the paid invoice tells of no payment.
    "supabase-stripe-sync-engine/invoice_paid.json": (
        invoiced(
            "in_1KJqKBJDPojXS6LNJbvLUgEy",
            "cus_JsuO3bmrj0QlAw",
            at(2022, 1, 20, 3, 25, 11),
            subscription="sub_JsuPyCPhXWfZar",
            status="paid",
            number="60229DE7-0007",
            total=0,
            subtotal=0,
            amount_due=0,
            finalized_at=at(2022, 1, 20, 3, 25, 10),
            paid_at=at(2022, 1, 20, 3, 25, 10),
            lines=(
                lined(
                    "il_1KJqKBJDPojXS6LND42vdxtT",
                    0,
                    at(2022, 1, 20, 2, 21, 20),
                    at(2022, 2, 20, 2, 21, 20),
                    description="1 \u00d7 Free tier (at $0.00 / month)",
                    subscription_item="si_JsuPFzrp9vSWxa",
                ),
            ),
        ),
    ),
    "supabase-stripe-sync-engine/invoice_payment_paid.json": (
        paid(
            "pi_103Q0w2eZvKYlo2C364X582Z",
            2000,
            "invoice_payment",
            at(2022, 1, 20, 3, 25, 11),
            invoice="in_103Q0w2eZvKYlo2C5PYwf6Wf",
        ),
    ),
    # Its type says succeeded, its object says otherwise: no money moved.
    "supabase-stripe-sync-engine/payment_intent_succeeded.json": (
        paid(
            "pi_1IqxJOJDPojXS6LN9uOebAea",
            1000,
            "payment_intent",
            at(2021, 4, 29, 11, 57, 10),
            status="requires_payment_method",
        ),
    ),
    "supabase-stripe-sync-engine/subscription_created.json": (
        subscribed(
            "sub_JdIzvfy6o5GZRd",
            "cus_IhGfebO16cMIGN",
            JUNE,
            items=(
                item("si_JdIzi4Tn5jV9PD", JUNE, JULY),
                item("si_JdIzi4Tn5jVaaa", JUNE, JULY, quantity=None),
            ),
        ),
    ),
    "supabase-stripe-sync-engine/subscription_deleted.json": (
        subscribed(
            "sub_JdIzvfy6o5GZRd",
            "cus_IhGfebO16cMIGN",
            at(2021, 6, 8, 10, 45, 2),
            status="canceled",
            canceled_at=at(2021, 6, 8, 10, 45, 2),
            ended_at=at(2021, 6, 8, 10, 45, 2),
            items=(item("si_JdIzi4Tn5jV9PD", JUNE, JULY),),
        ),
    ),
    "supabase-stripe-sync-engine/subscription_updated.json": (
        subscribed(
            "sub_JLEPMp81LApOJl",
            "cus_IhGfebO16cMIGN",
            at(2021, 4, 29, 14, 33, 40),
            items=(item("si_JLEPdb3X81qQ9L", at(2021, 4, 21, 4, 45, 44), at(2021, 5, 21, 4, 45, 44)),),
        ),
    ),
    "zulip/charge_succeeded_with_pi.json": (
        paid(
            "pi_3TbGBUJEe0yY0QKr1NhtlhQp",
            22200,
            "charge",
            at(2026, 5, 26, 8, 17, 57),
            charge="ch_3TbGBUJEe0yY0QKr18Sf1VVH",
        ),
    ),
    "zulip/customer_subscription_created_with_collection_method.json": (
        subscribed(
            "sub_1TbGh3JEe0yY0QKrmHd5I4l8",
            "cus_UZ11RVzkmLf6Cf",
            at(2026, 5, 26, 8, 50, 39),
            items=(DAHLIA_ITEM,),
        ),
    ),
    "zulip/customer_subscription_deleted_with_collection_method.json": (
        subscribed(
            "sub_1TbGh3JEe0yY0QKrmHd5I4l8",
            "cus_UZ11RVzkmLf6Cf",
            at(2026, 5, 26, 8, 52, 55),
            status="canceled",
            canceled_at=at(2026, 5, 26, 8, 52, 55),
            ended_at=at(2026, 5, 26, 8, 52, 55),
            items=(DAHLIA_ITEM,),
        ),
    ),
}


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
