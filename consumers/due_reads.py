"""Reading what is due in every book that goes by the wall's clock, as the role that reads all of them.

A book whose clock was set is left to who sets it. What was refused is left until it may be tried again.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from consumers.jobs import UNAVAILABLE, Job, Settled
from ledger.values import EARLIEST

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import DictRow

_FIRST_DELAY_SECONDS: Final = 60
_LONGEST_DELAY_SECONDS: Final = 6 * 3600
_GROWTH: Final = 4
# An outage of the database is over soon, and is no fault of the job's.
_OUTAGE_DELAY_SECONDS: Final = 5

_BOOKS: Final = (
    "daybook.books AS listed WHERE NOT EXISTS (SELECT FROM due.clocks WHERE clocks.book = listed.book)"
    " AND (%(book)s::uuid IS NULL OR listed.book = %(book)s)"
)
_REFUSED: Final = (
    "daybook.job_refusals AS refused WHERE (refused.book, refused.kind, refused.subject, refused.due_at)"
    " = (due.book, due.kind, due.subject, due.due_at)"
)
# Book by book along the index of each: in one that is far behind, nothing is looked at but its earliest.
_READY: Final = f"""
SELECT found.* FROM (SELECT book FROM {_BOOKS}) AS books CROSS JOIN LATERAL (
    SELECT due_at, kind, subject, book, account FROM due.due
    WHERE due.book = books.book AND due.due_at <= %(until)s
    AND NOT EXISTS (SELECT FROM {_REFUSED} AND refused.retry_at > %(now)s)
    ORDER BY due.due_at, due.kind, due.subject LIMIT %(limit)s
) AS found ORDER BY due_at, kind, subject, book LIMIT %(limit)s
"""  # noqa: S608 - constant
_NEXT: Final = f"""
SELECT min(at) AS at FROM (
    SELECT found.due_at AS at FROM (SELECT book FROM {_BOOKS}) AS books CROSS JOIN LATERAL (
        SELECT due_at FROM due.due WHERE due.book = books.book AND due.due_at > %(now)s
        ORDER BY due.due_at LIMIT 1
    ) AS found
    UNION ALL SELECT retry_at FROM daybook.job_refusals WHERE retry_at > %(now)s
) AS coming
"""  # noqa: S608 - constant
_LISTED: Final = f"""
SELECT found.* FROM (
    SELECT book FROM daybook.books AS listed WHERE listed.book = %(book)s
    UNION SELECT book FROM {_BOOKS}
) AS books CROSS JOIN LATERAL (
    SELECT due.due_at, due.kind, due.subject, due.book, due.account,
        refused.code, refused.reason, refused.attempts, refused.retry_at
    FROM due.due LEFT JOIN daybook.job_refusals AS refused
        ON (refused.book, refused.kind, refused.subject, refused.due_at)
            = (due.book, due.kind, due.subject, due.due_at)
    WHERE due.book = books.book AND due.due_at <= %(until)s
    AND (due.due_at, due.kind, due.subject, due.book)
        > (%(after_at)s, %(after_kind)s, %(after_subject)s, %(after_book)s)
    ORDER BY due.due_at, due.kind, due.subject LIMIT %(limit)s
) AS found ORDER BY due_at, kind, subject, book LIMIT %(limit)s
"""  # noqa: S608 - constant
_NOTE: Final = f"""
INSERT INTO daybook.job_refusals AS known
    (book, kind, subject, due_at, code, reason, refused_at, retry_at)
VALUES (%(book)s, %(kind)s, %(subject)s, %(due_at)s, %(code)s, %(reason)s, %(now)s,
    %(now)s + make_interval(secs => %(first)s))
ON CONFLICT (book, kind, subject) DO UPDATE SET
    due_at = EXCLUDED.due_at, code = EXCLUDED.code, reason = EXCLUDED.reason,
    refused_at = EXCLUDED.refused_at,
    attempts = CASE WHEN known.due_at = EXCLUDED.due_at THEN known.attempts + 1 ELSE 1 END,
    retry_at = %(now)s + make_interval(secs => CASE WHEN known.due_at = EXCLUDED.due_at
        THEN least(%(first)s * power({_GROWTH}, least(known.attempts, 20)), %(longest)s) ELSE %(first)s END)
"""  # noqa: S608 - constant
_FORGET: Final = (
    "DELETE FROM daybook.job_refusals AS refused WHERE NOT EXISTS (SELECT FROM due.due"
    " WHERE (refused.book, refused.kind, refused.subject, refused.due_at)"
    " = (due.book, due.kind, due.subject, due.due_at))"
)
_COUNT: Final = "SELECT kind, count(*) AS jobs FROM daybook.job_refusals GROUP BY kind"


class Listed(msgspec.Struct, frozen=True):
    """Something that is due, and why it was not done when it was tried, if it was."""

    due_at: datetime
    kind: str
    subject: str
    book: UUID
    account: str | None
    code: str | None = None
    reason: str | None = None
    attempts: int | None = None
    retry_at: datetime | None = None


def ready(
    connection: Connection[DictRow], until: datetime, now: datetime, limit: int, book: UUID | None = None
) -> list[Job]:
    """Give the earliest of what was due at or before an instant and may be tried now, in order."""
    parameters = {"until": until, "now": now, "limit": limit, "book": book}
    return [Job(**row) for row in connection.execute(_READY, parameters)]


def next_instant(connection: Connection[DictRow], now: datetime) -> datetime | None:
    """Give the next instant at which something is due, or may be tried again."""
    row = connection.execute(_NEXT, {"now": now, "book": None}).fetchone()
    assert row is not None, "an aggregate gives one row"
    at: datetime | None = row["at"]
    return at


def listed(
    connection: Connection[DictRow],
    until: datetime,
    limit: int,
    book: UUID | None = None,
    after: Listed | None = None,
) -> list[Listed]:
    """Page what is due until an instant, refused or not: of one book, or of all that go by the wall."""
    key: dict[str, Any] = {
        "after_at": EARLIEST if after is None else after.due_at,
        "after_kind": "" if after is None else after.kind,
        "after_subject": "" if after is None else after.subject,
        "after_book": UUID(int=0) if after is None else after.book,
    }
    rows = connection.execute(_LISTED, {"until": until, "limit": limit, "book": book, **key})
    return [Listed(**row) for row in rows]


def note_refusal(connection: Connection[DictRow], settled: Settled, now: datetime) -> None:
    """Keep why a job was not done, and let it rest: the longer, the more often it was tried."""
    outage = settled.code == UNAVAILABLE
    parameters = {
        "book": settled.job.book,
        "kind": settled.job.kind,
        "subject": settled.job.subject,
        "due_at": settled.job.due_at,
        "code": settled.code,
        "reason": settled.reason,
        "now": now,
        "first": _OUTAGE_DELAY_SECONDS if outage else _FIRST_DELAY_SECONDS,
        "longest": _OUTAGE_DELAY_SECONDS if outage else _LONGEST_DELAY_SECONDS,
    }
    connection.execute(_NOTE, parameters)


def forget_refusals(connection: Connection[DictRow]) -> None:
    """Forget the refusals of what was done after all, or is due at that instant no more."""
    connection.execute(_FORGET)


def count_refusals(connection: Connection[DictRow]) -> dict[str, int]:
    """Count the jobs that were refused and wait to be tried again, by kind."""
    return {row["kind"]: row["jobs"] for row in connection.execute(_COUNT)}
