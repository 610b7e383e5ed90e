"""The hot path's row of a usage event is byte for byte the row of the event itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.codec import decode_event, decode_state, metadata_of
from ledger.events import Actor, Metadata, NewEvent
from ledger.events.account import AccountClosed
from ledger.events.usage import UsageRecorded
from ledger.identifiers import digest_parts, usage_stream
from ledger.usage_row import UsageFact, facts_digest, row_of, usage_identity, usage_row
from ledger.values import (
    EARLIEST,
    LATEST,
    MAX_IDENTITY_CHARACTERS,
    MAX_METER_CHARACTERS,
    MAX_PROPERTY_KEY_CHARACTERS,
    MAX_PROPERTY_VALUE_CHARACTERS,
    checked_quantity,
    quantity_text,
    text_problem,
)

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

INSTANT = datetime(2027, 1, 31, 12, tzinfo=UTC)
PLAIN = UsageFact("1", "svc", "calls", "acc_1", Decimal(1), INSTANT, {})
RICH = UsageFact(
    "évènement/2",
    "svc/ünïcode 🧾",
    "calls.größe",
    "acc_1",
    Decimal("12.3400"),
    INSTANT,
    {"z": Decimal("1E+3"), "a": [True], "é": 'quoted "\\"', "n": None},
)


def texts(limit_characters: int) -> SearchStrategy[str]:
    """Draw any text of the value domain: unicode, quotes and control characters included."""
    return st.text(min_size=1, max_size=limit_characters).filter(
        lambda text: text_problem(text, limit_characters) is None
    )


def instants() -> SearchStrategy[datetime]:
    """Draw any instant of the value domain."""
    earliest, latest = (one.replace(tzinfo=None) for one in (EARLIEST, LATEST - timedelta(microseconds=1)))
    return st.datetimes(earliest, latest, timezones=st.just(UTC))


@st.composite
def quantities(draw: st.DrawFn) -> Decimal:
    """Draw a quantity of the domain however it may be written: with an exponent, with zeros after it."""
    number = draw(st.decimals(0, Decimal("999999999999999999.999999999999"), places=draw(st.integers(0, 12))))
    form = draw(st.sampled_from(["{}", "{:f}", "{:E}", "{:.12f}"]))
    return checked_quantity(form.format(number))


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18) + 1, 10**18 - 1)
    | st.decimals(-(10**17), 10**17, places=6)
    | st.sampled_from([Decimal("1E+17"), Decimal("1.50"), Decimal("1E-12"), Decimal("-0.0")])
    | st.text(max_size=MAX_PROPERTY_VALUE_CHARACTERS)
)
FACTS = st.builds(
    UsageFact,
    event_id=texts(MAX_IDENTITY_CHARACTERS),
    source=texts(MAX_IDENTITY_CHARACTERS),
    meter=texts(MAX_METER_CHARACTERS),
    account=texts(40),
    quantity=quantities(),
    occurred_at=instants(),
    properties=st.dictionaries(texts(MAX_PROPERTY_KEY_CHARACTERS), VALUES, max_size=6),
    book=st.none() | st.just("book_1"),
)
ACTORS = st.builds(
    Actor,
    principal=texts(40),
    kind=st.sampled_from(["person", "service"]),
    key=st.none() | texts(40),
)


def as_defined(fact: UsageFact) -> str:
    """Give the digest of a fact the slow way, as it was first defined."""
    canonical = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode
    return digest_parts(
        "usage-facts", fact.account, fact.meter, quantity_text(fact.quantity), canonical(fact.properties)
    )


def event_of(fact: UsageFact, accepted_at: datetime) -> UsageRecorded:
    return UsageRecorded(
        account=fact.account,
        meter=fact.meter,
        quantity=fact.quantity,
        source=fact.source,
        event_id=fact.event_id,
        accepted_at=accepted_at,
        digest=as_defined(fact),
        properties=fact.properties,
    )


def metadata(book: UUID, fact: UsageFact, actor: Actor, cause: str, booked_at: datetime) -> Metadata:
    return Metadata(book=book, occurred_at=fact.occurred_at, booked_at=booked_at, actor=actor, cause=cause)


@given(
    fact=FACTS,
    book=st.uuids(),
    actor=ACTORS,
    cause=texts(100),
    accepted_at=instants(),
    booked_at=instants(),
)
@example(
    fact=RICH,
    book=UUID(int=1),
    actor=Actor(principal="prn_1", kind="service"),
    cause="kafka:daybook.usage/0/1",
    accepted_at=INSTANT,
    booked_at=INSTANT.astimezone(timezone(timedelta(hours=1))),
)
def test_a_row_is_what_the_event_would_have_been_stored_as(
    fact: UsageFact, book: UUID, actor: Actor, cause: str, accepted_at: datetime, booked_at: datetime
) -> None:
    around = metadata(book, fact, actor, cause, booked_at)
    stream = usage_stream(book, fact.source, fact.event_id)
    event = event_of(fact, accepted_at)
    row = usage_row(fact, book, actor, cause, accepted_at, booked_at)
    assert row == row_of(NewEvent(stream=stream, stream_version=1, event=event, metadata=around))
    state = decode_state(row.state)
    assert metadata_of(state, book) == around
    assert UUID(bytes=row.stream) == stream
    assert row.book == book.bytes


@given(fact=FACTS)
def test_a_row_is_read_back_as_the_event_that_it_tells_of(fact: UsageFact) -> None:
    row = usage_row(fact, UUID(int=1), Actor(principal="prn_1", kind="person"), "test", INSTANT, INSTANT)
    read = decode_event(UsageRecorded.topic, decode_state(row.state), UUID(bytes=row.stream), 1, {})
    assert isinstance(read, UsageRecorded)
    assert (read.event_id, read.source, read.meter) == (fact.event_id, fact.source, fact.meter)
    assert (read.account, read.digest, read.accepted_at) == (fact.account, row.digest, INSTANT)
    # Exactly, down to the zeros that it was written with.
    assert str(read.quantity) == str(fact.quantity)


@given(book=st.uuids(), source=texts(MAX_IDENTITY_CHARACTERS), event_id=texts(MAX_IDENTITY_CHARACTERS))
def test_an_identity_is_the_stream_s_without_a_uuid_around_it(book: UUID, source: str, event_id: str) -> None:
    for _ in range(2):
        # The second time what is remembered of the source is used again, and must not have moved.
        assert usage_identity(book.bytes, source, event_id) == usage_stream(book, source, event_id).bytes


def test_identities_do_not_run_into_one_another() -> None:
    book = UUID(int=1).bytes
    parts = [("svc/a", "1"), ("svc/", "a1"), ("svc", "/a1"), ("svc/a1", "")]
    assert len({usage_identity(book, source, event_id) for source, event_id in parts}) == len(parts)


@given(fact=FACTS)
def test_a_digest_is_as_it_was_defined(fact: UsageFact) -> None:
    assert facts_digest(fact) == as_defined(fact)


@given(fact=FACTS, occurred_at=instants(), event_id=texts(20), source=texts(20))
def test_a_digest_stands_for_the_facts_and_not_for_who_tells_them_and_when(
    fact: UsageFact, occurred_at: datetime, event_id: str, source: str
) -> None:
    told_again = msgspec.structs.replace(
        fact, occurred_at=occurred_at, event_id=event_id, source=source, book=None
    )
    assert facts_digest(told_again) == facts_digest(fact)


@pytest.mark.parametrize(
    "changes",
    [
        {"account": "acc_2"},
        {"meter": "call"},
        {"quantity": Decimal("1.000000000001")},
        {"properties": {"a": 1}},
        {"account": "acc_1c", "meter": "alls"},
    ],
    ids=str,
)
def test_other_facts_have_another_digest(changes: dict[str, Any]) -> None:
    assert facts_digest(msgspec.structs.replace(PLAIN, **changes)) != facts_digest(PLAIN)


@pytest.mark.parametrize("text", ["1", "1.0", "1.000000000000", "1E0", "10E-1", "0.1E+1", "01"])
def test_one_quantity_has_one_digest_however_it_is_written(text: str) -> None:
    assert facts_digest(msgspec.structs.replace(PLAIN, quantity=Decimal(text))) == facts_digest(PLAIN)


def test_the_order_of_properties_does_not_matter() -> None:
    one, other = (
        msgspec.structs.replace(PLAIN, properties=dict(pairs))
        for pairs in ([("a", 1), ("b", "x")], [("b", "x"), ("a", 1)])
    )
    assert facts_digest(one) == facts_digest(other)


@pytest.mark.parametrize(
    ("fact", "digest"),
    [
        (PLAIN, "8e79d67ef7948c4205f4566bb60583e86a027de716edcf31c83a8d94b21170b0"),
        (RICH, "14d23925d07386bf5930794670f663f84ae83addd2fb24fae302b4ed3d6ab4d9"),
    ],
    ids=["plain", "rich"],
)
def test_digests_are_frozen(fact: UsageFact, digest: str) -> None:
    """Every log holds digests: were they made differently, duplicates would become conflicts."""
    assert facts_digest(fact) == digest


def test_only_usage_becomes_a_row() -> None:
    closed = AccountClosed(account="acc_1", reason="asked", closed_at=INSTANT)
    around = metadata(UUID(int=1), PLAIN, Actor(principal="prn_1", kind="person"), "test", INSTANT)
    with pytest.raises(AssertionError, match="usage"):
        row_of(NewEvent(stream=UUID(int=2), stream_version=1, event=closed, metadata=around))
