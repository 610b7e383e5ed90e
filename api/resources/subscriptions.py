"""Subscriptions: an account, a plan and a chain of billing periods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.edge import Call, answer, operation, page
from api.resources.views import billed_view, subscription_row_view, subscription_view
from commands.streams import account_stream, stream_or_not_found
from commands.subscriptions import cancel_subscription, change_plan, renew_subscription, subscribe
from ledger.streams import account as accounts
from ledger.streams import subscription as subscriptions
from ledger.streams.base import fold
from projections import billing
from schemas import requests, responses

if TYPE_CHECKING:
    from flask import Response


@operation(
    "POST",
    "/v1/accounts/{account}/subscriptions",
    scope="write",
    body=requests.NewSubscription,
    answer=responses.SubscriptionView,
    status=201,
)
def start(call: Call, account: str) -> Response:
    """Subscribe an account to a plan, from now, and issue the first period's invoice."""
    return call.write(lambda context: subscribe(context, account, call.body["plan"]), billed_view, 201)


@operation(
    "GET",
    "/v1/accounts/{account}/subscriptions",
    scope="read",
    book_wide=False,
    query=requests.PositionPaged,
    answer=responses.page_of(responses.SubscriptionView),
)
def list_subscriptions(call: Call, account: str) -> Response:
    """List an account's subscriptions, newest first, ours and Stripe's."""
    call.require_account(account)
    limit = call.query["limit"]
    with call.reading() as connection:
        call.wait_for(connection, "billing")
        rows = billing.subscriptions_of(connection, account, call.query.get("after"), limit + 1)
    if not rows:
        accounts.require(fold(accounts.evolve, call.log.load(call.book, account_stream(account))).state)
    rows, following = page(rows, limit, lambda row: row["created_position"])
    return answer({"data": [subscription_row_view(row) for row in rows], "next": following})


@operation(
    "GET",
    "/v1/subscriptions/{subscription}",
    scope="read",
    book_wide=False,
    query=requests.Read,
    answer=responses.SubscriptionView,
)
def get_subscription(call: Call, subscription: str) -> Response:
    """Show a subscription as the log has it now."""
    stream = fold(subscriptions.evolve, call.log.load(call.book, stream_or_not_found("sub", subscription)))
    call.require_account(subscriptions.require(stream.state).account)
    return answer(subscription_view(stream))


@operation(
    "POST",
    "/v1/subscriptions/{subscription}/change",
    scope="write",
    body=requests.SubscriptionChange,
    answer=responses.SubscriptionView,
)
def change(call: Call, subscription: str) -> Response:
    """Move to another plan: now, with prorations on the next invoice, or at period end."""
    plan, at_period_end = call.body["plan"], call.body["at_period_end"]
    return call.write(
        lambda context: change_plan(context, subscription, plan, at_period_end=at_period_end), billed_view
    )


@operation(
    "POST",
    "/v1/subscriptions/{subscription}/cancel",
    scope="write",
    body=requests.SubscriptionCancel,
    answer=responses.SubscriptionView,
)
def cancel(call: Call, subscription: str) -> Response:
    """End a subscription with its present period, or now."""
    at_period_end = call.body["at_period_end"]
    return call.write(
        lambda context: cancel_subscription(context, subscription, at_period_end=at_period_end), billed_view
    )


@operation("POST", "/v1/subscriptions/{subscription}/renew", scope="write", answer=responses.SubscriptionView)
def renew(call: Call, subscription: str) -> Response:
    """Open the next period once the present one is over, and issue its invoice."""
    return call.write(lambda context: renew_subscription(context, subscription), billed_view)
