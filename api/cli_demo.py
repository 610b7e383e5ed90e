"""The subcommand `demo`: plays the month and shows it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.cli_support import console, data_folder, print_json, progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from api.demo import Demo
    from api.demo_month import Month


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data folder, wiped first.  [default: demo, under $DAYBOOK_DATA or the user's data directory]",
)
@click.option(
    "--accounts", default=300, show_default=True, type=click.IntRange(1, 100_000), help="Customers."
)
@click.option("--events", default=200_000, show_default=True, type=click.IntRange(0), help="Usage events.")
@click.option("--seed", default=7, show_default=True, help="Where everything made up comes from.")
@click.option("--keep/--no-keep", default=True, help="Keep the data folder, or remove it at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print the month as one line of JSON.")
def demo(data: Path | None, accounts: int, events: int, seed: int, *, keep: bool, as_json: bool) -> None:
    """Play a small service through January 2027, then show its books.

    Real commands, real signed webhooks (late, twice, in any order), a real PostgreSQL: only the customers
    are made up. The same seed gives the same month. Exit status 1 when a projection differs from its rebuild.
    """
    from api.demo import BAR, remove, run_demo
    from api.demo_world import Size

    folder = data_folder(data, "demo")
    with progress("Opening the books") as report:
        played = run_demo(folder, Size(accounts, events, seed), lambda title, done: report(done, BAR, title))
    if as_json:
        print_json(
            {
                **_public(played),
                "identical": played.identical,
                "live_key": played.founded.live_key,
                "seconds": played.seconds,
            }
        )
    else:
        _show(console(), played, events, folder if keep else None)
    if not keep:
        remove(folder)
    if not played.green:
        sys.exit(1)


def _public(played: Demo) -> dict[str, object]:
    import msgspec

    month = msgspec.to_builtins(played.month)
    assert isinstance(month, dict), "a struct is an object"
    return month


def _show(out: Console, played: Demo, events: int, folder: Path | None) -> None:
    month = played.month
    out.rule("[bold]Acme API, January 2027")
    out.print(_happened(month), "", _top_accounts(month), "", _invoices(month), "", _balances(month), "")
    out.print(_timeline(month), "", _topics(month), "")
    for name, identical in played.identical.items():
        mark = "[green]the same as its rebuild" if identical else "[red]differs from its rebuild"
        out.print(f"  verify {name:<10} {mark}")
    whole = sum(played.seconds.values())
    per_second = int(events / played.seconds["play"]) if played.seconds["play"] else 0
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in played.seconds.items())
    out.print(f"\n  {month.head:,} positions in {whole:.1f} s: {parts}.")
    out.print(f"  {per_second:,} usage events a second, with everything else that happened.")
    if folder is not None:
        _open_next(out, played, folder)


def _open_next(out: Console, played: Demo, folder: Path) -> None:
    key, account = played.founded.live_key, played.month.account
    out.print("\n[bold]Look further[/]\n")
    for line in (
        f"daybook dev --data {folder}",
        "# then, in another terminal (or open http://127.0.0.1:8400/docs):",
        f"curl -H 'Authorization: Bearer {key}' http://127.0.0.1:8400/v1/accounts/{account}/timeline",
        "# without a server:",
        f"daybook timeline {account} --data {folder}",
        f"daybook verify --data {folder}",
    ):
        # Wrapped lines could not be pasted.
        out.print(f"  {line}", soft_wrap=True, markup=False)


def _table(title: str, *columns: str, numbers: tuple[str, ...] = ()) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", no_wrap=column != "what")
    return table


def _money(minor_units: int, currency: str) -> str:
    from ledger.money import Money, format_plain

    return format_plain(Money(minor_units, currency))


def _happened(month: Month) -> Table:
    numbers = ("times",)
    table = _table("What happened, December and January", "event", "times", numbers=numbers)
    for name, times in month.happened.items():
        table.add_row(name, f"{times:,}")
    return table


def _top_accounts(month: Month) -> Table:
    numbers = ("events", "api calls", "tokens", "GB hours")
    table = _table("Who called most in January", "account", "name", "plan", *numbers, numbers=numbers)
    for row in month.top_accounts:
        table.add_row(
            row.account,
            row.name,
            row.plan,
            f"{row.events:,}",
            row.api_calls,
            row.tokens,
            row.storage_gb_hours,
        )
    return table


def _invoices(month: Month) -> Table:
    numbers = ("invoices", "total", "paid")
    table = _table("Invoices of January", "managed by", "status", *numbers, numbers=numbers)
    for row in month.invoices:
        total, paid = _money(row.total, row.currency), _money(row.paid, row.currency)
        table.add_row(row.managed_by, row.status, f"{row.invoices:,}", total, paid)
    return table


def _balances(month: Month) -> Table:
    numbers = ("debits", "credits", "balance")
    table = _table(
        "Ledger accounts at the end of January", "ledger account", "category", *numbers, numbers=numbers
    )
    for row in month.balances:
        amounts = (_money(amount, row.currency) for amount in (row.debits, row.credits, row.balance))
        table.add_row(row.ledger_account, row.category, *amounts)
    table.add_section()
    for currency in sorted({row.currency for row in month.balances}):
        debits = sum(row.debits for row in month.balances if row.currency == currency)
        credits_ = sum(row.credits for row in month.balances if row.currency == currency)
        verdict = "debits = credits" if debits == credits_ else "OUT OF BALANCE"
        table.add_row("all", "", _money(debits, currency), _money(credits_, currency), verdict)
    return table


def _timeline(month: Month) -> Table:
    title = f"The life of {month.account_name} ({month.account})"
    table = _table(title, "position", "when", "what", numbers=("position",))
    last = month.timeline_oldest[-1].position if month.timeline_oldest else 0
    later = [row for row in month.timeline_newest if row.position > last]
    for row in month.timeline_oldest:
        table.add_row(str(row.position), f"{row.occurred_at:%d %b %H:%M}", row.sentence)
    if later:
        table.add_row("…", "…", "…")
    for row in later:
        table.add_row(str(row.position), f"{row.occurred_at:%d %b %H:%M}", row.sentence)
    return table


def _topics(month: Month) -> Table:
    numbers = ("events", "first position", "last position")
    table = _table(f"The log, up to position {month.head:,}", "topic", *numbers, numbers=numbers)
    for row in month.topics:
        table.add_row(row.topic, f"{row.events:,}", f"{row.first_position:,}", f"{row.last_position:,}")
    return table
