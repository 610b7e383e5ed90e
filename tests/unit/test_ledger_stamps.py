"""The edge's stamps: read back by whoever has the key, for that message and no other."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events import Actor
from ledger.stamps import Stamp, read_stamp, sign_stamp, stamp_key

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTANT = datetime(2027, 1, 31, 12, tzinfo=UTC)
KEY = stamp_key(b"k" * 32)
TOPIC = "daybook.usage"
VALUE = b'{"id": "1"}'
STAMP = Stamp(
    accepted_at=INSTANT,
    book=UUID(int=1),
    actor=Actor(principal="prn_1", kind="service", key="key_1"),
    cause="http:1",
)
HEADER = sign_stamp(STAMP, TOPIC, VALUE, KEY)

TEXTS = st.text(max_size=100)
STAMPS = st.builds(
    Stamp,
    accepted_at=st.datetimes(datetime(2000, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001 - the zone is drawn
    book=st.uuids(),
    actor=st.builds(Actor, principal=TEXTS, kind=TEXTS, key=st.none() | TEXTS),
    cause=TEXTS,
    endpoint=st.none() | TEXTS,
)


@given(
    stamp=STAMPS, topic=TEXTS, value=st.binary(max_size=500), master_key=st.binary(min_size=32, max_size=32)
)
def test_a_stamp_is_read_back_as_it_was_signed(
    stamp: Stamp, topic: str, value: bytes, master_key: bytes
) -> None:
    key = stamp_key(master_key)
    assert read_stamp(sign_stamp(stamp, topic, value, key), topic, value, key) == stamp


def altered(text: bytes) -> Iterator[bytes]:
    """Give a text with each of its bits turned over."""
    for place in range(len(text)):
        for bit in range(8):
            other = bytearray(text)
            other[place] ^= 1 << bit
            yield bytes(other)


def test_a_header_with_any_bit_altered_is_not_ours() -> None:
    assert all(read_stamp(header, TOPIC, VALUE, KEY) is None for header in altered(HEADER))


def test_a_header_that_is_cut_off_is_not_ours() -> None:
    for length in range(len(HEADER)):
        assert read_stamp(HEADER[:length], TOPIC, VALUE, KEY) is None


@given(header=st.binary(max_size=200))
def test_a_header_that_was_made_up_is_not_ours(header: bytes) -> None:
    assert read_stamp(header, TOPIC, VALUE, KEY) is None


@given(added=st.binary(min_size=1, max_size=50))
def test_what_is_added_to_a_header_spoils_it(added: bytes) -> None:
    assert read_stamp(HEADER + added, TOPIC, VALUE, KEY) is None


@given(topic=TEXTS.filter(lambda topic: topic != TOPIC))
def test_a_stamp_is_of_its_topic_alone(topic: str) -> None:
    assert read_stamp(HEADER, topic, VALUE, KEY) is None


@given(value=st.binary(max_size=50).filter(lambda value: value != VALUE))
def test_a_stamp_is_of_its_message_alone(value: bytes) -> None:
    assert read_stamp(HEADER, TOPIC, value, KEY) is None


def test_a_message_with_any_bit_altered_has_no_stamp() -> None:
    assert all(read_stamp(HEADER, TOPIC, value, KEY) is None for value in altered(VALUE))


def test_bytes_do_not_move_between_the_topic_and_the_stamp() -> None:
    mac, text = HEADER[:32], HEADER[32:]
    assert read_stamp(mac + text + b"d", TOPIC[1:], VALUE, KEY) is None


@given(master_key=st.binary(min_size=32, max_size=32).filter(lambda key: key != b"k" * 32))
def test_a_stamp_of_another_installation_is_not_ours(master_key: bytes) -> None:
    assert read_stamp(HEADER, TOPIC, VALUE, stamp_key(master_key)) is None


def test_the_master_key_itself_signs_nothing() -> None:
    assert read_stamp(sign_stamp(STAMP, TOPIC, VALUE, b"k" * 32), TOPIC, VALUE, KEY) is None


@pytest.mark.parametrize(("bytes_more", "is_read"), [(0, True), (1, False)])
def test_a_stamp_has_at_most_four_kibibytes(bytes_more: int, *, is_read: bool) -> None:
    empty = Stamp(accepted_at=INSTANT, book=STAMP.book, actor=STAMP.actor, cause="")
    room = 4_096 - (len(sign_stamp(empty, TOPIC, VALUE, KEY)) - 32)
    long = Stamp(accepted_at=INSTANT, book=STAMP.book, actor=STAMP.actor, cause="c" * (room + bytes_more))
    found = read_stamp(sign_stamp(long, TOPIC, VALUE, KEY), TOPIC, VALUE, KEY)
    assert (found == long) is is_read


def test_stamps_are_frozen() -> None:
    """Messages wait in Kafka for weeks: a stamp that was signed before an upgrade is read after it."""
    known = (
        "2r3GVYpILvFe6+ZqPq1YkWAIJiods9HG/pv35nH2udJ7ImFjY2VwdGVkX2F0IjoiMjAyNy0wMS0zMVQxMjowMDowMF"
        "oiLCJib29rIjoiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAxIiwiYWN0b3IiOnsicHJpbmNpcGFs"
        "IjoicHJuXzEiLCJraW5kIjoic2VydmljZSIsImtleSI6ImtleV8xIn0sImNhdXNlIjoiaHR0cDoxIiwiZW5kcG9pbn"
        "QiOm51bGx9"
    )
    assert read_stamp(base64.b64decode(known), TOPIC, VALUE, KEY) == STAMP
