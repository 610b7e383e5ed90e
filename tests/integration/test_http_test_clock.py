"""The clock of a test book over HTTP: a year goes by in a call, and every request then lives in its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from consumers.clock_moves import clock_lock
from consumers.job_batches import CLOCK_HANDLERS
from consumers.jobs import Job, Settled
from consumers.leader import Leader
from ledger.identifiers import stream_of
from tests.acme import at_once
from tests.integration.http_world import NOW, Caller, http_world, ok, position_of, refused, usage_event
from tests.integration.schedule_world import following

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from werkzeug.test import TestResponse

    from consumers.jobs import ContextOf
    from tests.integration.http_world import HttpWorld
    from tests.postgres import Database

DAY = timedelta(days=1)
BEGIN = datetime(2020, 1, 31, 12, tzinfo=UTC)
PATH = "/v1/test-clock"
ADVANCE = CLOCK_HANDLERS["subscription"]


@pytest.fixture
def world(database: Database) -> Iterator[HttpWorld]:
    with http_world(database) as made, following(database):
        yield made


def text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def put(caller: Caller, to: datetime) -> TestResponse:
    return caller.call("PUT", PATH, {"now": text(to)})


def moved(caller: Caller, to: datetime) -> dict[str, Any]:
    answered = ok(put(caller, to))
    assert (answered["now"], answered["set"]) == (text(to), True)
    return answered


def subscribed(caller: Caller, begin: datetime = BEGIN) -> tuple[str, str]:
    """Begin a book at an instant, with an account that subscribes to a plan; give both ids."""
    moved(caller, begin)
    account = caller.new_account()
    return account, str(caller.subscribed(account)["id"])


def invoices(caller: Caller, account: str) -> list[dict[str, Any]]:
    """Give an account's invoices, the oldest first."""
    found = ok(caller.get(f"/v1/accounts/{account}/invoices", limit=500))["data"]
    return list(reversed(found))


def book_of_tests(world: HttpWorld) -> UUID:
    return stream_of("book", world.founded.test_book)


# -- what may be set -----------------------------------------------------------------------------------


def test_until_its_clock_is_set_a_test_book_goes_by_the_wall(world: HttpWorld) -> None:
    assert ok(world.test_operator.get(PATH)) == {"now": text(NOW), "set": False}
    world.now += DAY
    assert ok(world.test_operator.get(PATH)) == {"now": text(NOW + DAY), "set": False}


def test_a_live_book_has_no_clock_to_set(world: HttpWorld) -> None:
    refused(put(world.operator, NOW + DAY), 409, "not_a_test_book")
    refused(world.operator.get(PATH), 409, "not_a_test_book")


@pytest.mark.parametrize("offset", [-9000 * DAY, timedelta(0), 3650 * DAY])
def test_the_first_call_on_an_empty_book_sets_any_instant(world: HttpWorld, offset: timedelta) -> None:
    assert moved(world.test_operator, NOW + offset)["jobs"] == 0
    world.now += DAY
    assert ok(world.test_operator.get(PATH)) == {"now": text(NOW + offset), "set": True}


@pytest.mark.parametrize("what", ["account", "plan"])
def test_a_book_with_an_account_or_a_plan_is_not_empty(world: HttpWorld, what: str) -> None:
    operator = world.test_operator
    _ = operator.new_account() if what == "account" else operator.new_plan()
    refused(put(operator, NOW - DAY), 409, "clock_backwards")
    assert ok(operator.get(PATH))["set"] is False, "what is refused sets nothing"
    moved(operator, NOW + DAY)


def test_keys_and_principals_do_not_fill_a_book_and_neither_does_another_book(world: HttpWorld) -> None:
    world.operator.new_account()
    world.stranger.new_plan()
    principal = ok(world.test_operator.post("/v1/principals", {"kind": "person", "name": "Ann"}), 201)
    ok(
        world.test_operator.post(f"/v1/principals/{principal['id']}/keys", {"name": "k", "scopes": ["read"]}),
        201,
    )
    moved(world.test_operator, BEGIN)


