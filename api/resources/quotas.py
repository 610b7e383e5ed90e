"""Quotas: what an account may use, and how much of that it has used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.edge import Call, answer, instant, operation
from commands.quotas import quotas_of
from commands.streams import account_stream
from ledger.streams import account as accounts
from ledger.streams.base import fold
from ledger.values import quantity_text
from projections import billing
from schemas import requests
from schemas import responses_billing as views

if TYPE_CHECKING:
    from decimal import Decimal

    from flask import Response

    from commands.quotas import Quota


@operation(
    "GET",
    "/v1/accounts/{account}/quota",
    scope="read",
    book_wide=False,
    query=requests.Read,
    answer=views.QuotasView,
)
def quota(call: Call, account: str) -> Response:
    """Show, by meter or feature, the limit of the present period, what was used, and when it resets."""
    call.require_account(account)
    accounts.require(fold(accounts.evolve, call.log.load(call.book, account_stream(account))).state)
    with call.reading() as connection:
        call.wait_for_all(connection, "billing")
        alive = billing.billed_subscriptions_of(connection, account)
    found = quotas_of(call.context(), account, alive)
    return answer({"account": account, "quotas": [_view(one) for one in found]})


def _view(one: Quota) -> dict[str, Any]:
    return {
        "feature": one.feature,
        "limit": _text(one.limit),
        "used": quantity_text(one.used),
        "remaining": _text(one.remaining),
        "hard": one.hard,
        "period_from": instant(one.period_from),
        "resets_at": instant(one.resets_at),
        "subscriptions": list(one.subscriptions),
    }


def _text(quantity: Decimal | None) -> str | None:
    return None if quantity is None else quantity_text(quantity)
