"""`daybook invoice`: an invoice put together again from the log alone."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.cli_support import database_of, print_json, progress, require_secrets, say

if TYPE_CHECKING:
    from commands.explaining import Recomputed
    from ledger.settings import Settings

_data = click.option(
    "--data",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="The data folder of `dev` or `demo`, in place of DATABASE_URL.",
)


@click.group()
def invoice() -> None:
    """Look into invoices."""


@invoice.command()
@click.argument("invoice_id", metavar="INVOICE")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@_data
def verify(invoice_id: str, data: Path | None, *, as_json: bool) -> None:
    """Put INVOICE together again from the log alone and compare; exit with 1 when it differs.

    The whole log is read, so that no read model has a part in it.
    """
    with database_of(data) as settings:
        recomputed = _recomputed(settings, invoice_id)
    if as_json:
        print_json(
            {
                "invoice": invoice_id,
                "equal": recomputed.equal,
                "differences": list(recomputed.differences),
            }
        )
    else:
        _tell(recomputed, invoice_id)
    if recomputed.equal is False:
        sys.exit(1)


def _recomputed(settings: Settings, invoice_id: str) -> Recomputed:
    from api.books import book_of_object
    from commands.context import Context
    from commands.explaining import recompute
    from ledger.events import Actor
    from ledger.store import Log
    from projections.scanned import ScannedUsage

    require_secrets(settings, peppers=False)
    book = book_of_object(settings, "inv", invoice_id)
    assert settings.app_url is not None, "database_of gives the run-time URLs"
    log = Log(settings.app_url, settings.master_key, pool_size=2)
    try:
        head = log.head()
        with progress("reading the log") as report:
            actor = Actor(principal="operator", kind="person")
            usage = ScannedUsage(log, lambda position: report(position, head))
            context = Context(
                log, settings, book, actor, "invoice verify", datetime.now(UTC), os.urandom, measure=usage
            )
            return recompute(context, invoice_id)
    finally:
        log.close()


def _tell(recomputed: Recomputed, invoice_id: str) -> None:
    if recomputed.equal is None:
        say(f"{invoice_id} was not put together from the log: it is manual, or another system's")
    elif recomputed.equal:
        say(f"{invoice_id} is equal to what the log gives")
    else:
        say(f"{invoice_id} differs from what the log gives:")
        for difference in recomputed.differences:
            say(f"  {difference}")
