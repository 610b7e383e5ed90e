"""Jobs: what becomes of each, and in which order a page of them and what they lead to are done."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.due_work import work_off
from consumers.jobs import HANDLERS, Halt, Job, Settled, one_by_one
from ledger.errors import NotFound, Unavailable
from ledger.streams.subscribing import NothingDue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from commands.context import Context
    from consumers.jobs import Handler

NOON = datetime(2027, 1, 31, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
BOOK, OTHER_BOOK = UUID(int=1), UUID(int=2)
CONTEXT = cast("Context", None)


def job(subject: str = "sub_1", hours: int = 0, kind: str = "subscription", book: UUID = BOOK) -> Job:
    return Job(NOON + hours * HOUR, kind, subject, book, "acc_1")


def no_context(_job: Job) -> Context:
    return CONTEXT


def outcome_of(error: Exception | None) -> Settled:
    def command(_context: Context, _job: Job) -> Iterable[Job]:
        if error is not None:
            raise error
        return ()

    (settled,) = one_by_one(command)([job()], no_context)
    return settled


@dataclass
class Ways:
    """Handlers that note what they are handed; a subject comes again after each of its steps, in hours."""

    steps: dict[str, list[int]] = field(default_factory=dict)
    batches: list[list[Job]] = field(default_factory=list)

    @property
    def done(self) -> list[Job]:
        return [one for batch in self.batches for one in batch]

    @property
    def handlers(self) -> dict[str, Handler]:
        return {"subscription": self._handle, "invoice": self._handle}

    def _handle(self, jobs: Sequence[Job], context_of: Any) -> Iterable[Settled]:
        self.batches.append(list(jobs))
        for one in jobs:
            context_of(one)
            left = self.steps.get(one.subject, [])
            follows = (replace(one, due_at=one.due_at + left.pop(0) * HOUR),) if left else ()
            yield Settled(one, follows=follows)


# -- one job ------------------------------------------------------------------------------------------


def test_a_job_that_went_well_is_done() -> None:
    assert outcome_of(None) == Settled(job())
    assert outcome_of(None).outcome == "done"


def test_a_job_that_another_did_meanwhile_is_done_too() -> None:
    assert outcome_of(NothingDue("the period ends later")).outcome == "done"


def test_a_refusal_is_kept_with_its_code_and_its_words() -> None:
    settled = outcome_of(NotFound("there is no such plan"))
    assert (settled.outcome, settled.code, settled.reason) == (
        "refused",
        "not_found",
        "there is no such plan",
    )


@pytest.mark.parametrize("error", [Unavailable("out of reach"), psycopg.OperationalError("gone")])
def test_what_fails_for_lack_of_a_database_is_no_refusal(error: Exception) -> None:
    settled = outcome_of(error)
    assert (settled.outcome, settled.code) == ("failed", "unavailable")


def test_a_defect_is_the_jobs_own_and_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        settled = outcome_of(ValueError("ada@example.com"))
    assert (settled.outcome, settled.code) == ("failed", "defect")
    assert "ValueError" in settled.reason
    assert "ada@example.com" not in settled.reason + caplog.text
    assert "sub_1" in caplog.text


def test_none_of_them_keeps_the_others_from_being_done() -> None:
    errors = {"a": NotFound("no"), "b": ValueError("no"), "c": Unavailable("no")}

    def command(_context: Context, one: Job) -> Iterable[Job]:
        if one.subject in errors:
            raise errors[one.subject]
        return ()

    settled = list(one_by_one(command)([job(subject) for subject in "abcd"], no_context))
    assert [one.code for one in settled] == ["not_found", "defect", "unavailable", None]


def test_who_may_not_begin_another_job_begins_none() -> None:
    begun: list[str] = []

    def context_of(one: Job) -> Context:
        if one.subject == "c":
            message = "told to stop"
            raise Halt(message)
        return CONTEXT

    def command(_context: Context, one: Job) -> Iterable[Job]:
        begun.append(one.subject)
        return ()

    with pytest.raises(Halt):
        list(one_by_one(command)([job(subject) for subject in "abcd"], context_of))
    assert begun == ["a", "b"]


def test_a_jobs_cause_is_the_same_for_whoever_does_it() -> None:
    assert job().cause == "due:subscription:sub_1@2027-01-31T12:00:00Z"


def test_every_kind_that_rows_have_is_known() -> None:
    kinds = {"subscription", "invoice", "key", "credit", "coupon", "dunning", "notice"}
    assert set(HANDLERS) == kinds


# -- a page of them -----------------------------------------------------------------------------------


def test_jobs_are_done_in_order_of_time_and_then_of_kind_and_subject() -> None:
    ways = Ways()
    ordered = [job("a", 0, "invoice"), job("b", 0, "invoice"), job("a"), job("b"), job("a", 1, "invoice")]
    page = [ordered[index] for index in (3, 0, 4, 2, 1)]
    assert [one.job for one in work_off(page, NOON + HOUR, ways.handlers, no_context)] == ordered
    assert ways.done == ordered


def test_a_subject_several_periods_behind_comes_again_in_its_place() -> None:
    ways = Ways({"a": [2, 2, 2]})
    list(work_off([job("a"), job("b", 1), job("c", 5)], NOON + 9 * HOUR, ways.handlers, no_context))
    assert [(one.subject, (one.due_at - NOON) / HOUR) for one in ways.done] == [
        ("a", 0),
        ("b", 1),
        ("a", 2),
        ("a", 4),
        ("c", 5),
        ("a", 6),
    ]


def test_what_follows_beyond_the_page_is_left_to_the_next_one() -> None:
    ways = Ways({"a": [3]})
    list(work_off([job("a"), job("b", 2)], NOON + 2 * HOUR, ways.handlers, no_context))
    assert [one.subject for one in ways.done] == ["a", "b"]


def test_a_job_that_leads_to_itself_is_done_once() -> None:
    ways = Ways({"a": [0, 0, 0]})
    assert len(list(work_off([job("a")], NOON, ways.handlers, no_context))) == 1


def test_jobs_of_one_instant_book_and_kind_are_handed_over_together() -> None:
    ways = Ways()
    page = [job("a"), job("b"), job("c", book=OTHER_BOOK), job("d"), job("a", 0, "invoice"), job("e", 1)]
    list(work_off(page, NOON + HOUR, ways.handlers, no_context))
    assert [[one.subject for one in batch] for batch in ways.batches] == [
        ["a"],
        ["a", "b"],
        ["c"],
        ["d"],
        ["e"],
    ]


def test_jobs_near_to_one_another_are_handed_over_together_where_that_is_wished() -> None:
    ways = Ways()
    list(work_off([job("a"), job("b", 1), job("c", 2)], NOON + 9 * HOUR, ways.handlers, no_context, HOUR))
    assert [len(batch) for batch in ways.batches] == [2, 1]


def test_a_kind_that_nobody_knows_is_refused_and_holds_up_nothing() -> None:
    ways = Ways()
    settled = list(work_off([job("a", kind="alchemy"), job("b")], NOON, ways.handlers, no_context))
    assert [one.code for one in settled] == ["unknown_kind", None]


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.tuples(st.integers(0, 9), st.lists(st.integers(1, 9), max_size=4))
    ),
    st.integers(0, 12),
)
def test_whatever_leads_to_whatever_each_step_is_done_once_and_in_order(
    ways_of: dict[str, tuple[int, list[int]]], last: int
) -> None:
    ways = Ways({subject: list(steps) for subject, (_, steps) in ways_of.items()})
    page = [job(subject, first) for subject, (first, _) in ways_of.items() if first <= last]
    list(work_off(page, NOON + last * HOUR, ways.handlers, no_context))
    expected = set()
    for subject, (first, steps) in ways_of.items():
        instants = accumulate([first, *steps])
        expected |= {job(subject, at) for at in takewhile(lambda at: at <= last, instants)}
    assert ways.done == sorted(expected)
