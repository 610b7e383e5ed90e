"""Reading monthly recurring revenue: standings as they were known, folded under a definition."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from ledger.mrr import history
from ledger.mrr_movements import changes
from ledger.mrr_values import Catalogue, PlanPrice, Standing, TaxVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from psycopg import Connection

    from ledger.mrr_movements import Change
    from ledger.policies import MrrPolicy

# A position, or an instant of `booked_at`.
KnownAt: TypeAlias = int | datetime

_ALL: Final = (1 << 63) - 1

QUERIES: Final = {
    "standings": (
        "SELECT position, subscription, account, currency, effective_at, booked_at, caused_by, topic, status,"
        " parts, reductions, paid_through FROM mrr.standings"
        " WHERE (%(account)s::text IS NULL OR account = %(account)s) AND position <= %(through)s"
        " ORDER BY subscription, position"
    ),
    "prices": "SELECT plan, price_version, interval, fees FROM mrr.prices ORDER BY plan, price_version",
    "tax_rates": (
        "SELECT tax_rate, percent_within, effective_at FROM mrr.tax_rates"
        " ORDER BY tax_rate, effective_at, tax_rate_version"
    ),
}


def read_changes(
    connection: Connection[Any],
    policy: MrrPolicy,
    account: str | None = None,
    known_at: KnownAt | None = None,
) -> list[Change]:
    """Give every change of revenue of the connection's book, or of one account, as known at a time."""
    catalogue = read_catalogue(connection)
    histories = (
        history(standings, catalogue, policy) for standings in _standings(connection, account, known_at)
    )
    return changes((one for one in histories if one is not None), policy)


def read_catalogue(connection: Connection[Any]) -> Catalogue:
    """Give what the book's price versions ask for, and the taxes that lie within prices."""
    prices = {
        (row["plan"], row["price_version"]): msgspec.convert(row, PlanPrice)
        for row in connection.execute(QUERIES["prices"])
    }
    tax_rates: dict[str, list[TaxVersion]] = {}
    for row in connection.execute(QUERIES["tax_rates"]):
        tax_rates.setdefault(row["tax_rate"], []).append(msgspec.convert(row, TaxVersion))
    return Catalogue(prices, tax_rates)


def _standings(
    connection: Connection[Any], account: str | None, known_at: KnownAt | None
) -> Iterator[list[Standing]]:
    """Give each subscription's standings as they were known."""
    through = known_at if isinstance(known_at, int) else _ALL
    rows = connection.execute(QUERIES["standings"], {"account": account, "through": through})
    for _, of_one in groupby(rows, key=lambda row: row["subscription"]):
        known = [msgspec.convert(row, Standing) for row in _known(of_one, known_at)]
        if known:
            yield known


def _known(rows: Iterable[dict[str, Any]], known_at: KnownAt | None) -> Iterator[dict[str, Any]]:
    """Cut a subscription at its first event booked later: clocks may disagree on the order of two."""
    for row in rows:
        if isinstance(known_at, datetime) and row["booked_at"] > known_at:
            return
        yield row
