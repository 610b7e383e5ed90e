"""The subcommands of `dead-letters`: messages that could not be applied, looked at, replayed or discarded."""

from __future__ import annotations

import getpass
import os
import sys
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from api.cli_support import (
    console,
    database_of,
    print_json,
    require_secrets,
    required,
    say,
    settings_from_environment,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from consumers.dead_letter_reads import DeadLetter, DeadLetterRow
    from consumers.replaying import Replay
    from ledger.settings import Settings
    from ledger.store import Log

_STATUSES: Final = ("open", "parked", "replayed", "discarded")
_UNSETTLED: Final = ("open", "parked")
_PAGE: Final = 500
_ID_CHARACTERS: Final = 30

_data = click.option(
    "--data",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="The data folder of `dev` or `demo`, in place of DAYBOOK_INGEST_URL.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each.")
_code = click.option("--code", "codes", multiple=True, help="Only those with this code; may be repeated.")
_topic = click.option("--topic", help="Only those of this topic.")


@click.group("dead-letters")
def dead_letters() -> None:
    """Look at messages that could not be applied, and replay or discard them."""


@dead_letters.command("list")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(_STATUSES),
    help="Only those of this status; may be repeated.  [default: open and parked]",
)
@_code
@_topic
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@_as_json
@_data
def list_command(
    statuses: tuple[str, ...],
    codes: tuple[str, ...],
    topic: str | None,
    limit: int,
    data: Path | None,
    *,
    as_json: bool,
) -> None:
    """List dead letters, newest first: open ones need a person, parked ones are tried again by themselves."""
    from api.dead_letter_views import row_view
    from consumers.dead_letter_reads import counts, page

    with _letters(data) as (_, log), log.connection() as connection:
        rows = page(connection, statuses=statuses or _UNSETTLED, codes=codes, topic=topic, limit=limit)
        number_by_status = counts(connection)
    if as_json:
        for row in rows:
            print_json(row_view(row))
        return
    _print_table(rows)
    say(", ".join(f"{number:,} {status}" for status, number in number_by_status.items()))


@dead_letters.command()
@click.argument("letter_id", metavar="ID")
@_as_json
@_data
def show(letter_id: str, data: Path | None, *, as_json: bool) -> None:
    """Show all of the dead letter ID; of a conflict, beside it, the event that is known."""
    from api.dead_letter_page import print_letter
    from api.dead_letter_views import letter_view

    with _letters(data) as (settings, log), closing(_books_log(settings)) as books:
        view = letter_view(_find(log, letter_id), books)
    if as_json:
        print_json(view)
    else:
        print_letter(view)


@dead_letters.command()
@click.argument("letter_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are open, oldest first.")
@_code
@_topic
@click.option(
    "--value", type=click.File("rb"), help="A file with the corrected message, for one ID; - reads it here."
)
@_as_json
@_data
def replay(
    letter_ids: tuple[str, ...],
    codes: tuple[str, ...],
    topic: str | None,
    value: BinaryIO | None,
    data: Path | None,
    *,
    everything: bool,
    as_json: bool,
) -> None:
    """Apply messages again, as they came or one of them corrected.

    Exit status 1 when one was refused again.
    """
    if bool(letter_ids) == everything:
        message = "name the dead letters, or say --all"
        raise click.UsageError(message)
    if (codes or topic) and not everything:
        message = "--code and --topic choose among --all"
        raise click.UsageError(message)
    if value is not None and len(letter_ids) != 1:
        message = "--value is for one dead letter"
        raise click.UsageError(message)
    corrected = None if value is None else value.read()
    with _letters(data) as (settings, log):
        chosen = letter_ids or _open_ones(log, codes, topic)
        _replay_all(settings, log, chosen, corrected, _said_as(as_json=as_json))


@dead_letters.command()
@click.argument("letter_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why; it is kept in the log.")
@_as_json
@_data
def discard(letter_ids: tuple[str, ...], reason: str, data: Path | None, *, as_json: bool) -> None:
    """Give messages up for good: their values are erased, and each discarding is an event of its book."""
    from api.resources.dead_letters import letter_of
    from commands.context import Context
    from commands.dead_letters import discard_dead_letter
    from ledger.events import Actor
    from ledger.identifiers import INSTALLATION_BOOK

    actor = Actor(principal="operator", kind="system")
    with _letters(data) as (settings, log):
        for letter in [_find(log, letter_id) for letter_id in letter_ids]:
            book = letter.book or INSTALLATION_BOOK
            cause = f"daybook dead-letters discard by {_person()}"
            context = Context(log, settings, book, actor, cause, datetime.now(UTC), os.urandom)
            done = discard_dead_letter(context, letter_of(letter), reason, f"operator {_person()}").result
            if as_json:
                print_json({"id": done.dead_letter, "status": "discarded", "reason": done.reason})
            else:
                click.echo(f"{done.dead_letter} discarded")


