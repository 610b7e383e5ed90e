"""Subscriptions: an account, a plan and a chain of billing periods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.edge import Call, answer, operation, page
from api.resources.billing_views import (
    billed_view,
    change_preview_view,
    subscription_row_view,
    subscription_view,
    upcoming_view,
)
from commands.previews import preview_change, upcoming_of
from commands.streams import account_stream, stream_or_not_found
from commands.subscriptions import (
    Wish,
    add_plan,
    advance_subscription,
    cancel_subscription,
    change_subscription,
    pause_subscription,
    reactivate_subscription,
    redeem_coupon,
    remove_plan,
    resume_subscription,
    subscribe,
)
from ledger.streams import account as accounts
from ledger.streams import subscription as subscriptions
from ledger.streams.base import fold
from ledger.streams.subscribing import Beginning
from projections import billing
from schemas import requests, requests_billing, responses
from schemas import responses_billing as views

if TYPE_CHECKING:
    from flask import Response


@operation(
    "POST",
    "/v1/accounts/{account}/subscriptions",
    scope="write",
    body=requests_billing.NewSubscription,
    answer=views.SubscriptionView,
    status=201,
)
def start(call: Call, account: str) -> Response:
    """Subscribe an account to a plan, from now or another instant, and bill what begins."""
    body = call.body
    beginning = Beginning.of(body, call.now)
    return call.write(
        lambda context: subscribe(context, account, body["plan"], None, beginning, body["coupon"]),
        billed_view,
        201,
    )


@operation(
    "GET",
    "/v1/accounts/{account}/subscriptions",
    scope="read",
    book_wide=False,
    query=requests.PositionPaged,
    answer=responses.page_of(views.SubscriptionView),
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
    "/v1/accounts/{account}/upcoming",
    scope="read",
    book_wide=False,
    query=requests.Read,
    answer=views.UpcomingView,
)
def upcoming(call: Call, account: str) -> Response:
    """Show the next invoice of each subscription as it would be by what is known now."""
    call.require_account(account)
    accounts.require(fold(accounts.evolve, call.log.load(call.book, account_stream(account))).state)
    with call.reading() as connection:
        call.wait_for_all(connection, "billing")
        alive = billing.billed_subscriptions_of(connection, account)
    return answer(upcoming_view(account, [upcoming_of(call.context(), one) for one in alive]))


@operation(
    "GET",
    "/v1/subscriptions/{subscription}",
    scope="read",
    book_wide=False,
    query=requests.Read,
    answer=views.SubscriptionView,
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
    body=requests_billing.SubscriptionChange,
    query=requests_billing.SubscriptionChangeQuery,
    answer=views.ChangedView,
)
def change(call: Call, subscription: str) -> Response:
    """Move to another plan or number of seats, now or at period end; or show what that would do."""
    wish = Wish.of(call.body)
    if call.query["preview"] == "true":
        return answer(change_preview_view(preview_change(call.context(), subscription, wish)))
    return call.write(lambda context: change_subscription(context, subscription, wish), billed_view)


@operation(
    "POST",
    "/v1/subscriptions/{subscription}/cancel",
    scope="write",
    body=requests_billing.SubscriptionCancel,
    answer=views.SubscriptionView,
)
def cancel(call: Call, subscription: str) -> Response:
    """End a subscription with its present period, or now."""
    at_period_end, credit = call.body["at_period_end"], call.body["credit"]
    return call.write(
        lambda context: cancel_subscription(
            context, subscription, at_period_end=at_period_end, credit=credit
        ),
        billed_view,
    )


@operation(
    "POST",
    "/v1/subscriptions/{subscription}/pause",
    scope="write",
    body=requests_billing.SubscriptionPause,
    answer=views.SubscriptionView,
)
def pause(call: Call, subscription: str) -> Response:
    """Bill nothing until the subscription is resumed; the time paid for runs on, or is kept."""
    shifts = call.body["period"] == "shift"
    return call.write(lambda context: pause_subscription(context, subscription, shifts=shifts), billed_view)


@operation("POST", "/v1/subscriptions/{subscription}/resume", scope="write", answer=views.SubscriptionView)
def resume(call: Call, subscription: str) -> Response:
    """Go on billing a subscription that was paused."""
    return call.write(lambda context: resume_subscription(context, subscription), billed_view)


@operation(
    "POST", "/v1/subscriptions/{subscription}/reactivate", scope="write", answer=views.SubscriptionView
)
def reactivate(call: Call, subscription: str) -> Response:
    """Let a subscription go on that was set to end, or begin one again that has ended."""
    return call.write(lambda context: reactivate_subscription(context, subscription), billed_view)


@operation(
    "POST",
    "/v1/subscriptions/{subscription}/coupons",
    scope="write",
    body=requests_billing.CouponRedemption,
    answer=views.SubscriptionView,
)
def redeem(call: Call, subscription: str) -> Response:
    """Take a coupon off the invoices to come."""
    return call.write(lambda context: redeem_coupon(context, subscription, call.body["coupon"]), billed_view)


@operation(
    "POST",
    "/v1/subscriptions/{subscription}/items",
    scope="write",
    body=requests_billing.NewItem,
    answer=views.SubscriptionView,
)
def add_item(call: Call, subscription: str) -> Response:
    """Add a plan beside the subscription's own, from now."""
    plan, quantity = call.body["plan"], call.body["quantity"]
    return call.write(lambda context: add_plan(context, subscription, plan, quantity), billed_view)


@operation(
    "DELETE",
    "/v1/subscriptions/{subscription}/items/{item}",
    scope="write",
    answer=views.SubscriptionView,
)
def remove_item(call: Call, subscription: str, item: str) -> Response:
    """Take an added plan away, from now; what is left of its fee is credited."""
    return call.write(lambda context: remove_plan(context, subscription, item), billed_view)


@operation("POST", "/v1/subscriptions/{subscription}/renew", scope="write", answer=views.SubscriptionView)
def renew(call: Call, subscription: str) -> Response:
    """Do what the scheduler would do next: open the next period and bill it, once this one is over."""
    return call.write(lambda context: advance_subscription(context, subscription), billed_view)