def test_later_calls_move_the_clock_forward_only_even_in_an_empty_book(world: HttpWorld) -> None:
    operator = world.test_operator
    moved(operator, BEGIN)
    problem = refused(put(operator, BEGIN - timedelta(microseconds=1)), 409, "clock_backwards")
    assert text(BEGIN) in problem["detail"]
    moved(operator, BEGIN)
    moved(operator, BEGIN + DAY)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"now": None},
        {"now": "yesterday"},
        {"now": "2027-02-01T00:00:00"},
        {"now": "2500-01-01T00:00:00Z"},
        {"now": 0},
        {"now": "2027-02-01T00:00:00Z", "jobs": 1},
    ],
)
def test_what_is_no_instant_is_refused(world: HttpWorld, body: dict[str, Any]) -> None:
    refused(world.test_operator.call("PUT", PATH, body), 422)


def test_it_needs_a_key_that_may_write_and_sees_the_whole_book(world: HttpWorld) -> None:
    operator = world.test_operator
    principal = ok(operator.post("/v1/principals", {"kind": "service", "name": "Reader"}), 201)
    body = {"name": "reader", "scopes": ["read"]}
    reader = ok(operator.post(f"/v1/principals/{principal['id']}/keys", body), 201)["secret"]
    caller = Caller(world.client, reader)
    assert ok(caller.get(PATH))["set"] is False
    refused(put(caller, NOW + DAY), 403)
    account_key = operator.new_key(operator.new_account(), "read", "usage:write")
    refused(account_key.get(PATH), 403)


# -- what happens on the way ---------------------------------------------------------------------------


def test_a_year_goes_by_in_a_call_and_every_period_is_billed_once_at_its_own_time(world: HttpWorld) -> None:
    operator = world.test_operator
    account, subscription = subscribed(operator)
    answered = moved(operator, BEGIN + 366 * DAY)
    assert (answered["jobs"], answered["refused"]) == (12, [])
    issued = invoices(operator, account)
    assert [invoice["number"] for invoice in issued] == [f"INV-{number:06}" for number in range(1, 14)]
    # The last day of each month, whatever its length, and never counted from the month before.
    days = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31]
    months = [*(f"2020-{month:02}" for month in range(1, 13)), "2021-01"]
    assert [one["issued_on"] for one in issued] == [
        f"{month}-{day}" for month, day in zip(months, days, strict=True)
    ]
    shown = ok(operator.get(f"/v1/subscriptions/{subscription}"))
    assert shown["period"]["starts_at"] == "2021-01-31T12:00:00Z"


def test_everything_is_booked_when_the_clock_says_and_the_clock_never_goes_back(world: HttpWorld) -> None:
    operator = world.test_operator
    before = world.log.head()
    subscribed(operator)
    moved(operator, BEGIN + 100 * DAY)
    written = world.log.at_positions(book_of_tests(world), range(before + 1, world.log.head() + 1))
    # The clock's own first move is booked where it went.
    booked = [one.metadata.booked_at for one in written]
    assert booked == sorted(booked)
    assert (booked[0], booked[-1]) == (BEGIN, BEGIN + 100 * DAY)
    jobs = [one for one in written if one.metadata.actor.kind == "scheduler"]
    assert {one.metadata.booked_at for one in jobs} == {
        datetime(2020, month, day, 12, tzinfo=UTC) for month, day in ((2, 29), (3, 31), (4, 30))
    }
    assert all(one.metadata.cause.startswith("due:subscription:sub_") for one in jobs)


@pytest.mark.parametrize("days", [[1] * 5 + [90], [30, 30, 35], [95], [29, 1, 1, 30, 34]])
def test_the_same_invoices_come_out_whatever_the_steps(world: HttpWorld, days: list[int]) -> None:
    operator = world.test_operator
    account, _ = subscribed(operator)
    clock = BEGIN
    for step in days:
        clock += step * DAY
        moved(operator, clock)
    moved(operator, BEGIN + 95 * DAY)
    told = [(one["number"], one["issued_on"], one["total"]["amount"]) for one in invoices(operator, account)]
    assert told == [
        ("INV-000001", "2020-01-31", 2900),
        ("INV-000002", "2020-02-29", 2900),
        ("INV-000003", "2020-03-31", 2900),
        ("INV-000004", "2020-04-30", 2900),
    ]


