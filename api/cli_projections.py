"""Subcommands that read and check the projections: `timeline`, `rebuild`, `verify`."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.cli_support import console, database_of, print_json, progress, require_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger.settings import Settings
    from projections.rebuild import Comparison

_data = click.option(
    "--data",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="The data folder of `dev` or `demo`, in place of DATABASE_URL.",
)


@click.command()
@click.argument("account")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1_000), help="How many rows.")
@click.option("--oldest-first", is_flag=True, help="Begin where the account began, not where it stands.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON a row, as the HTTP interface gives it."
)
@_data
def timeline(account: str, limit: int, data: Path | None, *, oldest_first: bool, as_json: bool) -> None:
    """Print the life of the account ACCOUNT, newest first."""
    with database_of(data) as settings:
        rows = _timeline(settings, account, limit, oldest_first=oldest_first)
    if as_json:
        for row in rows:
            click.echo(row)
        return
    import msgspec
    from rich.table import Table

    table = Table("position", "occurred", "by", "what")
    for row in rows:
        entry = msgspec.json.decode(row)
        occurred = entry["occurred_at"][:19].replace("T", " ")
        table.add_row(str(entry["position"]), occurred, _actor(entry["actor"]), entry["sentence"])
    console().print(table)


def _actor(actor: dict[str, str] | None) -> str:
    return "" if actor is None else actor["kind"]


def _timeline(settings: Settings, account: str, limit: int, *, oldest_first: bool) -> list[str]:
    """Read a page as the run-time role does, in the book that the account is in."""
    from api.books import book_of_account
    from ledger.store import Log
    from projections.timeline_queries import page

    assert settings.app_url is not None, "derived from the owner's URL"
    book = book_of_account(settings, account)
    with closing(Log(settings.app_url, settings.master_key)) as log, log.reading(book) as connection:
        return page(connection, account, limit=limit, newest_first=not oldest_first).rows


@click.command("rebuild")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Rebuild every projection.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a projection.")
@_data
def rebuild_command(names: tuple[str, ...], data: Path | None, *, everything: bool, as_json: bool) -> None:
    """Build the projections NAMES anew from the log beside the live ones, and let them trade places.

    The service goes on meanwhile. Whatever differed from the live projection is shown.
    """
    from projections.rebuild import rebuild

    if bool(names) == everything:
        message = "name the projections, or say --all"
        raise click.UsageError(message)
    _print(_compared(rebuild, "Rebuilding", names, data), as_json=as_json)


@click.command("verify")
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a projection.")
@_data
def verify_command(names: tuple[str, ...], data: Path | None, *, as_json: bool) -> None:
    """Compare the projections NAMES, all by default, with what building them anew gives.

    Exit status 1, and the rows that differ, when one is not the same.
    """
    from projections.rebuild import verify

    comparisons = _compared(verify, "Verifying", names, data)
    _print(comparisons, as_json=as_json)
    if not all(comparison.equal for comparison in comparisons):
        sys.exit(1)


def _compared(
    work: Callable[..., list[Comparison]], title: str, names: tuple[str, ...], data: Path | None
) -> list[Comparison]:
    with database_of(data) as settings, progress(title) as report:
        require_secrets(settings, peppers=False)
        return work(
            settings.database_url, settings.follower_url, settings.master_key, list(names) or None, report
        )


def _print(comparisons: list[Comparison], *, as_json: bool) -> None:
    for one in comparisons:
        if as_json:
            print_json(one)
            continue
        verdict = "the same as its rebuild" if one.equal else "DIFFERS from its rebuild"
        click.echo(f"{one.projection:<10} {verdict}: {one.rows:,} rows at position {one.position:,}")
        for difference in one.differences:
            click.echo(f"  only {difference.side}, {difference.table}: {difference.row}")
