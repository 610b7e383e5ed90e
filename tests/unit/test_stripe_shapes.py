"""The envelope of a Stripe event, its customers and subscriptions, and payloads damaged at random."""

from __future__ import annotations

import copy
import dataclasses
import json
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.stripe_shapes import (
    CustomerFact,
    Fact,
    InvoiceFact,
    StripePayloadRefused,
    SubscriptionFact,
    UnreadableFact,
    read_event,
    read_facts,
)
from tests.unit.stripe_bodies import (
    BASIL,
    CHARGE,
    EVENT_FILES,
    INVOICE_PAYMENT,
    PI,
    RECORDINGS,
    SESSION,
    at,
    envelope_of,
    event,
    facts_of,
    invoice,
    only,
    parsed,
    recorded,
    subscription,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def damaged(**changes: object) -> bytes:
    content = event("customer.updated", {"id": "cus_1"}, **changes)
    return json.dumps({name: value for name, value in content.items() if value != "absent"}).encode()


@pytest.mark.parametrize(
    ("body", "field_path"),
    [
        (b"\xff\xfe{}", "body"),
        (b"{", "body"),
        (b"", "body"),
        (b"[]", "body"),
        (b'{"id": NaN}', "body"),
        (b'{"id": ' + b"9" * 5000 + b"}", "body"),
        (b"[" * 200_000, "body"),
        (b'{"id": ' + b"[" * 64 + b"]" * 64 + b"}", "body"),
        ("\ufeff{}".encode(), "body"),
        (damaged(object="v2.core.event"), "object"),
        (damaged(object=None), "object"),
        (damaged(id="absent"), "id"),
        (damaged(id=7), "id"),
        (damaged(id=""), "id"),
        (damaged(id="evt_\x00"), "id"),
        (damaged(id="evt_\ud800"), "id"),
        (damaged(id="e" * 256), "id"),
        (damaged(type="absent"), "type"),
        (damaged(type=["x"]), "type"),
        (damaged(type="a\x00b"), "type"),
        (damaged(type="t" * 256), "type"),
        (damaged(livemode="absent"), "livemode"),
        (damaged(livemode="false"), "livemode"),
        (damaged(livemode=0), "livemode"),
        (damaged(account=7), "account"),
        (damaged(account="acct_\x00"), "account"),
        (damaged(data="absent"), "data"),
        (damaged(data=[]), "data"),
        (damaged(data={}), "data.object"),
        (damaged(data={"object": []}), "data.object"),
    ],
)
def test_a_body_that_is_no_event_is_refused_by_the_path_of_its_field(body: bytes, field_path: str) -> None:
    with pytest.raises(StripePayloadRefused) as refused:
        read_event(body)
    assert refused.value.field_path == field_path
    assert str(refused.value) == f"{field_path}: {refused.value.reason}"


def test_what_an_envelope_can_do_without_may_be_missing_or_wrong() -> None:
    body = damaged(
        object="absent", created="soon", api_version=7, data={"object": {}, "previous_attributes": 1}
    )
    found = read_event(body)
    assert (found.created, found.api_version, found.customer, found.account) == (None, None, None, "")
    assert (found.object, found.previous_attributes) == ({}, {})


def test_fractions_are_read_exactly() -> None:
    body = b'{"id":"e","type":"t","livemode":true,"data":{"object":{"rate":0.10}}}'
    assert read_event(body).object == {"rate": Decimal("0.10")}


def test_the_digest_ignores_what_differs_between_deliveries() -> None:
    first = envelope_of(event("t.x", {"id": "o"}, pending_webhooks=3, request={"id": None}))
    again = envelope_of(event("t.x", {"id": "o"}, pending_webhooks=1, request={"id": "req_1"}))
    assert first.facts_digest == again.facts_digest


def test_the_digest_has_a_frozen_form() -> None:
    about = b'{"b":"\\ud800\xc3\x97","a":0.10}'
    body = b'{"id":"e","type":"t.x","created":1,"livemode":true,"data":{"object":' + about + b"}}"
    # SHA-256 of {"created":1,"data.object":{"a":{"$decimal":"0.10"},"b":"\\ud800\\u00d7"},"type":"t.x"}
    assert read_event(body).facts_digest == "706fd56129eb8abec5e343861d21b155f1b15783c02d4d25a61a51e8dd391849"


@pytest.mark.parametrize(
    "other",
    [
        event("t.y", {"id": "o", "rate": "0.1"}),
        event("t.x", {"id": "o", "rate": "0.1"}, created=1),
        event("t.x", {"id": "p", "rate": "0.1"}),
        event("t.x", {"id": "o", "rate": 0.1}),
    ],
)
def test_the_digest_tells_contents_apart(other: dict[str, Any]) -> None:
    assert (
        envelope_of(event("t.x", {"id": "o", "rate": "0.1"})).facts_digest != envelope_of(other).facts_digest
    )


def test_recordings_that_share_an_event_id_have_different_digests() -> None:
    recorded("pay-rails/invoice.json")
    shared = [envelope_of(recorded(name)) for name in EVENT_FILES]
    same_id = [found for found in shared if found.event_id == "evt_3KtQThJDPojXS6LN0E06aNxq"]
    assert len(same_id) == len({found.facts_digest for found in same_id}) == 6


def test_a_customer_may_be_known_by_its_account_only() -> None:
    about = {"id": "in_1", "customer": None, "customer_account": "acct_9"}
    assert envelope_of(event("invoice.created", about)).customer == "acct_9"


def test_an_event_of_a_connected_account_names_it() -> None:
    assert envelope_of(event("t.x", {}, account="acct_1")).account == "acct_1"


def test_a_deleted_customer_is_deleted_whatever_is_left_of_it() -> None:
    assert only(CustomerFact, event("customer.deleted", {"id": "cus_1", "object": "customer"})).deleted
    assert only(CustomerFact, event("customer.updated", {"id": "cus_1", "deleted": True})).deleted


def test_text_is_brought_into_the_value_domain() -> None:
    about = {"id": "cus_1", "name": "A\x00\ud800" + "b" * 300, "email": "x" * 300 + "@example.com"}
    found = only(CustomerFact, event("customer.updated", about))
    assert found.name == "A\ufffd\ufffd" + "b" * 197
    assert found.email is None


def test_our_account_is_read_from_metadata() -> None:
    metadata = {"daybook_account": "acc_1", "daybook_invoice": "inv_1"}
    found = only(CustomerFact, event("customer.created", {"id": "cus_1", "metadata": metadata}))
    assert found.metadata_account == "acc_1"
    assert subscription(metadata=metadata).metadata_account == "acc_1"
    kept = only(InvoiceFact, event("invoice.created", invoice(metadata=metadata)))
    assert (kept.managed_invoice, kept.metadata_account) == ("inv_1", "acc_1")


@pytest.mark.parametrize(
    "copied",
    [
        {"subscription_details": {"metadata": {"daybook_account": "acc_1"}}},
        {"parent": {"subscription_details": {"metadata": {"daybook_account": "acc_1"}}}},
    ],
)
def test_an_invoice_carries_a_copy_of_its_subscriptions_metadata(copied: dict[str, object]) -> None:
    assert only(InvoiceFact, event("invoice.created", invoice(**copied))).metadata_account == "acc_1"


@pytest.mark.parametrize(
    ("changes", "paused"),
    [
        ({}, None),
        ({"status": "paused"}, "paused"),
        ({"pause_collection": {"behavior": "void", "resumes_at": None}}, "collection:void"),
        ({"pause_collection": {}}, "collection:unknown"),
        (
            {"status": "paused", "status_details": {"paused": {"subscription": {"type": "pause_requested"}}}},
            "pause_requested",
        ),
    ],
)
def test_the_three_pauses_of_a_subscription_are_told_apart(changes: dict[str, object], paused: str) -> None:
    assert subscription(**changes).paused == paused


def test_a_period_is_the_items_own_before_the_subscriptions() -> None:
    (own,) = subscription(current_period_start=1_700_000_000, current_period_end=1).items
    assert (own.period_start, own.period_end) == (at(2023, 11, 14, 22, 13, 20), at(2023, 11, 15, 22, 13, 20))


def test_a_subscription_cancelled_for_the_end_of_its_period_ends_with_it() -> None:
    assert subscription(cancel_at_period_end=True).cancel_at == at(2023, 11, 15, 22, 13, 20)
    assert subscription(cancel_at_period_end=False).cancel_at is None


def test_a_deleted_subscription_without_a_status_is_canceled() -> None:
    about = {"id": "sub_1", "object": "subscription"}
    assert only(SubscriptionFact, event("customer.subscription.deleted", about)).status == "canceled"
    unread = UnreadableFact("sub_1", "status: must be text")
    assert facts_of(event("customer.subscription.updated", about)) == (unread,)


def test_a_status_from_the_future_is_kept_as_text() -> None:
    assert subscription(status="hibernating").status == "hibernating"


@pytest.mark.parametrize("metered", ["12.5", "0.000000000001"])
def test_a_unit_amount_keeps_its_fraction(metered: str) -> None:
    items = [{"id": "si_1", "price": {"id": "price_1", "unit_amount_decimal": metered}}]
    assert subscription(items=items).items[0].unit_amount_decimal == Decimal(metered)


@pytest.mark.parametrize("absurd", ["1e999999999", "NaN", "x", "9" * 60, "1_0", True, [], 10**30])
def test_a_unit_amount_beyond_the_domain_is_not_read(absurd: object) -> None:
    items = [{"id": "si_1", "price": {"id": "price_1", "unit_amount_decimal": absurd}}]
    assert subscription(items=items).items[0].unit_amount_decimal is None


def places(node: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Name every node below the root by its path."""
    children: Iterator[tuple[str | int, object]] = iter(())
    if isinstance(node, dict):
        children = iter(node.items())
    elif isinstance(node, list):
        children = iter(enumerate(node))
    for name, below in children:
        yield (*path, name)
        yield from places(below, (*path, name))


def leaves(value: object) -> Iterator[object]:
    """Walk all values inside a fact."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name))
    elif isinstance(value, tuple):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def within_the_domain(value: object) -> bool:
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, datetime):
        return value.utcoffset() is not None
    if isinstance(value, Decimal):
        return value.is_finite() and len(format(value, "f")) < 40
    return value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 10**20)


