"""Reading projections over HTTP: balances, usage, timelines, the past, and reading one's own writes."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from projections.follower import Follower
from projections.registry import PROJECTIONS
from tests.integration.http_world import (
    MASTER_KEY,
    ok,
    position_of,
    refused,
    usage_event,
)

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld


def usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


def use(world: HttpWorld, account: str, *events: tuple[str, str, str]) -> int:
    """Record (meter, time, quantity) events and give the position they reached."""
    sent = [
        usage_event(account, f"{account}-{number}-{when}-{meter}", quantity, type=meter, time=when)
        for number, (meter, when, quantity) in enumerate(events)
    ]
    result = ok(world.operator.post("/v1/usage", {"events": sent}))
    assert result["accepted"] == len(events), result
    return int(result["position"])


# -- balances -----------------------------------------------------------------------------------------


def test_a_balance_is_what_the_account_owes_by_currency(world: HttpWorld) -> None:
    account = world.operator.new_account()
    invoice = world.operator.subscribed(account)["invoice"]
    payment = {"amount": 900, "currency": "USD"}
    position = position_of(world.operator.post(f"/v1/invoices/{invoice}/payments", payment))
    world.follow()
    found = ok(world.operator.get(f"/v1/accounts/{account}/balance"))
    assert found["account"] == account
    assert found["position"] == position
    (in_dollars,) = found["balances"]
    assert in_dollars["currency"] == "USD"
    assert in_dollars["balance"] == usd(2000)
    by_ledger_account = {one["ledger_account"]: one["balance"] for one in found["ledger_accounts"]}
    assert by_ledger_account["receivable"] == usd(2000)
    assert by_ledger_account["deferred_revenue"] == usd(2900)


def test_an_account_that_owes_nothing_has_an_empty_balance(world: HttpWorld) -> None:
    account = world.operator.new_account()
    found = ok(world.operator.get(f"/v1/accounts/{account}/balance"))
    assert (found["balances"], found["ledger_accounts"]) == ([], [])


# -- usage --------------------------------------------------------------------------------------------


def test_usage_is_summed_by_meter_and_day(world: HttpWorld) -> None:
    account = world.operator.new_account()
    use(
        world,
        account,
        ("calls", "2027-01-13T23:59:59Z", "1.5"),
        ("calls", "2027-01-14T00:00:00Z", "2"),
        ("calls", "2027-01-14T23:00:00-01:00", "4"),
        ("bytes", "2027-01-14T10:00:00Z", "1024"),
    )
    world.follow()
    found = ok(world.operator.get(f"/v1/accounts/{account}/usage"))
    totals = {one["meter"]: (one["quantity"], one["events"]) for one in found["totals"]}
    assert totals == {"calls": ("7.5", 3), "bytes": ("1024", 1)}
    days = {(one["meter"], one["day"]): one["quantity"] for one in found["days"]}
    assert days == {
        ("bytes", "2027-01-14"): "1024",
        ("calls", "2027-01-13"): "1.5",
        ("calls", "2027-01-14"): "2",
        ("calls", "2027-01-15"): "4",
    }


def test_usage_is_asked_for_by_meter_and_by_days(world: HttpWorld) -> None:
    account = world.operator.new_account()
    use(
        world,
        account,
        ("calls", "2027-01-13T12:00:00Z", "1"),
        ("calls", "2027-01-14T12:00:00Z", "2"),
        ("bytes", "2027-01-14T12:00:00Z", "4"),
    )
    world.follow()
    path = f"/v1/accounts/{account}/usage"
    later = ok(world.operator.get(path, **{"from": "2027-01-14"}))["totals"]
    assert {one["meter"]: one["quantity"] for one in later} == {"bytes": "4", "calls": "2"}
    earlier = ok(world.operator.get(path, to="2027-01-14"))["totals"]
    assert {one["meter"]: one["quantity"] for one in earlier} == {"calls": "1"}
    (one,) = ok(world.operator.get(path, meter="bytes"))["totals"]
    assert one["quantity"] == "4"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "January"}, "from"),
        ({"to": "2027-02-30"}, "to"),
        ({"from": "0000-01-01"}, "from"),
        ({"meter": ""}, "meter"),
        ({"meter": "\x00"}, "meter"),
        ({"meter": "x" * 101}, "meter"),
    ],
)
def test_a_question_about_usage_that_makes_no_sense_is_refused(
    world: HttpWorld, query: dict[str, str], field: str
) -> None:
    account = world.operator.new_account()
    assert field in refused(world.operator.get(f"/v1/accounts/{account}/usage", **query), 422)["errors"]


# -- timelines ----------------------------------------------------------------------------------------


def positions(page: dict[str, Any]) -> list[int]:
    return [row["position"] for row in page["data"]]


def test_a_timeline_tells_what_happened_newest_first_with_who_why_and_when(world: HttpWorld) -> None:
    account = world.operator.new_account("Ada")
    world.operator.subscribed(account)
    world.follow()
    page = ok(world.operator.get(f"/v1/accounts/{account}/timeline"))
    assert positions(page) == sorted(positions(page), reverse=True)
    assert [row["type"] for row in page["data"]][-1] == "account.registered"
    for row in page["data"]:
        assert row["sentence"].endswith(".")
        assert row["actor"]["principal"].startswith("prn_")
        assert {"occurred_at", "booked_at", "recorded_at", "cause"} <= row.keys()


def test_a_timeline_is_read_page_by_page_in_both_directions(world: HttpWorld) -> None:
    account = world.operator.new_account("A")
    for name in "BCDEFG":
        ok(world.operator.patch(f"/v1/accounts/{account}", {"name": name}))
    world.follow()
    path = f"/v1/accounts/{account}/timeline"
    whole = positions(ok(world.operator.get(path, order="oldest")))
    assert len(whole) == 7
    for order, expected in (("oldest", whole), ("newest", whole[::-1])):
        seen: list[int] = []
        after: dict[str, str] = {}
        while True:
            page = ok(world.operator.get(path, order=order, limit=3, **after))
            seen += positions(page)
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        assert seen == expected


def test_a_timeline_is_filtered_by_type_and_time(world: HttpWorld) -> None:
    account = world.operator.new_account("A")
    world.now += timedelta(days=1)
    ok(world.operator.patch(f"/v1/accounts/{account}", {"name": "B"}))
    world.now += timedelta(days=1)
    ok(world.operator.patch(f"/v1/accounts/{account}", {"name": "C", "email": "c@example.com"}))
    world.follow()
    path = f"/v1/accounts/{account}/timeline"

    def types(**query: str) -> list[str]:
        return [row["type"] for row in ok(world.operator.get(path, order="oldest", **query))["data"]]

    assert types(type="account.renamed") == ["account.renamed"] * 2
    assert types(type="account.renamed,account.registered") == [
        "account.registered",
        *["account.renamed"] * 2,
    ]
    assert types(since="2027-01-16T12:00:00Z", until="2027-01-17T12:00:00Z") == ["account.renamed"]
    assert types(until="2027-01-16T12:00:00Z") == ["account.registered"]


def test_usage_is_folded_into_runs_that_expand(world: HttpWorld) -> None:
    account = world.operator.new_account()
    events = [("calls", f"2027-01-15T10:{minute:02}:00Z", "2") for minute in range(20)]
    use(world, account, *events, ("calls", "2027-01-15T11:00:00Z", "1"))
    world.follow()
    page = ok(world.operator.get(f"/v1/accounts/{account}/timeline", order="oldest", type="usage.recorded"))
    first, second = page["data"]
    assert (first["events"], first["quantity"], second["events"]) == (20, "40", 1)
    path = f"/v1/accounts/{account}/timeline/runs/{first['position']}"
    seen: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        part = ok(world.operator.get(path, limit=8, **after))
        seen += part["data"]
        if part["next"] is None:
            break
        after = {"after": part["next"]}
    assert len(seen) == 20
    assert {one["data"]["quantity"] for one in seen} == {"2"}
    assert [one["occurred_at"] for one in seen] == [when for _, when, _ in events]


@pytest.mark.parametrize("run", ["0", "999999", "x", "-1", "9" * 30, "%00"])
def test_a_run_that_is_not_there_is_not_found(world: HttpWorld, run: str) -> None:
    account = world.operator.new_account()
    refused(world.operator.get(f"/v1/accounts/{account}/timeline/runs/{run}"), 404)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"order": "sideways"}, "order"),
        ({"type": "account.exploded"}, "type"),
        ({"type": "\x00"}, "type"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2027-01-15T12:00:00"}, "until"),
        ({"limit": "501"}, "limit"),
        ({"after": "x"}, "after"),
    ],
)
def test_a_question_about_a_timeline_that_makes_no_sense_is_refused(
    world: HttpWorld, query: dict[str, str], field: str
) -> None:
    account = world.operator.new_account()
    assert field in refused(world.operator.get(f"/v1/accounts/{account}/timeline", **query), 422)["errors"]


# -- the past -----------------------------------------------------------------------------------------


def test_an_account_is_shown_as_it_was_at_a_position(world: HttpWorld) -> None:
    made = world.operator.post("/v1/accounts", {"name": "Ada"})
    account = made.get_json()["id"]
    world.operator.subscribed(account)
    used = use(world, account, ("calls", "2027-01-15T11:00:00Z", "3"))
    ok(world.operator.patch(f"/v1/accounts/{account}", {"name": "Grace"}))
    world.follow()
    path = f"/v1/accounts/{account}/state"
    first = ok(world.operator.get(path, at=position_of(made)))
    assert (first["account"]["name"], first["subscriptions"], first["balances"], first["usage"]) == (
        "Ada",
        [],
        [],
        [],
    )
    then = ok(world.operator.get(path, at=used))
    assert then["account"]["name"] == "Ada"
    assert [one["balance"] for one in then["balances"]] == [usd(2900)]
    assert [(one["meter"], one["quantity"]) for one in then["usage"]] == [("calls", "3")]
    now = ok(world.operator.get(path))
    assert now["account"]["name"] == "Grace"
    assert len(now["invoices"]) == len(now["subscriptions"]) == 1


def test_an_account_is_shown_as_it_was_known_at_a_time(world: HttpWorld) -> None:
    account = world.operator.new_account("Ada")
    world.now += timedelta(days=2)
    ok(world.operator.patch(f"/v1/accounts/{account}", {"name": "Grace"}))
    world.follow()
    path = f"/v1/accounts/{account}/state"
    assert ok(world.operator.get(path, at="2027-01-16T12:00:00Z"))["account"]["name"] == "Ada"
    assert ok(world.operator.get(path, at="2027-01-17T14:00:00+02:00"))["account"]["name"] == "Grace"
    refused(world.operator.get(path, at="2027-01-14T12:00:00Z"), 404)


@pytest.mark.parametrize(
    "at", ["x", "-1", "", "2027-01-15", "2027-01-15T12:00:00", "9" * 30, "1e3", "\u00b2", "\x00"]
)
def test_a_moment_that_is_none_is_refused(world: HttpWorld, at: str) -> None:
    account = world.operator.new_account()
    assert "at" in refused(world.operator.get(f"/v1/accounts/{account}/state", at=at), 422)["errors"]


def test_the_future_is_not_known(world: HttpWorld) -> None:
    account = world.operator.new_account()
    world.follow()
    assert (
        "at"
        in refused(world.operator.get(f"/v1/accounts/{account}/state", at=world.log.head() + 1), 422)[
            "errors"
        ]
    )


# -- reading one's own writes -------------------------------------------------------------------------


def test_a_read_waits_until_what_was_written_is_in_it(world: HttpWorld) -> None:
    account = world.operator.new_account()
    position = use(world, account, ("calls", "2027-01-15T11:00:00Z", "3"))
    stop = threading.Event()

    def follow_late() -> None:
        follower = Follower(world.database.follower_url, MASTER_KEY, PROJECTIONS.values())
        time.sleep(0.2)
        follower.run(stop)

    thread = threading.Thread(target=follow_late)
    thread.start()
    try:
        found = ok(world.operator.get(f"/v1/accounts/{account}/usage", at_least=position))
        for part in ("balance", "timeline", "state", "keys", "invoices", "subscriptions"):
            ok(world.operator.get(f"/v1/accounts/{account}/{part}", at_least=position))
    finally:
        stop.set()
        thread.join()
    assert [one["quantity"] for one in found["totals"]] == ["3"]


def test_a_read_that_waited_too_long_says_so(world: HttpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.edge._WAIT_SECONDS", 0.05)
    account = world.operator.new_account()
    world.follow()
    position = use(world, account, ("calls", "2027-01-15T11:00:00Z", "3"))
    response = world.operator.get(f"/v1/accounts/{account}/usage", at_least=position)
    refused(response, 503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0


def test_a_read_need_not_wait_for_what_other_books_wrote(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.edge._WAIT_SECONDS", 0.05)
    account = world.operator.new_account()
    world.follow()
    position = position_of(world.stranger.post("/v1/accounts", {"name": "Eve"}))
    ok(world.operator.get(f"/v1/accounts/{account}/usage", at_least=position))


@pytest.mark.parametrize("position", ["x", "0", "-5", "9" * 30, "1.5", "%00"])
def test_an_event_that_is_not_there_is_not_found(world: HttpWorld, position: str) -> None:
    refused(world.operator.get(f"/v1/events/{position}"), 404)
