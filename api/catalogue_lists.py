"""What a book has and a catalogue's file has not, from the lists that projections keep."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from commands.catalogue_file import Gone
from ledger.errors import Unavailable
from ledger.events.plan import PlanTerms
from ledger.plan_terms import meters_of
from projections import billing, catalogue

if TYPE_CHECKING:
    from uuid import UUID

    from psycopg import Connection

    from commands.catalogue_file import CatalogueFile
    from ledger.store import Log

_WAIT_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
# Plans first, which name the others.
_ORDER: Final = ("plan", "coupon", "tax_rate", "meter", "product")


def gone_from(log: Log, book: UUID, file: CatalogueFile) -> tuple[Gone, ...]:
    """Give what has an external id, as all that was made from a file has, and is not in the file."""
    kept = {(wanted.kind, wanted.code) for wanted in file.objects}
    for wanted in file.objects:
        if isinstance(wanted.terms, PlanTerms):
            kept |= {("meter", code) for _, code in meters_of(wanted.terms)}
    with log.reading(book) as connection:
        _wait_for_lists(connection)
        rows = catalogue.with_external_ids(connection)
        rows += [{"kind": "plan", **row} for row in billing.plans_with_external_ids(connection)]
    found = [Gone(kind=row["kind"], id=row["id"], code=row["external_id"]) for row in rows]
    missing = [one for one in found if (one.kind, one.code) not in kept and one.kind in _ORDER]
    return tuple(sorted(missing, key=lambda one: (_ORDER.index(one.kind), one.code)))


def _wait_for_lists(connection: Connection[Any]) -> None:
    """Wait until the lists hold all of the book: what they do not have yet would not be retired."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while _trails(connection):
        if time.monotonic() > deadline:
            message = "the lists of the catalogue trail the log; `daybook project` brings them up to date"
            raise Unavailable(message)
        time.sleep(_POLL_SECONDS)  # projections are another process's, and tell nobody that they have moved


def _trails(connection: Connection[Any]) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM log.events WHERE notification_id > (SELECT coalesce(min(position), 0)"
        " FROM daybook.tracking WHERE projection = ANY(%s))) AS trails",
        (["billing", "catalogue"],),
    ).fetchone()
    assert row is not None, "a question gives an answer"
    return bool(row["trails"])