JUNK: st.SearchStrategy[object] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**18, -(10**18), 10**40, 2**63, -1, 0, 1e300, 0.5]),
    st.text(st.characters(), max_size=8),
    st.sampled_from(
        ["\x00", "\ud800", "1e999999999", "NaN", "x" * 300, "usd", "paid", "", {}, [], [[]], [None]]
    ),
    st.dictionaries(st.sampled_from(["id", "data", "amount", "type"]), st.integers() | st.text(), max_size=3),
)
MADE_UP: tuple[dict[str, Any], ...] = (
    event("invoice.paid", invoice(payments={"data": [INVOICE_PAYMENT]}), api_version=BASIL),
    event("charge.succeeded", {**CHARGE, "payment_intent": PI}),
    event("checkout.session.completed", SESSION),
)


def originals() -> list[dict[str, Any]]:
    """Return what to damage: recordings where there are any, so that the search also runs without them."""
    recordings = [parsed(RECORDINGS / name) for name in EVENT_FILES]
    if recordings:
        recordings.append(event("invoice.paid", recorded("pay-rails/invoice.json"), api_version=BASIL))
    return [*MADE_UP, *recordings]


ORIGINALS = originals()


def replaced(body: dict[str, Any], path: tuple[str | int, ...], junk: object) -> None:
    """Put junk in a node's place, or delete the node."""
    parent: Any = body
    for name in path[:-1]:
        parent = parent[name]
    if junk == "delete":
        del parent[path[-1]]
    else:
        parent[path[-1]] = junk


@given(st.data())
def test_no_damage_makes_the_reader_raise_or_leave_the_value_domain(data: st.DataObject) -> None:
    body = copy.deepcopy(data.draw(st.sampled_from(ORIGINALS)))
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(list(places(body))))
        # A copy, since later damage may fall inside this one and would change what the strategy holds.
        replaced(body, path, copy.deepcopy(data.draw(st.just("delete") | JUNK)))
    try:
        found = envelope_of(body)
    except StripePayloadRefused:
        return
    for fact in read_facts(found):
        assert isinstance(fact, Fact)
        assert all(within_the_domain(value) for value in leaves(fact))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_an_event_or_refused(body: bytes) -> None:
    with pytest.raises(StripePayloadRefused):
        read_event(body)
