"""What every recorded Stripe event tells."""

from __future__ import annotations

from decimal import Decimal

from schemas.stripe_shapes import CustomerFact, Fact
from tests.unit.stripe_bodies import at
from tests.unit.stripe_facts import invoiced, item, lined, paid, subscribed

OLD_CHARGE_INVOICE = "in_1KJdKkJDPojXS6LNSwSWkZSN"
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
