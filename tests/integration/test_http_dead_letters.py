"""Dead letters over HTTP: a book's own messages, listed, shown, replayed and discarded."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import json, structs

import api.resources.dead_letters
from consumers.dead_letter_reads import find
from ledger.errors import Invalid
from ledger.identifiers import stream_of
from ledger.stamps import HEADER
from ledger.store import Log
from schemas import topics
from tests.integration.feed_letters import keep, message, rejected
from tests.integration.http_world import MASTER_KEY, NOW, ok, position_of, refused, usage_event
from tests.integration.log_events import fact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from consumers.dead_letters import Rejected
    from consumers.message import Message
    from ledger.store import Extra
    from tests.integration.http_world import Caller, HttpWorld

NOBODYS = "dlt_00000000000000000000000000"


@pytest.fixture
def ingest(world: HttpWorld) -> Iterator[Log]:
    with closing(Log(world.database.ingest_url, MASTER_KEY)) as log:
        yield log


@pytest.fixture
def book(world: HttpWorld) -> UUID:
    return stream_of("book", world.founded.live_book)


class Applying:
    """Stands for the consumer: appends an event in a book, or refuses."""

    def __init__(self, log: Log, book: UUID) -> None:
        self.log, self.book = log, book
        self.refusal: Exception | None = None
        self.seen: list[Message] = []

    def __call__(self, applied: Message, extra: Extra) -> None:
        self.seen.append(applied)
        if self.refusal is not None:
            raise self.refusal
        self.log.append(self.book, [fact(book=self.book)], extra=extra)


@pytest.fixture
def applying(world: HttpWorld, book: UUID, monkeypatch: pytest.MonkeyPatch) -> Applying:
    made = Applying(world.log, book)
    monkeypatch.setattr(api.resources.dead_letters, "_applier", lambda _: made)
    return made


def kept(ingest: Log, book: UUID, *letters: Rejected) -> list[str]:
    """Keep dead letters of a book."""
    return keep(ingest, *[structs.replace(one, book=book) for one in letters])


def listed(world: HttpWorld, **query: Any) -> list[str]:
    return [row["id"] for row in ok(world.operator.get("/v1/dead-letters", **query))["data"]]


# -- list and show ------------------------------------------------------------------------------------


def test_a_book_lists_its_own_newest_first_and_without_values(
    world: HttpWorld, ingest: Log, book: UUID
) -> None:
    first, second = kept(ingest, book, rejected(b"secret", code="listed"), rejected(code="listed"))
    kept(ingest, stream_of("book", world.other.live_book), rejected(code="listed"))
    keep(ingest, rejected(book=None, code="listed"))
    answer = ok(world.operator.get("/v1/dead-letters", code="listed"))
    assert [row["id"] for row in answer["data"]] == [second, first]
    assert all("value" not in row for row in answer["data"])
    assert "secret" not in str(answer)
    assert {row["book"] for row in answer["data"]} == {world.founded.live_book}


def test_pages_follow_each_other_and_filters_choose(world: HttpWorld, ingest: Log, book: UUID) -> None:
    later = NOW + timedelta(days=1)
    ids = kept(
        ingest,
        book,
        rejected(code="paged"),
        rejected(code="paged", topic=topics.KEYS),
        rejected(code="paged", parked_until=later),
    )
    page = ok(world.operator.get("/v1/dead-letters", code="paged", limit=2))
    assert [row["id"] for row in page["data"]] == [ids[2], ids[1]]
    rest = ok(world.operator.get("/v1/dead-letters", code="paged", limit=2, after=page["next"]))
    assert ([row["id"] for row in rest["data"]], rest["next"]) == ([ids[0]], None)
    assert listed(world, code="paged", topic=topics.KEYS) == [ids[1]]
    assert listed(world, code="paged", status="parked") == [ids[2]]
    refused(world.operator.get("/v1/dead-letters", status="lost"), 422)


def test_a_letter_shows_its_bytes_and_headers_but_not_our_stamp(
    world: HttpWorld, ingest: Log, book: UUID
) -> None:
    headers = (("a", b"1"), ("b", b"\xff"), (HEADER, b"stamp"))
    text, binary, empty = kept(
        ingest,
        book,
        rejected(message=message("é\0".encode(), headers=headers)),
        rejected(b"\xff\xfe"),
        rejected(None),
    )
    shown = ok(world.operator.get(f"/v1/dead-letters/{text}"))
    assert (shown["value"], shown["value_base64"], shown["key"]) == ("é\0", None, "key")
    assert shown["headers"] == [
        {"name": "a", "value": "1", "value_base64": None},
        {"name": "b", "value": None, "value_base64": "/w=="},
    ]
    shown = ok(world.operator.get(f"/v1/dead-letters/{binary}"))
    assert (shown["value"], shown["value_base64"]) == (None, "//4=")
    shown = ok(world.operator.get(f"/v1/dead-letters/{empty}"))
    assert (shown["value"], shown["value_base64"], shown["known"]) == (None, None, None)


def test_a_conflict_shows_the_event_that_is_known_beside_the_message(
    world: HttpWorld, ingest: Log, book: UUID
) -> None:
    account = world.operator.new_account()
    used = world.operator.post("/v1/usage", {"events": [usage_event(account, "1", "5")]})
    position = position_of(used)
    [conflict] = kept(ingest, book, rejected(b'{"quantity": "6"}', code="conflict", known_position=position))
    shown = ok(world.operator.get(f"/v1/dead-letters/{conflict}"))
    assert shown["value"] == '{"quantity": "6"}'
    assert shown["known"]["position"] == position
    assert shown["known"]["data"]["quantity"] == "5"


def test_letters_are_for_operators_of_the_book_and_their_values_for_admins(
    world: HttpWorld, ingest: Log, book: UUID
) -> None:
    [mine] = kept(ingest, book, rejected())
    [nobodys] = keep(ingest, rejected(book=None))
    reader = world.limited_operator("read", "write")
    assert reader.get("/v1/dead-letters").status_code == 200
    refused(reader.get(f"/v1/dead-letters/{mine}"), 403)
    refused(reader.post(f"/v1/dead-letters/{mine}/replay", {}), 403)
    refused(reader.post(f"/v1/dead-letters/{mine}/discard", {"reason": "r"}), 403)
    account = world.operator.new_key(world.operator.new_account(), "read")
    refused(account.get("/v1/dead-letters"), 403)
    for path in ("", "/replay", "/discard"):
        method, body = ("POST", {"reason": "r"}) if path == "/discard" else ("POST" if path else "GET", None)
        for letter in (mine, nobodys, NOBODYS, "x"):
            caller = world.stranger if letter == mine else world.operator
            refused(caller.call(method, f"/v1/dead-letters/{letter}{path}", body), 404)
    assert ok(world.operator.get(f"/v1/dead-letters/{mine}"))["status"] == "open"


# -- replay -------------------------------------------------------------------------------------------


def test_a_replay_applies_the_message_and_erases_it(
    world: HttpWorld, ingest: Log, book: UUID, applying: Applying
) -> None:
    bad = rejected(b"value")
    [letter] = kept(ingest, book, bad)
    replayed = world.operator.post(f"/v1/dead-letters/{letter}/replay")
    assert ok(replayed) == {"id": letter, "status": "replayed", "code": None, "reason": None}
    assert position_of(replayed) == world.log.head()
    assert applying.seen == [bad.message]
    shown = ok(world.operator.get(f"/v1/dead-letters/{letter}"))
    assert (shown["status"], shown["value"]) == ("replayed", None)
    assert shown["resolved_by"].startswith("prn_")


def test_a_replay_may_bring_a_corrected_value(
    world: HttpWorld, ingest: Log, book: UUID, applying: Applying
) -> None:
    [letter] = kept(ingest, book, rejected(b"wrong"))
    ok(world.operator.post(f"/v1/dead-letters/{letter}/replay", {"value": "right: é"}))
    assert [one.value for one in applying.seen] == ["right: é".encode()]
    refused(world.operator.post(f"/v1/dead-letters/{letter}/replay", {"value": "x" * 262_145}), 422)
    refused(world.operator.post(f"/v1/dead-letters/{letter}/replay", {"value": ""}), 422)


def test_a_replay_that_is_refused_again_says_why(
    world: HttpWorld, ingest: Log, book: UUID, applying: Applying
) -> None:
    [letter] = kept(ingest, book, rejected())
    applying.refusal = Invalid("quantity: is no number")
    answer = ok(world.operator.post(f"/v1/dead-letters/{letter}/replay"))
    assert answer == {"id": letter, "status": "open", "code": "invalid", "reason": "quantity: is no number"}
    assert ok(world.operator.get(f"/v1/dead-letters/{letter}"))["attempts"] == 2


def test_a_replay_into_another_book_is_refused(
    world: HttpWorld, ingest: Log, book: UUID, applying: Applying
) -> None:
    [letter] = kept(ingest, book, rejected())
    applying.book = stream_of("book", world.other.live_book)
    head = world.log.head()
    answer = ok(world.operator.post(f"/v1/dead-letters/{letter}/replay", {"value": "{}"}))
    assert (answer["status"], answer["code"]) == ("open", "forbidden")
    assert world.log.head() == head


def test_a_replay_under_an_idempotency_key_is_answered_again(
    world: HttpWorld, ingest: Log, book: UUID, applying: Applying
) -> None:
    [letter] = kept(ingest, book, rejected())
    path = f"/v1/dead-letters/{letter}/replay"
    first = world.operator.post(path, Idempotency_Key="replay-1")
    again = world.operator.post(path, Idempotency_Key="replay-1")
    assert ok(first) == ok(again)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert position_of(first) == position_of(again)
    assert len(applying.seen) == 1


# -- discard ------------------------------------------------------------------------------------------


def test_a_letter_is_discarded_with_a_reason_once(world: HttpWorld, ingest: Log, book: UUID) -> None:
    [letter] = kept(ingest, book, rejected(code="invalid"))
    path = f"/v1/dead-letters/{letter}/discard"
    refused(world.operator.post(path, {}), 422)
    first = world.operator.post(path, {"reason": "sent by mistake"}, Idempotency_Key="discard-1")
    said = {"id": letter, "status": "discarded", "code": "invalid", "reason": "sent by mistake"}
    assert ok(first) == said
    event = ok(world.operator.get(f"/v1/events/{position_of(first)}"))
    assert (event["type"], event["data"]["reason"]) == ("feed.dead_letter_discarded", "sent by mistake")
    assert event["actor"]["principal"].startswith("prn_")
    again = world.operator.post(path, {"reason": "sent by mistake"}, Idempotency_Key="discard-1")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert ok(world.operator.post(path, {"reason": "another"})) == said
    assert ok(world.operator.get(f"/v1/dead-letters/{letter}"))["value"] is None


def test_what_is_settled_one_way_is_not_settled_the_other(
    world: HttpWorld, ingest: Log, book: UUID, applying: Applying
) -> None:
    replayed, discarded = kept(ingest, book, rejected(), rejected())
    ok(world.operator.post(f"/v1/dead-letters/{replayed}/replay"))
    ok(world.operator.post(f"/v1/dead-letters/{discarded}/discard", {"reason": "r"}))
    body = {"reason": "r"}
    refused(world.operator.post(f"/v1/dead-letters/{replayed}/discard", body), 409, "dead_letter_settled")
    refused(world.operator.post(f"/v1/dead-letters/{discarded}/replay"), 409, "dead_letter_settled")
    assert len(applying.seen) == 1
    with ingest.connection() as connection:
        letter = find(connection, replayed)
    assert letter is not None
    assert letter.status == "replayed"


# -- with the consumer's own way of applying a message --------------------------------------------------


@dataclass(frozen=True)
class Producer:
    """A source that is granted in a book, and an account there."""

    book: str
    account: str

    def usage(self, event_id: str, quantity: str, **more: Any) -> bytes:
        event = {**usage_event(self.account, event_id, quantity), "source": "svc", "book": self.book}
        return json.encode({**event, **more})


def granted(caller: Caller, book: str) -> Producer:
    answer = caller.post("/v1/sources", {"source": "svc", "scopes": ["usage:write", "write"]})
    assert answer.status_code in (201, 409)
    return Producer(book, caller.new_account())


def test_corrected_usage_is_recorded_and_counted_once(world: HttpWorld, ingest: Log, book: UUID) -> None:
    producer = granted(world.operator, world.founded.live_book)
    wrong, right = producer.usage("once", "-1"), producer.usage("once", "2.5").decode()
    first, second = kept(ingest, book, rejected(wrong), rejected(wrong))
    again = ok(world.operator.post(f"/v1/dead-letters/{first}/replay"))
    assert (again["status"], again["code"]) == ("open", "invalid")
    for letter in (first, second):
        done = ok(world.operator.post(f"/v1/dead-letters/{letter}/replay", {"value": right}))
        assert done["status"] == "replayed"
    world.follow()
    used = ok(world.operator.get(f"/v1/accounts/{producer.account}/usage"))
    assert [(total["quantity"], total["events"]) for total in used["totals"]] == [("2.5", 1)]


def test_a_known_identity_with_other_facts_shows_both_after_its_replay(
    world: HttpWorld, ingest: Log, book: UUID
) -> None:
    producer = granted(world.operator, world.founded.live_book)
    first, second = kept(
        ingest, book, rejected(producer.usage("twice", "1")), rejected(producer.usage("twice", "2"))
    )
    ok(world.operator.post(f"/v1/dead-letters/{first}/replay"))
    done = ok(world.operator.post(f"/v1/dead-letters/{second}/replay"))
    assert done["status"] == "open"
    shown = ok(world.operator.get(f"/v1/dead-letters/{second}"))
    assert '"quantity":"2"' in shown["value"]
    assert shown["known"]["data"]["quantity"] == "1"


def test_usage_is_corrected_into_no_other_organisations_book(
    world: HttpWorld, ingest: Log, book: UUID
) -> None:
    theirs = granted(world.stranger, world.other.live_book)
    [letter] = kept(ingest, book, rejected())
    head = world.log.head()
    value = theirs.usage("stolen", "1").decode()
    done = ok(world.operator.post(f"/v1/dead-letters/{letter}/replay", {"value": value}))
    assert done["status"] == "open"
    with ingest.connection() as connection:
        assert (
            connection.execute("SELECT 1 FROM log.events WHERE notification_id > %s", (head,)).fetchall()
            == []
        )


def test_a_command_is_corrected_into_the_keys_book_only(world: HttpWorld, ingest: Log, book: UUID) -> None:
    granted(world.operator, world.founded.live_book)
    granted(world.stranger, world.other.live_book)
    command = {
        "specversion": "1.0",
        "id": "register-1",
        "source": "svc",
        "type": "daybook.account.register",
        "data": {"name": "Ada"},
    }
    [letter] = kept(ingest, book, rejected(b"not JSON", topic=topics.ACCOUNTS))
    path = f"/v1/dead-letters/{letter}/replay"
    for book_id, status in ((world.other.live_book, "open"), (world.founded.live_book, "replayed")):
        value = json.encode({**command, "book": book_id}).decode()
        assert ok(world.operator.post(path, {"value": value}))["status"] == status
    position = world.log.head()
    event = ok(world.operator.get(f"/v1/events/{position}"))
    assert (event["type"], event["data"]["name"]) == ("account.registered", "Ada")
