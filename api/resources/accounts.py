"""Accounts: who is billed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.edge import Call, answer, operation, page
from api.resources.views import account_row_view, account_view, balance_view
from commands.accounts import change_account, close_account, register_account
from commands.streams import account_stream
from ledger.errors import Invalid
from ledger.streams import account as accounts
from ledger.streams.base import fold
from ledger.values import quantity_text
from projections import accounts as account_rows
from projections import balances, usage
from schemas import requests, responses

if TYPE_CHECKING:
    from flask import Response

# Three years of days on a dozen meters; more than that is asked for in parts.
_MAX_DAYS = 13_000


@operation(
    "POST",
    "/v1/accounts",
    scope="write",
    body=requests.NewAccount,
    answer=responses.AccountView,
    status=201,
)
def register(call: Call) -> Response:
    """Register an account."""
    body = call.body
    return call.write(
        lambda context: register_account(
            context, body["name"], body["email"], body["currency"], body["time_zone"]
        ),
        account_view,
        201,
    )


@operation(
    "GET",
    "/v1/accounts",
    scope="read",
    query=requests.AccountsPaged,
    answer=responses.page_of(responses.AccountView),
)
def list_accounts(call: Call) -> Response:
    """List the book's accounts, by id."""
    limit = call.query["limit"]
    with call.reading() as connection:
        call.wait_for(connection, "accounts")
        rows = account_rows.list_accounts(connection, call.query.get("after"), limit + 1)
    rows, following = page(rows, limit, lambda row: row["account"])
    return answer({"data": [account_row_view(row) for row in rows], "next": following})


@operation(
    "GET",
    "/v1/accounts/{account}",
    scope="read",
    book_wide=False,
    query=requests.Read,
    answer=responses.AccountView,
)
def get_account(call: Call, account: str) -> Response:
    """Show an account as the log has it now."""
    call.require_account(account)
    stream = fold(accounts.evolve, call.log.load(call.book, account_stream(account)))
    return answer(account_view(stream))


@operation(
    "PATCH",
    "/v1/accounts/{account}",
    scope="write",
    body=requests.AccountChange,
    answer=responses.AccountView,
)
def change(call: Call, account: str) -> Response:
    """Rename an account or change its e-mail address, at the version the caller saw if it names one."""
    changes = dict(call.body)
    version = changes.pop("version", call.if_match)
    return call.write(lambda context: change_account(context, account, changes, version), account_view)


@operation(
    "POST",
    "/v1/accounts/{account}/close",
    scope="write",
    body=requests.Reason,
    answer=responses.AccountView,
)
def close(call: Call, account: str) -> Response:
    """Close an account from now on; what happened before stays billable."""
    return call.write(
        lambda context: close_account(context, account, call.body["reason"], call.if_match), account_view
    )


@operation(
    "GET",
    "/v1/accounts/{account}/balance",
    scope="read",
    book_wide=False,
    query=requests.Read,
    answer=responses.BalanceView,
)
def get_balance(call: Call, account: str) -> Response:
    """Show what an account owes, by currency, and its balance on every ledger account."""
    call.require_account(account)
    with call.reading() as connection:
        call.wait_for(connection, "balances")
        found = balances.of_account(connection, account)
    if not found:
        accounts.require(fold(accounts.evolve, call.log.load(call.book, account_stream(account))).state)
    position = max((one.position for one in found), default=None)
    return answer({"account": account, "position": position, **balance_view(found)})


@operation(
    "GET",
    "/v1/accounts/{account}/usage",
    scope="read",
    book_wide=False,
    query=requests.UsageQuery,
    answer=responses.UsageView,
)
def get_usage(call: Call, account: str) -> Response:
    """Show what an account used, by meter and by day (UTC)."""
    call.require_account(account)
    bounds = {name: call.query[name] for name in ("since", "until", "meter") if name in call.query}
    with call.reading() as connection:
        call.wait_for(connection, "usage")
        totals = usage.by_meter(connection, account, **bounds)
        days = usage.by_day(connection, account, limit=_MAX_DAYS + 1, **bounds)
    if len(days) > _MAX_DAYS:
        reason = f"gives more than {_MAX_DAYS} rows: ask for fewer days with from and to, or for one meter"
        message = f"from: {reason}"
        raise Invalid(message, {"from": [reason]})
    if not totals:
        accounts.require(fold(accounts.evolve, call.log.load(call.book, account_stream(account))).state)
    return answer(
        {
            "account": account,
            "totals": [{**row, "quantity": quantity_text(row["quantity"])} for row in totals],
            "days": [{**row, "quantity": quantity_text(row["quantity"])} for row in days],
        }
    )
