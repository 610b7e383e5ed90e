"""What older versions of events read as today."""

from __future__ import annotations

from ledger.codec import decode_event, decode_state
from ledger.events.book import BillingEntityDefined
from ledger.events.plan import PlanCreated, PlanTerms, RecurringFee
from ledger.plan_terms import checked_terms, plain_price
from tests.golden.golden_event import golden_path, read_golden


def read(topic: str) -> object:
    golden = read_golden(golden_path(topic, 1))
    return decode_event(topic, decode_state(bytes(golden.state)), golden.stream, golden.stream_version, {})


def test_a_plan_of_before_there_were_terms_has_its_one_fee_in_its_one_currency() -> None:
    event = read("plan.created")
    assert event == PlanCreated(
        plan="plan_01h455vb4pex5vsknk084sn02q",
        product="the product",
        name="Zoë Ångström & 東京",
        price_version=7951,
        terms=PlanTerms(
            interval="month",
            fees=(
                RecurringFee(code="fee", name="Zoë Ångström & 東京", amounts={"EUR": 7706}, per_seat=True),
            ),
        ),
    )
    assert isinstance(event, PlanCreated)
    assert plain_price(checked_terms(event.terms)) == ("EUR", 7706)


def test_a_seller_of_before_there_was_metadata_has_none() -> None:
    event = read("book.billing_entity_defined")
    assert isinstance(event, BillingEntityDefined)
    assert event.metadata == {}
