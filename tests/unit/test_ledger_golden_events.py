"""What was once stored is read for ever: one golden file a topic and version, added and never edited."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from ledger.codec import decode_event, decode_state, encode, metadata_of, subjects_of
from ledger.events import EVENT_CLASSES, FORGOTTEN
from tests.golden import add_missing, golden_event
from tests.golden.golden_event import EVENTS_DIRECTORY, golden_path, read_golden

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.events import Event
    from tests.golden.golden_event import GoldenEvent

FILES = sorted(EVENTS_DIRECTORY.glob("*.json"))
GOLDEN = [read_golden(path) for path in FILES]
every_golden_event = pytest.mark.parametrize("golden", GOLDEN, ids=[path.stem for path in FILES])


def read(golden: GoldenEvent, data_keys: dict[str, bytes]) -> Event:
    state = decode_state(bytes(golden.state))
    return decode_event(golden.topic, state, golden.stream, golden.stream_version, data_keys)


def as_json(event: Event) -> object:
    return msgspec.json.decode(msgspec.json.encode(event))


def is_current(golden: GoldenEvent) -> bool:
    return EVENT_CLASSES[golden.topic].version == golden.version


def test_every_topic_and_version_has_its_golden_file() -> None:
    wanted = {
        golden_path(topic, version)
        for topic, event_class in EVENT_CLASSES.items()
        for version in range(1, event_class.version + 1)
    }
    assert wanted - set(FILES) == set(), "python -m tests.golden.add_missing"
    assert set(FILES) - wanted == set(), "a topic and its versions are permanent"


@every_golden_event
def test_a_golden_file_is_named_for_what_it_holds(golden: GoldenEvent) -> None:
    assert golden_path(golden.topic, golden.version) in FILES
    assert decode_state(bytes(golden.state)).version == golden.version


@every_golden_event
def test_a_stored_event_reads_as_it_always_did(golden: GoldenEvent) -> None:
    event = read(golden, golden.opened_keys)
    assert type(event) is EVENT_CLASSES[golden.topic]
    # What an older version reads as today is for the test of its upcast to say.
    assert not is_current(golden) or as_json(event) == msgspec.json.decode(golden.event)


@every_golden_event
def test_what_surrounds_a_stored_event_reads_as_it_always_did(golden: GoldenEvent) -> None:
    assert metadata_of(decode_state(bytes(golden.state)), add_missing.BOOK) == add_missing.METADATA


@pytest.mark.parametrize(
    "golden",
    [golden for golden in GOLDEN if is_current(golden) and not EVENT_CLASSES[golden.topic].personal],
    ids=lambda golden: golden.topic,
)
def test_an_event_without_personal_data_is_stored_in_the_same_bytes(golden: GoldenEvent) -> None:
    event = read(golden, {})
    metadata = metadata_of(decode_state(bytes(golden.state)), golden.book)
    assert encode(event, metadata, golden.stream, golden.stream_version, {}) == bytes(golden.state)


@every_golden_event
def test_a_golden_event_keeps_its_person_only_under_a_key(golden: GoldenEvent) -> None:
    event_class = EVENT_CLASSES[golden.topic]
    assert subjects_of(golden.topic, decode_state(bytes(golden.state))) == golden.data_keys.keys()
    known, forgotten = read(golden, golden.opened_keys), read(golden, {})
    for field in event_class.personal:
        clear = getattr(known, field)
        assert clear.encode() not in bytes(golden.state)
        assert getattr(forgotten, field) == FORGOTTEN


def test_adding_golden_files_leaves_those_that_exist_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golden_event, "EVENTS_DIRECTORY", tmp_path)
    kept = golden_path("account.registered", 1)
    kept.write_text("kept")
    added = add_missing.add_missing()
    assert kept.read_text() == "kept"
    assert kept not in added
    assert len(added) == len(EVENT_CLASSES) - 1
    assert add_missing.add_missing() == []
