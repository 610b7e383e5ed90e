"""The subcommands of `plans`: bring a catalogue to what a file says, the difference first; list its plans."""

from __future__ import annotations

import getpass
import os
import sys
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
    from collections.abc import Iterator, Sequence

    from api.books import KnownBook
    from commands.catalogue_file import CatalogueFile, Change, Gone
    from commands.context import Context
    from ledger.settings import Settings
    from ledger.store import Log

_PAGE: Final = 500
_SIGNS: Final = {"created": "+", "repriced": "~", "changed": "~", "retired": "-", "unchanged": " "}

_book = click.option(
    "--book",
    "named",
    default="live",
    show_default=True,
    help="Its id, or live or test of the only organisation.",
)
_data = click.option(
    "--data",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="The data folder of `dev` or `demo`, in place of DAYBOOK_APP_URL.",
)


@click.group()
def plans() -> None:
    """Load a book's catalogue from a file, and list its plans."""


@plans.command("apply")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_book
@click.option("--dry-run", is_flag=True, help="Show the difference and change nothing.")
@click.option("--yes", is_flag=True, help="Apply it without asking.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
@_data
def apply_command(
    file: Path, named: str, data: Path | None, *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Bring a book's catalogue to what the TOML file FILE says: products, meters, tax rates, plans, coupons.

    The difference is shown first, and all of it is applied or nothing. Applied again, it changes nothing.
    """
    from api.plans_file import read_catalogue
    from commands.catalogue_file import apply, difference

    with _opened(data, named) as (context, book):
        catalogue = read_catalogue(file, book.book)
        gone = _gone(context.log, book, catalogue) if catalogue.retire_missing else ()
        changes = difference(context, catalogue, gone)
        anything = any(change.action != "unchanged" for change in changes)
        if not as_json:
            _print_difference(book, changes)
        position = None
        applies = anything and not dry_run and _agreed(yes=yes, as_json=as_json)
        if applies:
            position = apply(context, catalogue, gone, changes).position
        if as_json:
            print_json(_difference_view(book, changes, applied=applies, position=position))
        elif applies:
            say(f"Applied, at position {position}.")


@plans.command("list")
@_book
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each.")
@_data
def list_command(named: str, data: Path | None, *, as_json: bool) -> None:
    """List the plans of a book, with what an interval of each costs now without usage."""
    from api.resources.plan_views import plan_row_view

    with _opened(data, named) as (context, book):
        views = [plan_row_view(row, context.now) for row in _all_plans(context.log, book)]
    if as_json:
        for view in views:
            print_json(view)
        return
    _print_plans(views)


# -- what they share ----------------------------------------------------------------------------------


@contextmanager
def _opened(data: Path | None, named: str) -> Iterator[tuple[Context, KnownBook]]:
    """Give a book and the context to work in it, at the book's own time."""
    from api.books import find_book
    from commands.clock import time_in_book
    from commands.context import Context
    from ledger.events import Actor
    from ledger.store import Log

    with _settings(data) as settings:
        url = required(settings.app_url, "DAYBOOK_APP_URL", "DATABASE_URL")
        require_secrets(settings, peppers=False)
        with closing(Log(url, settings.master_key)) as log:
            book = find_book(log, settings, named)
            now = time_in_book(log, book.book, book.mode, datetime.now(UTC))
            actor = Actor(principal="operator", kind="system")
            cause = f"daybook plans apply by {_person()} {os.urandom(8).hex()}"
            yield Context(log, settings, book.book, actor, cause, now, os.urandom), book


@contextmanager
def _settings(data: Path | None) -> Iterator[Settings]:
    if data is None:
        yield settings_from_environment()
        return
    with database_of(data) as settings:
        yield settings


def _gone(log: Log, book: KnownBook, file: CatalogueFile) -> tuple[Gone, ...]:
    from api.catalogue_lists import gone_from

    return gone_from(log, book.book, file)


def _agreed(*, yes: bool, as_json: bool) -> bool:
    """Ask whoever is at the terminal; where nobody is, only --yes will do."""
    if yes:
        return True
    if as_json or not sys.stdin.isatty():
        message = "say --yes to apply this, or --dry-run to only see it"
        raise click.UsageError(message)
    return click.confirm("Apply this?", err=True)


def _person() -> str:
    """Name whoever runs this, as the operating system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _all_plans(log: Log, book: KnownBook) -> list[dict[str, Any]]:
    from projections import billing

    found: list[dict[str, Any]] = []
    with log.reading(book.book) as connection:
        while True:
            after = found[-1]["plan"] if found else None
            rows = billing.list_plans(connection, after, _PAGE)
            found += rows
            if len(rows) < _PAGE:
                return found


# -- showing ------------------------------------------------------------------------------------------


def _print_difference(book: KnownBook, changes: Sequence[Change]) -> None:
    click.echo(f"{book.name}, {book.mode} book {book.id}")
    for change in changes:
        if change.action == "unchanged":
            continue
        click.echo(f"{_SIGNS[change.action]} {change.kind} {change.code}: {_told(change)}")
        for one in change.differences:
            click.echo(f"    {one.field}: {_moved(one.old, one.new)}")
    unchanged = sum(change.action == "unchanged" for change in changes)
    click.echo(f"{unchanged:,} unchanged." if len(changes) > unchanged else "Nothing to change.")


def _told(change: Change) -> str:
    if change.action != "repriced" or change.effective_at is None:
        return change.action
    from ledger.values import instant_text

    what = "new price version" if change.kind == "plan" else "new version"
    return f"{what} from {instant_text(change.effective_at)}; who subscribed before keeps theirs"


def _moved(old: str | None, new: str | None) -> str:
    if old is None:
        return str(new)
    return f"{old} -> {'nothing' if new is None else new}"


def _difference_view(
    book: KnownBook, changes: Sequence[Change], *, applied: bool, position: int | None
) -> dict[str, Any]:
    from ledger.values import instant_text

    return {
        "book": book.id,
        "applied": applied,
        "position": position,
        "changes": [
            {
                "kind": change.kind,
                "code": change.code,
                "action": change.action,
                "effective_at": None if change.effective_at is None else instant_text(change.effective_at),
                "differences": [
                    {"field": one.field, "old": one.old, "new": one.new} for one in change.differences
                ],
            }
            for change in changes
        ],
    }


def _print_plans(views: Sequence[dict[str, Any]]) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from ledger.money import Money, format_plain

    table = Table(Column("id", no_wrap=True), "external id", "name", "interval", "price", "version", "status")
    for view in views:
        price = "" if view["price"] is None else format_plain(Money(**view["price"]))
        cells = (
            view["id"],
            view["external_id"] or "",
            view["name"],
            view["interval"],
            price or "several currencies",
            str(view["price_version"]),
            view["status"],
        )
        table.add_row(*map(Text, cells))
    console().print(table)
