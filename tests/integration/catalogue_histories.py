"""Histories of a catalogue: one of everything that plans are made of, and what becomes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from ledger.events.book import BillingEntityDefined
from ledger.events.coupon import CouponCreated, CouponRedeemed, CouponRetired, CouponTerms
from ledger.events.meter import MeterDefined, MeterRetired
from ledger.events.plan import PlanDescribed, PlanRepriced, PlanTerms, RecurringFee, UsageCharge
from ledger.events.product import ProductDefined, ProductRetired
from ledger.events.tax_rate import TaxRateDefined, TaxRateRetired
from ledger.meters import MeterDefinition, MeterFilter
from ledger.prices import Price, Tier

if TYPE_CHECKING:
    from tests.integration.histories import Writer

TOKENS = MeterDefinition(
    code="tokens",
    name="Tokens",
    event_type="completion",
    property="tokens",
    filters=(MeterFilter(property="model", values=("small", "large")),),
    group_by=("region",),
)
GRADUATED = Price(
    model="graduated",
    currency="USD",
    tiers=(Tier(up_to=Decimal(1000), unit_amount=Decimal("0.5")), Tier(unit_amount=Decimal("0.25"))),
)
TEAM = PlanTerms(
    interval="year",
    fees=(RecurringFee(code="seat", name="Seat", amounts={"USD": 500, "EUR": 450}, per_seat=True),),
    charges=(
        UsageCharge(
            code="tokens",
            name="Tokens",
            meter="tokens",
            prices={"USD": GRADUATED, "EUR": Price(model="flat", currency="EUR", flat_amount=Decimal(100))},
            minimums={"USD": 1000},
        ),
    ),
    trial_days=14,
)


def write_catalogue(writer: Writer) -> None:
    """Write one product, meter, tax rate, coupon and billing entity."""
    write_product(writer, 1)
    write_meter(writer, "Tokens")
    write_tax_rate(writer, 1)
    write_coupon(writer)
    write_entity(writer, 14)


def write_product(writer: Writer, version: int) -> int:
    """Define the product, or what it is called from here on."""
    return writer.write(
        "product",
        ProductDefined(
            product=writer.id_of("prod", "api"),
            product_version=version,
            name=f"API {version}",
            external_id="api",
            metadata={"team": "core"},
        ),
    )


def write_meter(writer: Writer, name: str) -> int:
    """Define the meter, or what it is called from here on."""
    definition = MeterDefinition(**{**vars(TOKENS), "name": name})
    return writer.write("meter", MeterDefined(meter=writer.id_of("meter", "tokens"), definition=definition))


def write_tax_rate(writer: Writer, version: int) -> int:
    """Define a version of the tax rate."""
    return writer.write(
        "tax rate",
        TaxRateDefined(
            tax_rate=writer.id_of("tax", "vat"),
            tax_rate_version=version,
            name="VAT",
            jurisdiction="DE",
            percent=Decimal(20 - version),
            behaviour="exclusive",
            effective_at=datetime(2020, 1, version, tzinfo=UTC),
        ),
    )


def write_coupon(writer: Writer) -> int:
    """Create the coupon."""
    terms = CouponTerms(
        amounts_off={"USD": 500},
        duration="repeating",
        periods=3,
        max_redemptions=100,
        redeem_by=datetime(2030, 1, 1, tzinfo=UTC),
    )
    created = CouponCreated(coupon=writer.id_of("coup", "hello"), code="HELLO", name="Hello", terms=terms)
    return writer.write("coupon", created)


def write_redemption(writer: Writer, number: int) -> int:
    """Let a subscription redeem the coupon."""
    return writer.write(
        "coupon",
        CouponRedeemed(
            coupon=writer.id_of("coup", "hello"),
            subscription=f"sub_{number}",
            account="acc_1",
            redemption=number,
        ),
    )


def write_entity(writer: Writer, terms_days: int) -> int:
    """Define a billing entity, or its terms from here on."""
    return writer.write(
        "book",
        BillingEntityDefined(
            billing_entity="gmbh",
            name="Acme GmbH",
            tax_id="DE1",
            invoice_series="R",
            credit_note_series="G",
            payment_terms_days=terms_days,
        ),
    )


def retire_everything(writer: Writer) -> int:
    """Retire the product, the meter, the tax rate and the coupon."""
    writer.write("product", ProductRetired(product=writer.id_of("prod", "api"), reason="old"))
    writer.write("meter", MeterRetired(meter=writer.id_of("meter", "tokens"), reason="old"))
    writer.write("tax rate", TaxRateRetired(tax_rate=writer.id_of("tax", "vat"), reason="old"))
    return writer.write("coupon", CouponRetired(coupon=writer.id_of("coup", "hello"), reason="old"))


def reprice_plan(writer: Writer, version: int, name: str = "pro", days: int = 0) -> int:
    """Give a plan another price version, from so many days from now on."""
    return writer.write(
        f"plan-{name}",
        PlanRepriced(
            plan=writer.id_of("plan", name),
            price_version=version,
            terms=TEAM,
            effective_at=writer.at + timedelta(days=days),
        ),
    )


def describe_plan(writer: Writer, called: str, name: str = "pro") -> int:
    """Give a plan another name and metadata."""
    described = PlanDescribed(plan=writer.id_of("plan", name), name=called, metadata={"tier": "2"})
    return writer.write(f"plan-{name}", described)


def change_catalogue(writer: Writer, step: int, number: int) -> int:
    """Change one thing or another, as a number says; `step` grows with each change."""
    match number % 5:
        case 0:
            return write_product(writer, step + 2)
        case 1:
            return write_tax_rate(writer, step % 10 + 2)
        case 2:
            return write_redemption(writer, step + 1)
        case 3:
            return write_entity(writer, number)
        case _:
            return reprice_plan(writer, step + 2)
