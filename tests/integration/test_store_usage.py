"""Usage in bulk: an identity is recorded once for ever, and what is said of it otherwise is a conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from eventsourcing.persistence import ProgrammingError

from ledger.bulk import MAX_USAGE_ROWS, UsageConflict, UsageOutcome
from ledger.errors import NotFound, Unavailable
from tests.integration.log_events import BOOK, OTHER_BOOK, Background, Extras, append_usage, fact, used

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection, Cursor
    from psycopg.rows import DictRow

    from ledger.events import NewEvent
    from ledger.store import Log


def batch(*names: str, digest: str = "facts") -> list[NewEvent]:
    return [used(name, digest) for name in names]


def stored(owner: Connection[DictRow]) -> dict[int, str]:
    """Give the id of every usage event by its position."""
    rows = owner.execute(
        "SELECT notification_id, convert_from(state, 'UTF8')::jsonb #>> '{data,event_id}' AS event_id"
        " FROM log.events WHERE topic = 'usage.recorded'"
    )
    return {row["notification_id"]: row["event_id"] for row in rows}


def position_of(owner: Connection[DictRow], event_id: str) -> int:
    (position,) = (at for at, stored_id in stored(owner).items() if stored_id == event_id)
    return position


def test_usage_is_read_back_as_it_was_recorded(log: Log) -> None:
    events = batch("a", "b")
    outcome = append_usage(log, events)
    assert outcome.position is not None
    assert outcome == UsageOutcome(2, 0, (), outcome.position)
    loaded = [log.load(BOOK, new.stream)[0] for new in events]
    assert [each.event for each in loaded] == [new.event for new in events]
    assert [each.metadata for each in loaded] == [new.metadata for new in events]
    assert [each.position for each in loaded] == [outcome.position - 1, outcome.position]


def test_a_batch_is_recorded_in_its_own_order(ingest_log: Log, owner: Connection[DictRow]) -> None:
    names = [str(number) for number in range(500)]
    append_usage(ingest_log, batch(*names))
    assert [name for _, name in sorted(stored(owner).items())] == names


def test_an_empty_batch_has_no_position(ingest_log: Log) -> None:
    assert append_usage(ingest_log, []) == UsageOutcome(0, 0, (), None)


def test_a_batch_beyond_the_limit_is_refused_whole(ingest_log: Log, owner: Connection[DictRow]) -> None:
    with pytest.raises(AssertionError, match="too many"):
        append_usage(ingest_log, [used("a")] * (MAX_USAGE_ROWS + 1))
    assert stored(owner) == {}


def test_the_same_facts_again_are_duplicates_for_ever(ingest_log: Log, owner: Connection[DictRow]) -> None:
    first = append_usage(ingest_log, batch("a", "b", "c"))
    again = append_usage(ingest_log, batch("c", "a", "b"))
    assert again == UsageOutcome(0, 3, (), first.position)
    assert len(stored(owner)) == 3


def test_the_position_of_only_duplicates_is_the_highest_of_theirs(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    append_usage(ingest_log, batch("a", "b"))
    append_usage(ingest_log, batch("later"))
    assert append_usage(ingest_log, batch("b", "a")).position == position_of(owner, "b")


@pytest.mark.parametrize("names", [["new", "old"], ["old", "new"], ["old", "new", "old", "older"]])
def test_the_position_of_a_mixed_batch_is_one_where_an_event_stands(
    ingest_log: Log, owner: Connection[DictRow], names: list[str]
) -> None:
    append_usage(ingest_log, batch("older", "old"))
    outcome = append_usage(ingest_log, batch(*names))
    assert outcome.accepted == 1
    assert outcome.position == position_of(owner, "new") == max(stored(owner))


def test_a_duplicate_inside_a_batch_is_dropped_and_counted(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    outcome = append_usage(ingest_log, batch("a", "b", "a", "a"))
    assert outcome == UsageOutcome(2, 2, (), position_of(owner, "b"))
    assert len(stored(owner)) == 2


def test_other_facts_under_a_known_identity_are_a_conflict_with_the_first(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    append_usage(ingest_log, batch("a", "b"))
    outcome = append_usage(ingest_log, [used("b", "other"), used("c"), used("a", "other")])
    assert outcome == UsageOutcome(
        1,
        0,
        (
            UsageConflict(0, position_of(owner, "b"), "facts"),
            UsageConflict(2, position_of(owner, "a"), "facts"),
        ),
        position_of(owner, "c"),
    )


def test_other_facts_inside_one_batch_are_a_conflict_with_the_first_of_them(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    outcome = append_usage(ingest_log, [used("a", "one"), used("a", "two"), used("a", "one")])
    assert (outcome.accepted, outcome.duplicates) == (1, 1)
    assert outcome.conflicts == (UsageConflict(1, position_of(owner, "a"), "one"),)


def test_a_repeat_inside_a_batch_is_held_against_what_the_log_knows(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    append_usage(ingest_log, batch("a"))
    outcome = append_usage(ingest_log, [used("a", "other"), used("a"), used("a", "third")])
    known = position_of(owner, "a")
    assert outcome == UsageOutcome(
        0, 1, (UsageConflict(0, known, "facts"), UsageConflict(2, known, "facts")), known
    )


def test_one_identity_in_two_books_is_two_events(ingest_log: Log) -> None:
    outcome = append_usage(ingest_log, [used("a"), used("a", book=OTHER_BOOK)])
    assert (outcome.accepted, outcome.duplicates) == (2, 0)
    for book in (BOOK, OTHER_BOOK):
        assert len(ingest_log.load(book, used("a", book=book).stream)) == 1


def test_sources_and_ids_that_join_to_one_text_are_two_events(ingest_log: Log) -> None:
    outcome = append_usage(ingest_log, [used("1", source="svc/a"), used("a1", source="svc/")])
    assert (outcome.accepted, outcome.duplicates) == (2, 0)


def test_the_apps_role_appends_usage_of_one_book_only(log: Log, owner: Connection[DictRow]) -> None:
    with pytest.raises(ProgrammingError, match="row-level security"):
        append_usage(log, [used("a"), used("b", book=OTHER_BOOK)])
    assert stored(owner) == {}


def test_batches_with_the_same_identities_at_once_record_each_once(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    outcomes: list[UsageOutcome] = []
    names = [str(number) for number in range(300)]

    def write(order: Sequence[str]) -> None:
        outcomes.append(append_usage(ingest_log, batch(*order)))

    with Background() as background:
        for order in (names, names[::-1], names[100:] + names[:100]):
            background.start(write, order)
    assert sorted(stored(owner).values()) == sorted(names)
    assert sum(outcome.accepted for outcome in outcomes) == 300
    assert sum(outcome.duplicates for outcome in outcomes) == 600
    assert all(outcome.conflicts == () for outcome in outcomes)
    assert max(outcome.position or 0 for outcome in outcomes) == max(stored(owner))


def test_usage_and_domain_events_share_one_order(log: Log) -> None:
    outcomes = [
        log.append(BOOK, [fact()])[-1],
        append_usage(log, batch("a")).position,
        log.append(BOOK, [fact()])[-1],
    ]
    assert outcomes == sorted(outcomes, key=lambda position: position or 0)


def test_what_goes_with_a_batch_commits_with_it_and_sees_its_position(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    owner.execute("CREATE TABLE public.claims (next bigint)")
    owner.execute("GRANT SELECT, INSERT ON public.claims TO daybook_ingest")
    seen: list[list[int]] = []

    def claim(cursor: Cursor[DictRow]) -> None:
        cursor.execute("INSERT INTO public.claims VALUES (42)")

    extra = Extras(claim, lambda _, positions: seen.append(list(positions)))
    outcome = append_usage(ingest_log, batch("a", "b"), extra)
    assert seen == [[outcome.position]]
    append_usage(ingest_log, [], extra)
    assert seen[1:] == [[]]
    assert len(owner.execute("SELECT * FROM public.claims").fetchall()) == 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_batch_is_undone_with_what_goes_with_it(
    ingest_log: Log, owner: Connection[DictRow], when: str
) -> None:
    owner.execute("CREATE TABLE public.claims (next bigint)")
    owner.execute("GRANT SELECT, INSERT ON public.claims TO daybook_ingest")

    def fail(cursor: Cursor[DictRow], *_: object) -> None:
        cursor.execute("INSERT INTO public.claims VALUES (42)")
        raise NotFound

    extra = Extras(do_before=fail) if when == "before" else Extras(do_after=fail)
    with pytest.raises(NotFound):
        append_usage(ingest_log, batch("a"), extra)
    assert stored(owner) == {}
    assert owner.execute("SELECT * FROM public.claims").fetchall() == []


def test_a_claim_that_another_batch_holds_is_unavailable_not_a_crash(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    owner.execute("CREATE TABLE public.claims (next bigint PRIMARY KEY)")
    owner.execute("GRANT SELECT, INSERT ON public.claims TO daybook_ingest")
    extra = Extras(do_before=lambda cursor: cursor.execute("INSERT INTO public.claims VALUES (42)"))
    append_usage(ingest_log, batch("a"), extra)
    with pytest.raises(Unavailable):
        append_usage(ingest_log, batch("b"), extra)
    assert list(stored(owner).values()) == ["a"]


def test_a_domain_event_never_takes_the_bulk_path(ingest_log: Log) -> None:
    with pytest.raises(AssertionError, match="usage"):
        append_usage(ingest_log, [fact(uuid4())])
