"""Usage over HTTP: CloudEvents one by one, in batches, duplicated, conflicting and malformed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.http_world import http_world, ok, position_of, refused, usage_event

if TYPE_CHECKING:
    from tests.integration.http_world import Caller, HttpWorld
    from tests.postgres import Database

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


@pytest.fixture
def account(world: HttpWorld) -> str:
    return world.operator.new_account()


def posted(caller: Caller, *events: Any) -> dict[str, Any]:
    return ok(caller.post("/v1/usage", {"events": list(events)}))


def rejection(world: HttpWorld, event: Any) -> dict[str, Any]:
    """Post one event that must be rejected, beside one that must not be, and give the rejection."""
    good = usage_event(world.operator.new_account(), "good")
    result = posted(world.operator, good, event)
    assert result["accepted"] == 1, result
    (rejected,) = result["rejected"]
    assert rejected["index"] == 1
    assert rejected.keys() == {"index", "id", "errors"}
    found: dict[str, Any] = rejected
    return found


def total_of(world: HttpWorld, account: str) -> str:
    world.follow()
    (total,) = ok(world.operator.get(f"/v1/accounts/{account}/usage"))["totals"]
    return str(total["quantity"])


# -- the three ways to send ---------------------------------------------------------------------------


def test_one_event_is_sent_as_a_cloud_event(world: HttpWorld, account: str) -> None:
    response = world.operator.send("/v1/usage", json.dumps(usage_event(account, "1")), SINGLE)
    result = ok(response)
    assert result == {
        "accepted": 1,
        "duplicates": 0,
        "conflicts": [],
        "rejected": [],
        "position": position_of(response),
    }


def test_a_batch_is_sent_as_cloud_events(world: HttpWorld, account: str) -> None:
    batch = json.dumps([usage_event(account, str(number)) for number in range(3)])
    assert ok(world.operator.send("/v1/usage", batch, BATCH))["accepted"] == 3
    assert ok(world.operator.send("/v1/usage", batch, BATCH + "; charset=utf-8"))["duplicates"] == 3


def test_a_batch_is_sent_in_an_envelope(world: HttpWorld, account: str) -> None:
    assert posted(world.operator, usage_event(account, "1"), usage_event(account, "2"))["accepted"] == 2


def test_an_empty_batch_does_nothing(world: HttpWorld) -> None:
    expected = {"accepted": 0, "duplicates": 0, "conflicts": [], "rejected": [], "position": None}
    assert posted(world.operator) == expected
    assert ok(world.operator.send("/v1/usage", "[]", BATCH)) == expected


# -- once, twice, and otherwise -----------------------------------------------------------------------


def test_an_event_sent_twice_counts_once(world: HttpWorld, account: str) -> None:
    event = usage_event(account, "1", "2.5")
    first = posted(world.operator, event, event)
    assert (first["accepted"], first["duplicates"]) == (1, 1)
    again = posted(world.operator, {**event, "time": "2027-01-15T11:45:00Z"})
    assert (again["accepted"], again["duplicates"], again["position"]) == (0, 1, first["position"])
    assert total_of(world, account) == "2.5"


def test_a_known_event_with_other_facts_is_a_conflict(world: HttpWorld, account: str) -> None:
    first = posted(world.operator, usage_event(account, "1", "1"))
    result = posted(world.operator, usage_event(account, "2"), usage_event(account, "1", "7"))
    assert result["accepted"] == 1
    source = f"gateway/{account}"
    assert result["conflicts"] == [{"index": 1, "id": "1", "source": source, "position": first["position"]}]


def test_the_same_id_from_another_source_is_another_event(world: HttpWorld, account: str) -> None:
    result = posted(world.operator, usage_event(account, "1"), usage_event(account, "1", source="other"))
    assert result["accepted"] == 2


def test_the_same_event_in_another_book_is_another_event(world: HttpWorld, account: str) -> None:
    posted(world.operator, usage_event(account, "1", source="shared"))
    other = usage_event(world.stranger.new_account(), "1", source="shared")
    assert posted(world.stranger, other)["accepted"] == 1


# -- what an event may say ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "counted"),
    [
        ("1", "1"),
        ("0", "0"),
        ("0.000000000001", "0.000000000001"),
        ("999999999999999999", "999999999999999999"),
        ("1e3", "1000"),
        (5, "5"),
        (999999999999999999, "999999999999999999"),
    ],
)
def test_a_quantity_is_counted_exactly(world: HttpWorld, account: str, quantity: Any, counted: str) -> None:
    assert posted(world.operator, usage_event(account, "1", quantity))["accepted"] == 1
    assert total_of(world, account) == counted


@pytest.mark.parametrize("text", ["0.1", "123456789012345678.123456789012", "1.10"])
def test_a_quantity_written_as_a_number_never_goes_through_a_float(
    world: HttpWorld, account: str, text: str
) -> None:
    event = json.dumps(usage_event(account, "1", "QUANTITY")).replace('"QUANTITY"', text)
    assert ok(world.operator.send("/v1/usage", event, SINGLE))["accepted"] == 1
    assert total_of(world, account) == text.rstrip("0")


@pytest.mark.parametrize(
    "quantity",
    [
        *(
            "-1",
            "",
            " 1",
            "1 ",
            "one",
            "NaN",
            "Infinity",
            "1_000",
            "1e18",
            "0.0000000000001",
            "1" * 19,
            "\u0661",
        ),
        *(-1, 10**18, 10**60, True, None, [], {}),
    ],
)
def test_a_quantity_that_cannot_be_counted_rejects_its_event(
    world: HttpWorld, account: str, quantity: Any
) -> None:
    assert "data.quantity" in rejection(world, usage_event(account, "bad", quantity))["errors"]


@pytest.mark.parametrize(
    "text",
    [
        "1E400",
        "1e-400",
        "-0.5",
        "1" * 4_000,
        "1" * 5_000,
        "0." + "1" * 4_000,
        "1E9" + "9" * 30,
        "1e-9" + "9" * 30,
    ],
)
def test_a_number_beyond_all_bounds_rejects_its_event(world: HttpWorld, account: str, text: str) -> None:
    event = json.dumps(usage_event(account, "1", "QUANTITY")).replace('"QUANTITY"', text)
    (rejected,) = ok(world.operator.send("/v1/usage", event, SINGLE))["rejected"]
    assert rejected["errors"]


@pytest.mark.parametrize("number", ["1E400", "1" * 5_000, "1E9" + "9" * 30, "-1E9" + "9" * 30])
def test_an_event_that_is_wrong_twice_over_is_still_only_rejected(
    world: HttpWorld, account: str, number: str
) -> None:
    event = json.dumps({**usage_event(account, "1"), "id": 7, "extension": "NUMBER"})
    batch = f"[{event}, {json.dumps(usage_event(account, '2'))}]".replace('"NUMBER"', number)
    result = ok(world.operator.send("/v1/usage", batch, BATCH))
    assert result["accepted"] == 1
    assert result["rejected"][0]["index"] == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": 1.0}, "specversion"),
        ({"id": ""}, "id"),
        ({"id": 7}, "id"),
        ({"id": "x" * 256}, "id"),
        ({"id": "a\u0000b"}, "id"),
        ({"source": ""}, "source"),
        ({"source": "x" * 256}, "source"),
        ({"type": ""}, "type"),
        ({"type": "x" * 101}, "type"),
        ({"type": "a\u0000"}, "type"),
        ({"subject": ""}, "subject"),
        ({"subject": "acc_nonsense"}, "subject"),
        ({"subject": "plan_01h455vb4pex5vsknk084sn02q"}, "subject"),
        ({"subject": "acc_01h455vb4pex5vsknk084sn02q"}, "subject"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2027-01-15T11:30:00"}, "time"),
        ({"time": "2027-02-30T11:30:00Z"}, "time"),
        ({"time": 1_800_000_000}, "time"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "time"),
        ({"time": "9999-12-31T23:59:59-14:00"}, "time"),
        ({"time": "2026-12-11T11:59:59Z"}, "time"),
        ({"time": "2027-01-15T12:05:01Z"}, "time"),
        ({"data": None}, "data"),
        ({"data": "1"}, "data"),
        ({"data": {}}, "data.quantity"),
        ({"data": {"quantity": "1", "nested": {"a": 1}}}, "data.nested"),
        ({"data": {"quantity": "1", "list": [1]}}, "data.list"),
        ({"data": {"quantity": "1", "text": "x" * 513}}, "data.text"),
        ({"data": {"quantity": "1", "text": "a\u0000"}}, "data.text"),
        ({"data": {"quantity": "1", "n": 10**18}}, "data.n"),
        ({"data": {"quantity": "1", **{f"k{number}": 1 for number in range(51)}}}, "data"),
        ({"book": "book_01h455vb4pex5vsknk084sn02q"}, "book"),
        ({"book": 7}, "book"),
    ],
)
def test_an_event_that_is_wrong_is_rejected_by_field_and_spoils_no_other(
    world: HttpWorld, account: str, changes: dict[str, Any], field: str
) -> None:
    rejected = rejection(world, {**usage_event(account, "bad"), **changes})
    assert field in rejected["errors"], rejected
    assert rejected["id"] == ("bad" if "id" not in changes else None)


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "type", "subject", "time", "data"])
def test_every_attribute_is_needed(world: HttpWorld, account: str, missing: str) -> None:
    event = usage_event(account, "bad")
    subject = event.pop(missing)
    assert subject is not None
    result = posted(world.operator, event, usage_event(account, "good"))
    assert result["accepted"] == 1
    assert result["rejected"][0]["errors"] == {missing: ["is required"]}


def test_everything_that_is_wrong_with_an_event_is_said_at_once(world: HttpWorld, account: str) -> None:
    event = {**usage_event(account, "bad", "-1"), "type": "", "time": "1999-01-01T00:00:00Z"}
    assert {"type", "data.quantity", "time"} <= rejection(world, event)["errors"].keys()


@pytest.mark.parametrize("event", [None, 7, "event", [], [1]])
def test_what_is_no_event_at_all_is_rejected_alone(world: HttpWorld, account: str, event: Any) -> None:
    result = posted(world.operator, event, usage_event(account, "good"))
    assert result["accepted"] == 1
    assert result["rejected"][0]["index"] == 0
    assert result["rejected"][0]["errors"]


def test_properties_keep_what_they_say(world: HttpWorld, account: str) -> None:
    data = {"quantity": "1", "region": "eu", "cached": False, "status": 200, "empty": "", "nothing": None}
    position = posted(world.operator, {**usage_event(account, "1"), "data": data})["position"]
    event = ok(world.operator.get(f"/v1/events/{position}"))
    assert event["data"]["properties"] == {name: data[name] for name in data if name != "quantity"}
    assert event["occurred_at"] == "2027-01-15T11:30:00Z"


def test_attributes_of_other_extensions_are_passed_over(world: HttpWorld, account: str) -> None:
    event = usage_event(account, "1", traceparent="00-1", datacontenttype="application/json", sequence=3)
    event["book"] = world.founded.live_book
    assert posted(world.operator, event)["accepted"] == 1


@pytest.mark.parametrize(
    "time", ["2026-12-11T12:00:00Z", "2027-01-15T12:05:00Z", "2027-01-15T13:00:00+01:00"]
)
def test_the_bounds_of_time_are_inside(world: HttpWorld, account: str, time: str) -> None:
    assert posted(world.operator, usage_event(account, "1", time=time))["accepted"] == 1


# -- whose usage it is --------------------------------------------------------------------------------


def test_an_account_posts_its_own_usage_only(world: HttpWorld, account: str) -> None:
    other = world.operator.new_account()
    result = posted(world.operator.new_key(account), usage_event(other, "1"), usage_event(account, "2"))
    assert result["accepted"] == 1
    assert result["rejected"] == [
        {"index": 0, "id": "1", "errors": {"subject": [f"there is no account {other}"]}}
    ]


def test_another_books_account_is_unknown(world: HttpWorld) -> None:
    theirs = world.stranger.new_account()
    (rejected,) = posted(world.operator, usage_event(theirs, "1"))["rejected"]
    assert rejected["errors"] == {"subject": [f"there is no account {theirs}"]}


def test_a_closed_account_is_still_billed_for_what_happened_before(world: HttpWorld, account: str) -> None:
    ok(world.operator.post(f"/v1/accounts/{account}/close", {"reason": "x"}))
    before = usage_event(account, "1", time="2027-01-15T11:59:59Z")
    after = usage_event(account, "2", time="2027-01-15T12:00:01Z")
    result = posted(world.operator, before, after)
    assert result["accepted"] == 1
    assert list(result["rejected"][0]["errors"]) == ["subject"]


# -- what is refused whole ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SINGLE, BATCH, "application/json"])
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"nonsense", b'{"events": [}', b"[" * 100_000])
def test_what_is_no_json_cannot_be_read(world: HttpWorld, kind: str, body: bytes) -> None:
    refused(world.operator.send("/v1/usage", body, kind), 400)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (BATCH, "{}"),
        ("application/json", "[]"),
        ("application/json", "{}"),
        ("application/json", '{"events": {}}'),
        ("application/json", '{"events": [], "more": 1}'),
    ],
)
def test_a_body_of_another_shape_is_refused(world: HttpWorld, kind: str, body: str) -> None:
    refused(world.operator.send("/v1/usage", body, kind), 422)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data"])
def test_another_kind_of_content_is_not_taken(world: HttpWorld, kind: str) -> None:
    refused(world.operator.send("/v1/usage", "{}", kind), 415, "unsupported_media_type")


def test_ten_thousand_events_are_a_batch_and_one_more_is_too_many(world: HttpWorld, account: str) -> None:
    events = [usage_event(account, str(number)) for number in range(10_001)]
    refused(world.operator.send("/v1/usage", json.dumps(events), BATCH), 413, "too_large")
    assert ok(world.operator.send("/v1/usage", json.dumps(events[1:]), BATCH))["accepted"] == 10_000
    assert total_of(world, account) == "10000"


def test_a_body_that_is_too_large_is_refused(database: Database) -> None:
    with http_world(database, max_body_bytes=2_000) as world:
        account = world.operator.new_account()
        events = [usage_event(account, str(number)) for number in range(50)]
        refused(world.operator.post("/v1/usage", {"events": events}), 413, "too_large")
        refused(world.operator.post("/v1/accounts", {"name": "x" * 3_000}), 413, "too_large")
        assert posted(world.operator, usage_event(account, "1"))["accepted"] == 1


def test_how_far_away_the_time_may_lie_is_configured(database: Database) -> None:
    with http_world(database, usage_max_past_seconds=60, usage_max_future_seconds=0) as world:
        account = world.operator.new_account()
        times = [
            "2027-01-15T11:58:59Z",
            "2027-01-15T11:59:00Z",
            "2027-01-15T12:00:00Z",
            "2027-01-15T12:00:01Z",
        ]
        events = [usage_event(account, time, time=time) for time in times]
        assert [one["index"] for one in posted(world.operator, *events)["rejected"]] == [0, 3]


def test_the_book_an_event_names_is_the_keys_own(world: HttpWorld, account: str) -> None:
    event = usage_event(account, "1", book=world.founded.test_book)
    (rejected,) = posted(world.operator, event)["rejected"]
    assert list(rejected["errors"]) == ["book"]
