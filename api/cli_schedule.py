"""The subcommand `schedule`: does what is due, or shows what would be done."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from api.cli_support import (
    begin,
    child_option,
    console,
    print_json,
    require_secrets,
    required,
    say,
    settings_from_environment,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consumers.forecast import Expected
    from ledger.settings import Settings


def _instant(_context: click.Context, _option: click.Parameter, value: str | None) -> datetime | None:
    """Read a day in UTC, which means its end, or a date and time with an offset."""
    from ledger.errors import Invalid
    from ledger.values import checked_time

    if value is None:
        return None
    try:
        instant = datetime.fromisoformat(value)
        if len(value) <= len("2027-01-31"):
            # The last instant of the day: what falls due with the next day is not of this one.
            instant = instant.replace(tzinfo=UTC) + timedelta(days=1, microseconds=-1)
        return checked_time(instant, "until")
    except (ValueError, OverflowError, Invalid):
        message = "give a day like 2027-01-31 or a time like 2027-01-31T12:00:00Z"
        raise click.BadParameter(message) from None


@click.command()
@click.option(
    "--until",
    callback=_instant,
    help="Do once what is due until then (a day: its end, in UTC), but not later than now, and end.",
)
@click.option("--dry-run", is_flag=True, help="Do nothing; show what would happen until --until.")
@click.option(
    "--book", help="With --dry-run: of this book, whatever its clock.  [default: all that go by the wall's]"
)
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: one line of JSON for each thing.")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve Prometheus metrics on this port.")
@child_option
def schedule(
    until: datetime | None,
    book: str | None,
    metrics_port: int | None,
    *,
    dry_run: bool,
    as_json: bool,
    child: bool,
) -> None:
    """Do what is due as its time comes, until SIGTERM or Ctrl-C: close periods, finalize drafts, expire keys.

    Any number may run, of which one at a time works. Test books whose clock was set are left alone: there,
    moving the clock does what is due.
    """
    if (until is None and dry_run) or (not dry_run and (book is not None or as_json)):
        message = "--dry-run needs --until, and --book and --json need --dry-run"
        raise click.UsageError(message)
    settings = settings_from_environment()
    required(settings.follower_url, "DAYBOOK_FOLLOWER_URL", "DATABASE_URL")
    required(settings.app_url, "DAYBOOK_APP_URL", "DATABASE_URL")
    require_secrets(settings, peppers=False)
    if until is None:
        _run(settings, metrics_port, child=child)
    elif dry_run:
        _show(settings, until, book, as_json=as_json)
    else:
        _work_once(settings, until)


def _run(settings: Settings, metrics_port: int | None, *, child: bool) -> None:
    from api.scheduling import schedule_until_stopped

    begin(child=child)
    if not schedule_until_stopped(settings, metrics_port=metrics_port):
        sys.exit(1)


def _work_once(settings: Settings, until: datetime) -> None:
    from api.scheduling import schedule_once

    begin(child=False)
    counts = schedule_once(settings, until)
    say(f"{counts['done']} jobs done, {counts['refused']} refused, {counts['failed']} failed.")
    if counts["refused"] or counts["failed"]:
        sys.exit(1)


def _show(settings: Settings, until: datetime, book: str | None, *, as_json: bool) -> None:
    from api.scheduling import would_happen
    from consumers.forecast import NOT_TOLD
    from ledger.identifiers import stream_of

    expected = would_happen(settings, until, None if book is None else stream_of("book", book))
    if as_json:
        for one in expected:
            print_json(_described(one))
    else:
        _print_table(expected)
    say(NOT_TOLD)


def _described(one: Expected) -> dict[str, object]:
    from ledger.identifiers import public_id
    from ledger.values import instant_text

    return {
        "due_at": instant_text(one.due_at),
        "kind": one.kind,
        "subject": one.subject,
        "account": one.account,
        "book": public_id("book", one.book),
        "what": one.what,
        "later": one.later,
        "refused": one.refused,
        "retry_at": None if one.retry_at is None else instant_text(one.retry_at),
    }


def _print_table(expected: Iterator[Expected]) -> None:
    from rich.table import Column, Table

    table = Table("due", *(Column(name, no_wrap=True) for name in ("subject", "account")), "what")
    for one in expected:
        what = one.what if one.refused is None else f"{one.what}; refused: {one.refused}"
        mark = " *" if one.later else ""
        table.add_row(f"{one.due_at:%Y-%m-%d %H:%M:%S}{mark}", one.subject, one.account or "", what)
    console().print(table)
    say("* follows from what is above it.")