# -- what they share ----------------------------------------------------------------------------------


@contextmanager
def _letters(data: Path | None) -> Iterator[tuple[Settings, Log]]:
    """Give the settings, and the log of the role that sees the messages of every book."""
    from ledger.store import Log

    with _settings(data) as settings:
        url = required(settings.ingest_url, "DAYBOOK_INGEST_URL", "DATABASE_URL")
        require_secrets(settings, peppers=False)
        with closing(Log(url, settings.master_key)) as log:
            yield settings, log


@contextmanager
def _settings(data: Path | None) -> Iterator[Settings]:
    if data is None:
        yield settings_from_environment()
        return
    with database_of(data) as settings:
        yield settings


def _books_log(settings: Settings) -> Log:
    """Give the log as the role sees it that works in one book, with the personal data of its events."""
    from ledger.store import Log

    return Log(required(settings.app_url, "DAYBOOK_APP_URL", "DATABASE_URL"), settings.master_key)


def _find(log: Log, letter_id: str) -> DeadLetter:
    from commands.streams import stream_or_not_found
    from consumers.dead_letter_reads import find
    from ledger.errors import NotFound

    stream_or_not_found("dlt", letter_id)
    with log.connection() as connection:
        letter = find(connection, letter_id)
    if letter is None:
        raise NotFound(f"there is no dead letter {letter_id}")
    return letter


def _open_ones(log: Log, codes: Sequence[str], topic: str | None) -> list[str]:
    """Name the open ones, oldest first: what came first is to be applied first."""
    from consumers.dead_letter_reads import page

    found: list[DeadLetterRow] = []
    with log.connection() as connection:
        while True:
            after = found[-1].number if found else None
            rows = page(connection, statuses=["open"], codes=codes, topic=topic, after=after, limit=_PAGE)
            found += rows
            if len(rows) < _PAGE:
                return [row.dead_letter for row in reversed(found)]


def _replay_all(
    settings: Settings,
    log: Log,
    letter_ids: Sequence[str],
    corrected: bytes | None,
    tell: Callable[[Replay], None],
) -> None:
    from api.replaying import applier_of
    from consumers.replaying import Replayer
    from consumers.replaying import replay as replay_one
    from ledger.stamps import stamp_key

    key = stamp_key(settings.master_key)
    with closing(_books_log(settings)) as books:
        apply = applier_of(settings, books, log)
        refused = 0
        for letter_id in letter_ids:
            by = f"operator {_person()}"
            replayer = Replayer(log=log, apply=apply, key=key, by=by, now=datetime.now(UTC))
            done = replay_one(replayer, _find(log, letter_id), corrected)
            tell(done)
            refused += done.status != "replayed"
    if refused:
        say(f"{refused:,} of {len(letter_ids):,} refused again.")
        sys.exit(1)


def _said_as(*, as_json: bool) -> Callable[[Replay], None]:
    from api.dead_letter_page import printable
    from api.dead_letter_views import replay_view

    def tell(done: Replay) -> None:
        if as_json:
            print_json(replay_view(done))
        else:
            why = "" if done.reason is None else f", refused as {done.code}: {printable(done.reason)}"
            click.echo(f"{done.dead_letter} {done.status}{why}")

    return tell


def _person() -> str:
    """Name whoever runs this, as the operating system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _print_table(rows: Sequence[DeadLetterRow]) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from api.dead_letter_page import printable

    # An id is there to be copied.
    table = Table(
        Column("id", no_wrap=True, min_width=_ID_CHARACTERS), "status", "code", "from", "rejected", "reason"
    )
    for row in rows:
        place = f"{row.topic} {row.partition}@{row.record_offset}"
        rejected = f"{row.rejected_at:%Y-%m-%d %H:%M:%S}"
        cells = (row.dead_letter, row.status, row.code, place, rejected, row.reason)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console().print(table)
