"""MRR over HTTP: by period and plan, movement by movement, as it was known, by the definition asked for."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from ledger.identifiers import public_id, stream_of
from projections.follower import Follower
from projections.registry import PROJECTIONS
from tests.integration.http_world import MASTER_KEY, ok, refused
from tests.mrr_story import Story, instant

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld

ACME = public_id("acc", UUID(int=1 << 64, version=4))
BETA = public_id("acc", UUID(int=2 << 64, version=4))
YEAR = {"from": "2027-01-01", "to": "2028-01-01"}


def usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


def a_year(world: HttpWorld) -> Story:
    """Write a year of two accounts into the live book: dollars at Acme, dollars and then euros at Beta."""
    story = Story(book=stream_of("book", world.founded.live_book))
    story.add_plan("basic", "month", {"USD": 1000, "EUR": 900})
    story.add_plan("annual", "year", {"USD": 20000})
    for step in (
        {"at": "2027-01-10", "do": "start", "subscription": "s1", "account": ACME, "plan": "annual"},
        {"at": "2027-02-10", "do": "start", "subscription": "s2", "account": ACME, "plan": "basic"},
        {"at": "2027-03-10", "do": "start", "subscription": "s3", "account": BETA, "plan": "basic"},
        {"at": "2027-03-20", "do": "change", "subscription": "s2", "quantity": 3},
        {"at": "2027-04-10", "do": "cancel", "subscription": "s3"},
        {
            "at": "2027-05-15",
            "do": "start",
            "subscription": "s4",
            "account": BETA,
            "plan": "basic",
            "currency": "EUR",
        },
    ):
        story.tell(step)
    return story


def write(world: HttpWorld, story: Story) -> list[int]:
    positions = world.log.append(story.book, story.new_events())
    follow(world)
    return positions


def follow(world: HttpWorld) -> None:
    follower = Follower(world.database.follower_url, MASTER_KEY, [PROJECTIONS["mrr"]])
    with closing(follower):
        follower.catch_up()


def test_a_year_by_quarter_is_one_series_a_currency(fresh_world: HttpWorld) -> None:
    write(fresh_world, a_year(fresh_world))
    found = ok(fresh_world.operator.get("/v1/mrr", **YEAR, interval="quarter"))
    assert (found["interval"], found["time_zone"], found["preset"]) == ("quarter", "UTC", "stripe")
    assert found["definition"]["churn_dated"] == "when_cancellation_takes_effect"
    rows = [(one["mrr"]["currency"], one["from"], one["to"], one["mrr"]["amount"]) for one in found["data"]]
    assert rows == [
        ("EUR", "2027-01-01", "2027-04-01", 0),
        ("EUR", "2027-04-01", "2027-07-01", 900),
        ("EUR", "2027-07-01", "2027-10-01", 900),
        ("EUR", "2027-10-01", "2028-01-01", 900),
        ("USD", "2027-01-01", "2027-04-01", 5667),
        ("USD", "2027-04-01", "2027-07-01", 4667),
        ("USD", "2027-07-01", "2027-10-01", 4667),
        ("USD", "2027-10-01", "2028-01-01", 4667),
    ]
    first = found["data"][4]
    assert first["opening"] == usd(0)
    assert {kind: one["amount"] for kind, one in first["movements"].items()} == {
        "new": 2667,
        "expansion": 3000,
        "contraction": 0,
        "churn": 0,
        "reactivation": 0,
        "fx": 0,
    }
    assert (first["accounts"], first["by_plan"], first["trial"]) == (2, None, None)
    assert (first["from_at"], first["to_at"]) == ("2027-01-01T00:00:00Z", "2027-04-01T00:00:00Z")


def test_plans_add_up_to_the_whole(fresh_world: HttpWorld) -> None:
    write(fresh_world, a_year(fresh_world))
    found = ok(fresh_world.operator.get("/v1/mrr", **YEAR, interval="year", group_by="plan"))
    by_currency = {one["mrr"]["currency"]: one for one in found["data"]}
    assert by_currency["USD"]["by_plan"] == [
        {"plan": "annual", "mrr": usd(1667)},
        {"plan": "basic", "mrr": usd(3000)},
    ]
    assert by_currency["USD"]["mrr"] == usd(4667)


def test_movements_name_their_events_and_add_up(fresh_world: HttpWorld) -> None:
    story = a_year(fresh_world)
    positions = write(fresh_world, story)
    found = ok(fresh_world.operator.get("/v1/mrr/movements", **YEAR))
    rows = [(one["account"], one["kind"], one["amount"]["amount"]) for one in found["data"]]
    assert rows == [
        (ACME, "new", 1667),
        (ACME, "expansion", 1000),
        (BETA, "new", 1000),
        (ACME, "expansion", 2000),
        (BETA, "churn", -1000),
        (BETA, "new", 900),
    ]
    first = found["data"][0]
    assert first == {
        "occurred_at": "2027-01-10T00:00:00Z",
        "account": ACME,
        "subscription": "s1",
        "kind": "new",
        "amount": usd(1667),
        "exact": "5000/3",
        "mrr_after": usd(1667),
        "position": positions[2],
        "positions": [positions[2]],
        "topic": "subscription.started",
    }
    event = ok(fresh_world.operator.get(f"/v1/events/{first['position']}"))
    assert (event["position"], event["type"]) == (positions[2], "subscription.started")
    in_euro, in_dollars = found["totals"]
    assert (in_euro["currency"], in_euro["net"]["amount"]) == ("EUR", 900)
    assert in_dollars["net"] == usd(4667)
    assert in_dollars["movements"]["churn"] == usd(-1000)
    assert found["next"] is None


def test_movements_are_listed_page_by_page_and_by_account(fresh_world: HttpWorld) -> None:
    write(fresh_world, a_year(fresh_world))
    whole = ok(fresh_world.operator.get("/v1/mrr/movements", **YEAR))["data"]
    listed: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        found = ok(fresh_world.operator.get("/v1/mrr/movements", **YEAR, limit=4, **cursor))
        listed += found["data"]
        assert found["totals"][1]["net"] == usd(4667)
        if found["next"] is None:
            break
        cursor = {"after": found["next"]}
    assert listed == whole
    of_beta = ok(fresh_world.operator.get("/v1/mrr/movements", **YEAR, account=BETA))
    assert of_beta["data"] == [one for one in whole if one["account"] == BETA]
    assert of_beta["totals"][1]["net"] == usd(0)


def test_days_are_those_of_the_books_zone_and_end_before_the_last(fresh_world: HttpWorld) -> None:
    write(fresh_world, a_year(fresh_world))
    found = ok(fresh_world.operator.get("/v1/mrr/movements", **{"from": "2027-01-10", "to": "2027-02-10"}))
    assert [one["subscription"] for one in found["data"]] == ["s1"]
    days = {"from": "2027-02-09", "to": "2027-02-12", "interval": "day"}
    by_day = ok(fresh_world.operator.get("/v1/mrr", **days))["data"]
    in_dollars = [one["mrr"]["amount"] for one in by_day if one["mrr"]["currency"] == "USD"]
    assert in_dollars == [1667, 2667, 2667]


def test_another_definition_is_a_question_away(fresh_world: HttpWorld) -> None:
    write(fresh_world, a_year(fresh_world))
    query = {**YEAR, "account": BETA, "preset": "polar"}
    found = ok(fresh_world.operator.get("/v1/mrr/movements", **query))
    assert found["preset"] == "polar"
    assert found["definition"]["churn_dated"] == "end_of_paid_period"
    churn = found["data"][1]
    # It was cancelled on the day its period began, which counts until it is over.
    assert (churn["kind"], churn["occurred_at"]) == ("churn", "2027-05-10T00:00:00Z")
    by_year = ok(fresh_world.operator.get("/v1/mrr", **YEAR, interval="year", preset="polar"))
    assert [one["trial"]["amount"] for one in by_year["data"]] == [0, 0]


def test_what_was_known_leaves_out_what_was_booked_later(fresh_world: HttpWorld) -> None:
    story = a_year(fresh_world)
    positions = write(fresh_world, story)
    year = {**YEAR, "interval": "year"}
    march = ok(fresh_world.operator.get("/v1/mrr", **year, known_at="2027-03-15T00:00:00Z"))
    assert [one["mrr"] for one in march["data"]] == [usd(3667)]
    assert march["known_at"] == "2027-03-15T00:00:00Z"
    later = instant("2027-02-10")
    begun = sum(one.metadata.occurred_at < later for one in story.recorded)
    early = ok(fresh_world.operator.get("/v1/mrr", **year, known_at=positions[begun - 1]))
    assert [one["mrr"] for one in early["data"]] == [usd(1667)]
    # The book had adopted no definition yet: the default one is named.
    before_all = ok(fresh_world.operator.get("/v1/mrr", **year, known_at=0))
    assert [one["mrr"] for one in before_all["data"]] == [usd(0)]
    assert before_all["preset"] == "stripe"


def test_without_days_the_last_twelve_months_are_shown(world: HttpWorld) -> None:
    found = ok(world.operator.get("/v1/mrr"))
    assert (found["from"], found["to"]) == ("2026-02-01", "2027-02-01")
    assert [one["mrr"] for one in found["data"]] == [usd(0)] * 12
    movements = ok(world.operator.get("/v1/mrr/movements"))
    assert (movements["data"], movements["totals"], movements["next"]) == ([], [], None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "2027-02-01", "to": "2027-02-01"}, "to"),
        ({"from": "0001-01-01"}, "from"),
        ({"to": "9999-12-31"}, "to"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2000-01-03", "interval": "day"}, "interval"),
        ({"interval": "fortnight"}, "interval"),
        ({"group_by": "colour"}, "group_by"),
        ({"preset": "acme"}, "preset"),
        ({"known_at": "then"}, "known_at"),
        ({"known_at": str(1 << 60)}, "known_at"),
        ({"known_at": "9" * 30}, "known_at"),
        ({"known_at": "2027-01-01T00:00:00"}, "known_at"),
        ({"known_at": "1" * 100}, "known_at"),
    ],
)
def test_a_question_that_cannot_be_answered_names_what_is_wrong(
    world: HttpWorld, query: dict[str, str], field: str
) -> None:
    problem = refused(world.operator.get("/v1/mrr", **query), 422)
    assert list(problem["errors"]) == [field]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"after": "7"}, "after"),
        ({"after": "2027-01-01T00:00:00Z~x"}, "after"),
        ({"after": "x~7"}, "after"),
        ({"after": "2027-01-01T00:00:00Z"}, "after"),
        ({"account": "acc_1"}, "account"),
        ({"limit": "0"}, "limit"),
        ({"interval": "month"}, "interval"),
    ],
)
def test_a_page_that_is_not_there_is_refused_by_name(
    world: HttpWorld, query: dict[str, str], field: str
) -> None:
    problem = refused(world.operator.get("/v1/mrr/movements", **query), 422)
    assert list(problem["errors"]) == [field]


def test_an_accounts_key_does_not_see_the_books_revenue(world: HttpWorld) -> None:
    key = world.operator.new_key(world.operator.new_account(), "read")
    for path in ("/v1/mrr", "/v1/mrr/movements"):
        refused(key.get(path), 403, "forbidden")
        refused(world.limited_operator("usage:write").get(path), 403)


def test_a_read_waits_for_a_write_it_names(fresh_world: HttpWorld) -> None:
    positions = write(fresh_world, a_year(fresh_world))
    ok(fresh_world.operator.get("/v1/mrr", **YEAR, at_least=positions[-1]))
    refused(fresh_world.operator.get("/v1/mrr", at_least=positions[-1] + 1_000), 422)
