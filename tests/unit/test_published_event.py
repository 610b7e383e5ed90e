"""A published event: its data as the log has it, about the account whose timeline shows it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec
import pytest

from consumers.published_event import Epoch, PublishedEvent, outgoing
from ledger.codec import decode_event, decode_state, metadata_of
from ledger.events import Recorded
from ledger.identifiers import public_id
from projections import timeline
from tests.golden.golden_event import EVENTS_DIRECTORY, GoldenEvent, read_golden

FILES = sorted(EVENTS_DIRECTORY.glob("*.json"))
GOLDEN = [read_golden(path) for path in FILES]
every_golden_event = pytest.mark.parametrize("golden", GOLDEN, ids=[path.stem for path in FILES])
RECORDED_AT = datetime(2027, 1, 31, 12, 0, tzinfo=UTC)
EPOCH = Epoch(2, 17)
POSITION = 3_000_000_000


def published(golden: GoldenEvent, state: bytes | None = None) -> tuple[str, PublishedEvent]:
    stored = bytes(golden.state) if state is None else state
    row = (POSITION, str(golden.stream), golden.stream_version, golden.topic, stored)
    message = outgoing((*row, str(golden.book), RECORDED_AT), EPOCH)
    assert message.position == POSITION
    return message.key.decode(), msgspec.json.decode(message.value, type=PublishedEvent)


def accounts_concerned(golden: GoldenEvent) -> list[str]:
    state = decode_state(bytes(golden.state))
    event = decode_event(golden.topic, state, golden.stream, golden.stream_version, golden.opened_keys)
    if golden.topic not in timeline.PROJECTION.handled:
        return []
    metadata = metadata_of(state, golden.book)
    return timeline.concerned(
        Recorded(
            position=POSITION,
            stream=golden.stream,
            stream_version=golden.stream_version,
            recorded_at=RECORDED_AT,
            event=event,
            metadata=metadata,
        )
    )


@every_golden_event
def test_its_data_is_byte_for_byte_what_the_log_holds(golden: GoldenEvent) -> None:
    _, event = published(golden)
    assert bytes(event.data) == bytes(decode_state(bytes(golden.state)).data)


@every_golden_event
def test_it_is_about_the_account_whose_timeline_shows_it(golden: GoldenEvent) -> None:
    key, event = published(golden)
    concerned = accounts_concerned(golden)
    if concerned:
        assert [event.subject] == concerned
        assert key == event.subject
    else:
        assert event.subject is msgspec.UNSET
        assert key == str(golden.stream)


@every_golden_event
def test_it_tells_where_it_stands_and_what_surrounds_it(golden: GoldenEvent) -> None:
    _, event = published(golden)
    state = decode_state(bytes(golden.state))
    assert (event.id, event.position, event.logepoch, event.logepochafter) == (
        "2-3000000000",
        "3000000000",
        2,
        "17",
    )
    assert (event.stream, event.streamversion) == (str(golden.stream), golden.stream_version)
    assert (event.type, event.eventversion) == (golden.topic, golden.version)
    assert event.book == public_id("book", golden.book)
    assert (event.cause, event.actor, event.actorkind) == (
        state.cause,
        state.actor.principal,
        state.actor.kind,
    )
    assert (event.actorkey or None) == state.actor.key
    assert datetime.fromisoformat(event.time) == state.occurred_at
    assert datetime.fromisoformat(event.bookedat) == state.booked_at
    assert event.recordedat == RECORDED_AT


def test_an_entry_about_several_accounts_is_about_none_of_them() -> None:
    golden = next(one for one in GOLDEN if one.topic == "journal.entry_posted")
    state = msgspec.json.decode(bytes(golden.state))
    state["data"]["account"] = None
    for number, posting in enumerate(state["data"]["postings"]):
        posting["account"] = f"acc_{number}"
    key, event = published(golden, msgspec.json.encode(state))
    assert event.subject is msgspec.UNSET
    assert key == str(golden.stream)


def test_an_entry_whose_postings_all_name_one_account_is_about_that_one() -> None:
    golden = next(one for one in GOLDEN if one.topic == "journal.entry_posted")
    state = msgspec.json.decode(bytes(golden.state))
    state["data"]["account"] = None
    for posting in state["data"]["postings"]:
        posting["account"] = "acc_one"
    key, event = published(golden, msgspec.json.encode(state))
    assert (key, event.subject) == ("acc_one", "acc_one")


def test_the_names_of_its_attributes_are_ones_that_cloudevents_allow() -> None:
    names = {field.encode_name for field in msgspec.structs.fields(PublishedEvent)}
    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in names)


def test_a_state_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        published(GOLDEN[0], b"{}")
