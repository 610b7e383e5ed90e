"""What does not balance is refused by PostgreSQL itself, whoever writes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from eventsourcing.persistence import IntegrityError
from psycopg.errors import CheckViolation

from tests.integration.log_events import BOOK, connected, entry, posting

if TYPE_CHECKING:
    from ledger.events.journal import Posting
    from ledger.store import Log
    from tests.postgres import Database


def test_a_balanced_entry_is_kept(log: Log) -> None:
    new = entry(posting("debit", 300), posting("credit", 200), posting("credit", 100))
    log.append(BOOK, [new])
    assert [each.event for each in log.load(BOOK, new.stream)] == [new.event]


@pytest.mark.parametrize(
    "postings",
    [
        [],
        [posting("debit", 0)],
        [posting("debit", 300), posting("credit", 299)],
        [posting("debit", 300, "EUR"), posting("credit", 300, "USD")],
        [posting("debit", 300), posting("credit", 300, functional=299)],
        [posting("debit", -300), posting("credit", -300)],
        [posting("debit", 300), posting("CREDIT", 300)],
    ],
    ids=["empty", "alone", "off by one", "two currencies", "functional", "negative", "no such side"],
)
def test_postgres_refuses_an_unbalanced_entry(log: Log, postings: list[Posting]) -> None:
    # Not a version conflict: trying again cannot help, so it must not look as if it could.
    new = entry(*postings)
    with pytest.raises(IntegrityError, match=r"entry|posting"):
        log.append(BOOK, [new])
    assert log.load(BOOK, new.stream) == []


DEBIT = {
    "side": "debit",
    "amount": 5,
    "currency": "EUR",
    "functional_amount": 5,
    "functional_currency": "EUR",
}


@pytest.mark.parametrize(
    "credit",
    [
        DEBIT,
        DEBIT | {"side": "credit", "amount": 4},
        DEBIT | {"side": None},
        DEBIT | {"side": "credit", "amount": None},
        DEBIT | {"side": "credit", "currency": None},
        {},
    ],
    ids=["two debits", "off by one", "no side", "no amount", "no currency", "nothing"],
)
def test_postgres_refuses_an_unbalanced_entry_that_no_code_of_ours_wrote(
    database: Database, credit: dict[str, object]
) -> None:
    write = (
        "INSERT INTO log.events (originator_id, originator_version, topic, state)"
        " VALUES (gen_random_uuid(), 1, 'journal.entry_posted', convert_to(%s, 'UTF8'))"
    )
    with connected(database.app_url, BOOK) as connection:
        balanced = json.dumps({"data": {"postings": [DEBIT, DEBIT | {"side": "credit"}]}})
        assert connection.execute(write, (balanced,)).rowcount == 1
        unbalanced = json.dumps({"data": {"postings": [DEBIT, credit]}})
        with pytest.raises(CheckViolation, match=r"entry|posting"):
            connection.execute(write, (unbalanced,))
