"""What the first versions of billing's events read as today, and that what they tell can be billed on."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ledger.assembly import assemble
from ledger.codec import decode_event, decode_state
from ledger.events import EVENT_CLASSES
from ledger.events.invoice import InvoiceDrafted
from ledger.streams import subscription as subscriptions
from ledger.streams.subscribing import advance, due_at
from ledger.streams.subscription import CHARGE, CREDIT, FEE, Charged, line_id
from tests.bills import amounts, bill_of
from tests.examples import ADA, NOON, PRO, TEAM, example_book
from tests.given_when_then import folded
from tests.golden.golden_event import golden_path, read_golden

if TYPE_CHECKING:
    from ledger.events import Event
    from ledger.events.subscription import SubscriptionEvent

FEBRUARY_28 = datetime(2027, 2, 28, 12, tzinfo=UTC)
HALF_WAY = NOON + timedelta(days=14)
# What is there today where an event of the first version says nothing of it.
LATER_FIELDS: dict[str, dict[str, Any]] = {
    "subscription.started": {
        "currency": None,
        "quantity": 1,
        "trial_ends_at": None,
        "ends_at": None,
        "billed_through": None,
        "external_id": None,
        "metadata": {},
    },
    "subscription.period_opened": {"trial": False, "whole_from": None, "whole_to": None},
    "subscription.plan_changed": {"quantity": None},
    "subscription.plan_change_scheduled": {"quantity": None},
    "subscription.proration_added": {"item": None, "quantity": 1, "exact": None, "credit_note": None},
    "subscription.billed": {"usage": (), "coupons": (), "setup_fee": False},
    "invoice.drafted": {"policy_version": None, "due_at": None, "late_since": None, "finalizes_at": None},
}


def stored_fields(topic: str) -> dict[str, Any]:
    state = decode_state(bytes(read_golden(golden_path(topic, 1)).state))
    fields: dict[str, Any] = msgspec.json.decode(state.data)
    return fields


def read(topic: str) -> Event:
    golden = read_golden(golden_path(topic, 1))
    return decode_event(topic, decode_state(bytes(golden.state)), golden.stream, golden.stream_version, {})


@pytest.mark.parametrize("topic", LATER_FIELDS)
def test_what_came_later_has_a_value_that_says_what_was_true_before(topic: str) -> None:
    event, stored = read(topic), stored_fields(topic)
    assert not LATER_FIELDS[topic].keys() & stored.keys()
    assert {name: getattr(event, name) for name in LATER_FIELDS[topic]} == LATER_FIELDS[topic]
    found = msgspec.json.decode(msgspec.json.encode(event))
    if topic != "invoice.drafted":
        assert {name: found[name] for name in stored} == stored


def test_the_lines_of_an_old_invoice_are_as_they_were() -> None:
    event = read("invoice.drafted")
    assert isinstance(event, InvoiceDrafted)
    for now, was in zip(event.lines, stored_fields("invoice.drafted")["lines"], strict=True):
        found = msgspec.json.decode(msgspec.json.encode(now))
        assert {name: found[name] for name in was} == was
        assert (now.usage, now.rating) == (None, None)


# -- a subscription whose events are all of the first version ---------------------------------------

NAMES = {"subscription": "sub_1", "account": ADA.account}


def of(topic: str, **fields: Any) -> Any:
    """Give an event as the first version told it, read as today's."""
    version_1 = {name: fields.get(name) for name in stored_fields(topic)}
    return msgspec.convert(version_1 | NAMES, EVENT_CLASSES[topic], strict=False)


STARTED = of(
    "subscription.started",
    plan=PRO.plan,
    price_version=1,
    item="item_1",
    anchor_day=31,
    anchor_month=1,
    anchor_weekday=7,
    anchor_time=time(12).isoformat(),
    time_zone="UTC",
    starts_at=NOON,
)
OPENED = of(
    "subscription.period_opened",
    period="per_1",
    starts_at=NOON,
    ends_at=FEBRUARY_28,
    plan=PRO.plan,
    price_version=1,
    policy_version=1,
)
BILLED = of(
    "subscription.billed",
    invoice="inv_1",
    billed_through=FEBRUARY_28,
    prorations_through=0,
    fee_line=line_id("item_1", "per_1", FEE, 1),
)
CHANGED = of(
    "subscription.plan_changed",
    from_plan=PRO.plan,
    to_plan=TEAM.plan,
    price_version=1,
    effective_at=HALF_WAY,
)


def proration(sequence: int, kind: str, plan: str, amount: int) -> Any:
    return of(
        "subscription.proration_added",
        sequence=sequence,
        kind=kind,
        plan=plan,
        price_version=1,
        policy_version=1,
        period="per_1",
        service_from=HALF_WAY,
        service_to=FEBRUARY_28,
        amount=amount,
        currency="USD",
        adjusts_line=line_id("item_1", "per_1", FEE, 1) if kind == CREDIT else None,
    )


OLD: list[SubscriptionEvent] = [
    STARTED,
    OPENED,
    BILLED,
    CHANGED,
    proration(1, CREDIT, PRO.plan, -1450),
    proration(2, CHARGE, TEAM.plan, 4950),
]


def test_an_old_subscription_stands_as_it_did() -> None:
    state = folded(subscriptions.evolve, OLD)
    assert state is not None
    assert (state.plan, state.quantity, state.status, due_at(state)) == (TEAM.plan, 1, "active", FEBRUARY_28)
    charged = line_id("item_1", "per_1", CHARGE, 2)
    assert state.charged == Charged(charged, HALF_WAY, TEAM.plan, 1, 1, 4950)
    assert state.adjusted == {line_id("item_1", "per_1", FEE, 1): "inv_1"}


def test_an_old_subscription_goes_on_and_is_billed() -> None:
    state = folded(subscriptions.evolve, OLD)
    opened = advance(state, ADA, TEAM, TEAM, example_book(), FEBRUARY_28)
    state = folded(subscriptions.evolve, [*OLD, *opened])
    assert state is not None
    bill = bill_of(state, PRO, TEAM)
    assert amounts(assemble(bill, []).lines) == [
        ("fee", 9900),
        ("proration_credit", -1450),
        ("proration_charge", 4950),
    ]