def test_what_begins_behind_the_clock_is_done_when_the_clock_is_set_again(world: HttpWorld) -> None:
    operator = world.test_operator
    moved(operator, BEGIN + 95 * DAY)
    account, plan = operator.new_account(), operator.new_plan()
    ok(operator.post(f"/v1/accounts/{account}/subscriptions", {"plan": plan, "starts_at": text(BEGIN)}), 201)
    assert len(invoices(operator, account)) <= 1
    assert moved(operator, BEGIN + 95 * DAY)["jobs"] == 3
    assert len(invoices(operator, account)) == 4
    assert moved(operator, BEGIN + 95 * DAY)["jobs"] == 0


def test_the_position_it_answers_with_is_that_of_the_clocks_last_move(world: HttpWorld) -> None:
    operator = world.test_operator
    account, _ = subscribed(operator)
    answered = put(operator, BEGIN + 366 * DAY)
    found = ok(operator.get(f"/v1/accounts/{account}/invoices", at_least=position_of(answered), limit=500))
    assert len(found["data"]) == 13


# -- what stands in the way ----------------------------------------------------------------------------


def test_what_is_refused_is_told_and_does_not_stop_the_clock(world: HttpWorld) -> None:
    operator = world.test_operator
    account, subscription = subscribed(operator)
    other = str(operator.subscribed(operator.new_account("Bob"), 100)["id"])

    def handle(jobs: Sequence[Job], context_of: ContextOf) -> Iterator[Settled]:
        for job in jobs:
            if job.subject == subscription:
                yield Settled(job, "not_found", "there is no such plan")
            else:
                yield from ADVANCE([job], context_of)

    with patch.dict(CLOCK_HANDLERS, {"subscription": handle}):
        answered = moved(operator, BEGIN + 95 * DAY)
    assert answered["jobs"] == 3
    assert answered["refused"] == [
        {
            "kind": "subscription",
            "subject": subscription,
            "due_at": "2020-02-29T12:00:00Z",
            "code": "not_found",
            "detail": "there is no such plan",
        }
    ]
    assert ok(operator.get(f"/v1/subscriptions/{other}"))["period"]["starts_at"] == "2020-04-30T12:00:00Z"
    assert moved(operator, BEGIN + 95 * DAY)["jobs"] == 3
    assert len(invoices(operator, account)) == 4


def test_a_job_that_is_done_and_due_all_the_same_is_told_once(world: HttpWorld) -> None:
    operator = world.test_operator
    subscribed(operator)

    def nothing(jobs: Sequence[Job], context_of: ContextOf) -> Iterator[Settled]:
        for job in jobs:
            context_of(job)
            yield Settled(job)

    with patch.dict(CLOCK_HANDLERS, {"subscription": nothing}):
        answered = moved(operator, BEGIN + 95 * DAY)
    assert (answered["jobs"], [one["code"] for one in answered["refused"]]) == (0, ["no_progress"])


def test_a_call_that_is_cut_short_says_where_the_clock_stands_and_the_next_goes_on(world: HttpWorld) -> None:
    operator = world.test_operator
    account, _ = subscribed(operator)
    march = datetime(2020, 3, 31, 12, tzinfo=UTC)

    def failing(jobs: Sequence[Job], context_of: ContextOf) -> Iterator[Settled]:
        for job in jobs:
            if job.due_at > march:
                yield Settled(job, "unavailable", "OperationalError")
            else:
                yield from ADVANCE([job], context_of)

    with patch.dict(CLOCK_HANDLERS, {"subscription": failing}):
        problem = refused(put(operator, BEGIN + 366 * DAY), 503, "unavailable")
    assert "the clock stands at 2020-03-31T12:00:00Z" in problem["detail"]
    assert ok(operator.get(PATH))["now"] == "2020-03-31T12:00:00Z"
    assert moved(operator, BEGIN + 366 * DAY)["jobs"] == 10
    assert len(invoices(operator, account)) == 13


def test_without_a_follower_it_does_not_hang_and_a_second_call_goes_on(database: Database) -> None:
    with http_world(database) as world:
        operator = world.test_operator
        with following(database):
            account, _ = subscribed(operator)
            moved(operator, BEGIN + DAY)
        operator.new_account("Bob")
        with patch("consumers.clock_moves._WAIT_SECONDS", 0.05):
            problem = refused(put(operator, BEGIN + 95 * DAY), 503, "unavailable")
        assert "daybook project" in problem["detail"]
        assert ok(operator.get(PATH))["now"] == text(BEGIN + DAY)
        with following(database):
            assert moved(operator, BEGIN + 95 * DAY)["jobs"] == 3
            assert len(invoices(operator, account)) == 4


