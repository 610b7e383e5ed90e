"""A person's facts are readable while their data key lives, and are forgotten everywhere once it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from ledger.errors import NotFound
from ledger.events import FORGOTTEN
from ledger.store import follow
from tests.integration.log_events import BOOK, OTHER_BOOK, Background, renamed

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import DictRow

    from ledger.store import Log

STREAM, ANOTHER = UUID(int=0x57), UUID(int=0x60)


def destroy_data_key(owner: Connection[DictRow], subject: str, book: UUID = BOOK) -> None:
    done = owner.execute(
        "UPDATE daybook.data_keys SET wrapped = NULL, destroyed_at = now() WHERE book = %s AND subject = %s",
        (book, subject),
    )
    assert done.rowcount == 1


def names(log: Log, stream: UUID, book: UUID = BOOK) -> list[str | None]:
    return [getattr(each.event, "name", None) for each in log.load(book, stream)]


def test_a_persons_fields_are_unreadable_in_the_table_and_read_by_the_log(
    log: Log, owner: Connection[DictRow]
) -> None:
    log.append(BOOK, [renamed(STREAM, 1, "Zoë")])
    assert names(log, STREAM) == ["Zoë"]
    row = owner.execute("SELECT state FROM log.events").fetchone()
    assert row is not None
    assert "Zoë".encode() not in bytes(row["state"])
    wrapped = owner.execute("SELECT wrapped FROM daybook.data_keys").fetchone()
    assert wrapped is not None
    assert len(wrapped["wrapped"]) == 12 + 32 + 16


def test_destroying_a_key_forgets_its_person_at_every_position_and_nobody_else(
    log: Log, owner: Connection[DictRow]
) -> None:
    other = uuid4()
    log.append(BOOK, [renamed(STREAM, 1, "Zoë"), renamed(STREAM, 2, None), renamed(STREAM, 3, "Zed")])
    log.append(BOOK, [renamed(other, 1, "Ada", account="acc_2")])
    log.append(OTHER_BOOK, [renamed(uuid4(), 1, "Zoë", book=OTHER_BOOK)])
    destroy_data_key(owner, "account:acc_1")
    assert names(log, STREAM) == [FORGOTTEN, None, FORGOTTEN]
    assert names(log, other) == ["Ada"]
    count = owner.execute("SELECT count(*) AS n FROM daybook.data_keys WHERE wrapped IS NOT NULL").fetchone()
    assert count == {"n": 2}


def test_a_follower_reads_persons_of_all_books_until_they_are_forgotten(
    log: Log, follower: Connection[DictRow], owner: Connection[DictRow]
) -> None:
    log.append(BOOK, [renamed(STREAM, 1, "Zoë")])
    log.append(OTHER_BOOK, [renamed(ANOTHER, 1, "Ada", book=OTHER_BOOK)])
    rows = follow(follower, 0, 10)
    assert [getattr(each.event, "name", None) for each in log.decode(follower, rows)] == ["Zoë", "Ada"]
    destroy_data_key(owner, "account:acc_1", OTHER_BOOK)
    assert [getattr(each.event, "name", None) for each in log.decode(follower, rows)] == ["Zoë", FORGOTTEN]


def test_a_person_who_was_forgotten_takes_no_new_facts(log: Log, owner: Connection[DictRow]) -> None:
    log.append(BOOK, [renamed(STREAM, 1, "Zoë")])
    destroy_data_key(owner, "account:acc_1")
    with pytest.raises(NotFound, match="forgotten"):
        log.append(BOOK, [renamed(STREAM, 2, "Zoë")])
    log.append(BOOK, [renamed(STREAM, 2, None)])
    assert names(log, STREAM) == [FORGOTTEN, None]


def test_first_facts_about_one_person_from_many_threads_share_one_key(
    log: Log, owner: Connection[DictRow]
) -> None:
    streams = [uuid4() for _ in range(6)]
    with Background() as background:
        for stream in streams:
            background.start(log.append, BOOK, [renamed(stream, 1, "Zoë")])
    assert [names(log, stream) for stream in streams] == [["Zoë"]] * 6
    assert owner.execute("SELECT count(*) AS n FROM daybook.data_keys").fetchone() == {"n": 1}
