"""Credit: what an account holds against its invoices, its own and prepaid grants."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from api.edge import Call, answer, instant, money, operation, page
from commands.credits import WantedCredit, WantedGrant, credit_account, grant_credit, void_grant
from commands.streams import account_stream, stream_or_not_found
from ledger.streams import account as accounts
from ledger.streams import credit as credits_of
from ledger.streams.base import fold
from projections import credits as credits_held
from schemas import requests, requests_credits, responses, responses_credits

if TYPE_CHECKING:
    from datetime import datetime

    from flask import Response

    from commands.credits import Credited
    from ledger.streams.credit import Grant


@operation(
    "POST",
    "/v1/accounts/{account}/credits",
    scope="write",
    body=requests_credits.NewCredit,
    answer=responses_credits.CreditedView,
    status=201,
)
def credit(call: Call, account: str) -> Response:
    """Credit an account by hand, or take back what it has not used."""
    wanted = WantedCredit(**call.body)
    return call.write(lambda context: credit_account(context, account, wanted), _credited_view, 201)


@operation(
    "GET",
    "/v1/accounts/{account}/credits",
    scope="read",
    book_wide=False,
    query=requests.PositionPaged,
    answer=responses_credits.CreditsView,
)
def list_credits(call: Call, account: str) -> Response:
    """Show what credit an account holds, and what changed it, newest first."""
    call.require_account(account)
    limit = call.query["limit"]
    with call.reading() as connection:
        call.wait_for(connection, "credits")
        balances = credits_held.balances_of(connection, account)
        rows = credits_held.changes_of(connection, account, call.query.get("after"), limit + 1)
    if not balances:
        _require_known(call, account)
    rows, following = page(rows, limit, lambda row: row["position"])
    return answer(
        {
            "account": account,
            "balances": [_balance_view(row) for row in balances],
            "data": [_change_view(row) for row in rows],
            "next": following,
        }
    )


@operation(
    "POST",
    "/v1/accounts/{account}/credit-grants",
    scope="write",
    body=requests_credits.NewGrant,
    answer=responses_credits.GrantView,
    status=201,
)
def grant(call: Call, account: str) -> Response:
    """Give an account a prepaid grant, which settles its invoices as they are finalized."""
    body = call.body
    wanted = WantedGrant(**{**body, "scope": requests_credits.scope_of(body)})
    return call.write(
        lambda context: grant_credit(context, account, wanted), partial(_grant_view, now=call.now), 201
    )


@operation(
    "GET",
    "/v1/accounts/{account}/credit-grants",
    scope="read",
    book_wide=False,
    query=requests.PositionPaged,
    answer=responses.page_of(responses_credits.GrantView),
)
def list_grants(call: Call, account: str) -> Response:
    """List an account's grants, newest first, with what is left of each."""
    call.require_account(account)
    limit = call.query["limit"]
    with call.reading() as connection:
        call.wait_for(connection, "credits")
        rows = credits_held.grants_of(connection, account, call.query.get("after"), limit + 1)
    if not rows:
        _require_known(call, account)
    rows, following = page(rows, limit, lambda row: row["created_position"])
    return answer({"data": [_grant_row_view(row, call.now) for row in rows], "next": following})


@operation(
    "GET",
    "/v1/accounts/{account}/credit-grants/{grant}",
    scope="read",
    book_wide=False,
    query=requests.Read,
    answer=responses_credits.GrantView,
)
def get_grant(call: Call, account: str, grant: str) -> Response:
    """Show a grant as the log has it now."""
    call.require_account(account)
    stream_or_not_found(credits_of.PREFIX, grant)
    recorded = call.log.load(call.book, credits_of.credit_stream(call.book, account))
    found = credits_of.require_grant(fold(credits_of.evolve, recorded).state, grant)
    return answer(_grant_view(found, call.now))


@operation(
    "POST",
    "/v1/accounts/{account}/credit-grants/{grant}/void",
    scope="write",
    body=requests.Reason,
    answer=responses_credits.GrantView,
)
def void(call: Call, account: str, grant: str) -> Response:
    """Take back a grant of which nothing was used."""
    return call.write(
        lambda context: void_grant(context, account, grant, call.body["reason"]),
        partial(_grant_view, now=call.now),
    )


def _require_known(call: Call, account: str) -> None:
    accounts.require(fold(accounts.evolve, call.log.load(call.book, account_stream(account))).state)


# -- views ------------------------------------------------------------------------------------------------


def _credited_view(done: Credited) -> dict[str, Any]:
    event = done.credit
    assert done.credits.state is not None, "it was credited"
    return {
        "id": event.credit,
        "account": event.account,
        "amount": money(event.amount, event.currency),
        "balance": money(done.credits.state.balance(event.currency), event.currency),
        "reference": event.reference,
        "reason": event.reason,
    }


def _balance_view(row: dict[str, Any]) -> dict[str, Any]:
    currency = row["currency"]
    return {
        "currency": currency,
        "account_credit": money(row["own"], currency),
        "paid": money(row["paid"], currency),
        "promotional": money(row["promotional"], currency),
    }


def _change_view(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "position": row["position"],
        "type": row["type"],
        "amount": money(row["amount"], row["currency"]),
        "grant": row["grant_id"],
        "invoice": row["invoice"],
        "credit": row["credit"],
        "reference": row["reference"],
        "reason": row["reason"],
        "occurred_at": instant(row["occurred_at"]),
    }


def _grant_view(found: Grant, now: datetime) -> dict[str, Any]:
    granted = found.granted
    return {
        "id": granted.grant,
        "account": granted.account,
        "kind": granted.kind,
        "status": credits_of.status_at(found, now),
        "amount": money(granted.amount, granted.currency),
        "balance": money(found.balance, granted.currency),
        "priority": granted.priority,
        "granted_at": instant(granted.granted_at),
        "expires_at": instant(granted.expires_at),
        "scope": {"plans": list(granted.scope.plans), "meters": list(granted.scope.meters)},
        "name": granted.name,
        "reference": granted.reference,
        "method": granted.method,
    }


def _grant_row_view(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    over = row["status"] == "active" and row["expires_at"] is not None and row["expires_at"] <= now
    return {
        "id": row["grant_id"],
        "account": row["account"],
        "kind": row["kind"],
        "status": "expired" if over else row["status"],
        "amount": money(row["amount"], row["currency"]),
        "balance": money(row["balance"], row["currency"]),
        "priority": row["priority"],
        "granted_at": instant(row["granted_at"]),
        "expires_at": instant(row["expires_at"]),
        "scope": {"plans": row["plans"], "meters": row["meters"]},
        "name": row["name"],
        "reference": row["reference"],
        "method": row["method"],
    }
