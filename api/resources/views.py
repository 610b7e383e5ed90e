"""Views: what an object looks like from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from api.edge import instant, money
from api.resources.billing_views import invoice_row_view, subscription_row_view
from ledger.streams import account as accounts
from ledger.streams import api_key as keys
from ledger.values import EARLIEST, quantity_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from commands.keys import IssuedKey
    from ledger.streams.base import Stream
    from projections.balances import Balance
    from projections.state import AccountState


def account_view(stream: Stream[accounts.Account]) -> dict[str, Any]:
    """Show an account."""
    state = accounts.require(stream.state)
    return {
        "id": state.account,
        "name": state.name,
        "email": state.email,
        "currency": state.currency,
        "time_zone": state.time_zone,
        "status": state.status,
        "origin": state.origin,
        "created_at": instant(stream.created_at),
        "closed_at": instant(state.closed_at),
        "version": stream.version,
    }


def account_row_view(row: dict[str, Any]) -> dict[str, Any]:
    """Show an account of a list."""
    return {
        "id": row["account"],
        "name": row["name"],
        "email": row["email"],
        "currency": row["currency"],
        "time_zone": row["time_zone"],
        "status": row["status"],
        "origin": row["origin"],
        "created_at": instant(row["registered_at"]),
        "closed_at": instant(row["closed_at"]),
        "version": row["version"],
    }


def key_view(stream: Stream[keys.ApiKey], now: datetime) -> dict[str, Any]:
    """Show a key, never its secret."""
    state = keys.require(stream.state)
    return {
        "id": state.key,
        "owner": state.owner,
        "name": state.name,
        "scopes": list(state.scopes),
        "status": keys.status_at(state, now),
        "hint": state.hint,
        "expires_at": instant(state.expires_at),
        "created_at": instant(stream.created_at),
        "version": stream.version,
    }


def key_row_view(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Show a key of a list; an expiry holds from its instant on, recorded or not."""
    expires_at = row["expires_at"]
    lapsed = row["status"] in ("active", "suspended") and expires_at is not None and expires_at <= now
    return {
        "id": row["key"],
        "owner": row["owner"],
        "name": row["name"],
        "scopes": list(row["scopes"]),
        "status": "expired" if lapsed else row["status"],
        "hint": row["hint"],
        "expires_at": instant(expires_at),
        "created_at": instant(row["issued_at"]),
        "version": row["version"],
    }


def issued_view(issued: IssuedKey, now: datetime) -> dict[str, Any]:
    """Show a key and, this once, its secret."""
    return {**key_view(issued.stream, now), "secret": issued.secret}


def state_view(state: AccountState, at: int | datetime) -> dict[str, Any]:
    """Show an account as it was; at a position, keys show as they were recorded, at a time as they were."""
    known_at = EARLIEST if isinstance(at, int) else at
    return {
        "at": at if isinstance(at, int) else instant(at),
        "position": state.position,
        "account": account_row_view(asdict(state.account)),
        "keys": [key_row_view(asdict(row), known_at) for row in state.keys],
        "subscriptions": [subscription_row_view(asdict(row)) for row in state.subscriptions],
        "invoices": [invoice_row_view(asdict(row)) for row in state.invoices],
        "payments": [
            {
                "id": one.payment,
                "amount": money(one.amount, one.currency),
                "method": one.method,
                "received_at": instant(one.received_at),
            }
            for one in state.payments
        ],
        **balance_view(state.balances),
        "usage": [
            {"meter": one.meter, "quantity": quantity_text(one.quantity), "events": one.events}
            for one in state.usage
        ],
    }


def balance_view(found: Sequence[Balance]) -> dict[str, Any]:
    """Sum up an account's balances by currency: what it owes is receivable less the credit it holds."""
    amounts = {(one.currency, one.ledger_account): one.amount for one in found}
    owed = []
    for currency in sorted({one.currency for one in found}):
        receivable = amounts.get((currency, "receivable"), 0)
        credit = amounts.get((currency, "customer_credit"), 0)
        owed.append(
            {
                "currency": currency,
                "balance": money(receivable - credit, currency),
                "receivable": money(receivable, currency),
                "customer_credit": money(credit, currency),
            }
        )
    return {
        "balances": owed,
        "ledger_accounts": [
            {"ledger_account": one.ledger_account, "balance": money(one.amount, one.currency)}
            for one in found
        ],
    }