def test_a_call_takes_no_longer_than_its_limit_and_the_next_goes_on(world: HttpWorld) -> None:
    operator = world.test_operator
    account, _ = subscribed(operator)
    with patch("consumers.clock_moves._LONGEST_SECONDS", 0):
        problem = refused(put(operator, BEGIN + 95 * DAY), 503, "unavailable")
    assert "1 jobs were done" in problem["detail"]
    assert moved(operator, BEGIN + 95 * DAY)["jobs"] == 2
    assert len(invoices(operator, account)) == 4


def test_while_one_call_moves_the_clock_another_is_refused(world: HttpWorld) -> None:
    operator = world.test_operator
    account, _ = subscribed(operator)
    mover = Leader(world.database.app_url, clock_lock(book_of_tests(world)), "another call")
    assert mover.take()
    refused(put(operator, BEGIN + 95 * DAY), 409, "clock_moving")
    mover.resign()
    assert moved(operator, BEGIN + 95 * DAY)["jobs"] == 3
    assert len(invoices(operator, account)) == 4


def test_of_calls_at_once_each_is_done_whole_or_refused(world: HttpWorld) -> None:
    operator = world.test_operator
    account, _ = subscribed(operator)
    clients = [Caller(world.client.application.test_client(), operator.secret) for _ in range(4)]
    answers = at_once(lambda one: put(one, BEGIN + 95 * DAY), clients)
    assert {answer.status_code for answer in answers} <= {200, 409}
    jobs = [answer.get_json()["jobs"] for answer in answers if answer.status_code == 200]
    assert sum(jobs) == 3
    assert len(invoices(operator, account)) == 4


# -- living in its time --------------------------------------------------------------------------------


def test_usage_is_judged_by_the_books_clock(world: HttpWorld) -> None:
    operator = world.test_operator
    account, _ = subscribed(operator)

    def sent(at: datetime, number: str) -> dict[str, Any]:
        event = usage_event(account, number) | {"time": text(at)}
        return ok(operator.post("/v1/usage", {"events": [event]}))

    assert sent(BEGIN, "1")["accepted"] == 1
    assert sent(NOW, "2")["rejected"][0]["errors"].keys() == {"time"}
    moved(operator, BEGIN + 300 * DAY)
    assert sent(BEGIN, "3")["rejected"][0]["errors"].keys() == {"time"}
    assert sent(BEGIN + 299 * DAY, "4")["accepted"] == 1


def test_keys_open_and_expire_by_the_books_clock(world: HttpWorld) -> None:
    operator = world.test_operator
    moved(operator, BEGIN)
    account = operator.new_account()
    body = {"name": "key", "scopes": ["read"], "expires_at": text(BEGIN + 10 * DAY)}
    issued = ok(operator.post(f"/v1/accounts/{account}/keys", body), 201)
    holder = Caller(world.client, issued["secret"])
    # By the wall it would have run out years ago.
    ok(holder.get(f"/v1/accounts/{account}"))
    assert moved(operator, BEGIN + 10 * DAY)["jobs"] == 1
    refused(holder.get(f"/v1/accounts/{account}"), 401)
    assert ok(operator.get(f"/v1/keys/{issued['id']}"))["status"] == "expired"


def test_an_answer_is_kept_by_the_wall_however_far_the_clock_moves(world: HttpWorld) -> None:
    operator = world.test_operator
    moved(operator, BEGIN)
    first = operator.post("/v1/accounts", {"name": "Ada"}, Idempotency_Key="one")
    moved(operator, BEGIN + 366 * DAY)
    again = operator.post("/v1/accounts", {"name": "Ada"}, Idempotency_Key="one")
    assert again.get_json() == first.get_json()
    assert again.headers["Idempotent-Replayed"] == "true"


def test_the_other_books_go_by_the_wall_still(world: HttpWorld) -> None:
    moved(world.test_operator, BEGIN)
    account = world.operator.new_account()
    assert ok(world.operator.get(f"/v1/accounts/{account}"))["created_at"] == text(NOW)
    stranger = Caller(world.client, world.other.test_key)
    assert ok(stranger.get(PATH)) == {"now": text(NOW), "set": False}
