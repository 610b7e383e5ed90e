"""Coupons: what they take off, and how often they were redeemed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.edge import Call, answer, operation
from api.resources.catalogue_views import coupon_row_view, coupon_view
from api.resources.listing import catalogue_page
from commands.coupons import create_coupon, retire_coupon
from commands.streams import find_coupon
from ledger.streams import coupon as coupons
from ledger.streams.base import fold
from schemas import requests, requests_catalogue, responses, responses_catalogue

if TYPE_CHECKING:
    from flask import Response


@operation(
    "POST",
    "/v1/coupons",
    scope="write",
    body=requests_catalogue.NewCoupon,
    answer=responses_catalogue.CouponView,
    status=201,
    description=(
        "It takes off `percent_off` per cent, or `amounts_off` by currency; once, forever, or repeating for"
        " `periods` invoices. Where `plans` or `meters` are named, it is taken off those alone. It can be"
        " redeemed before `redeem_by` and `max_redemptions` times. What it takes off never changes."
    ),
)
def create(call: Call) -> Response:
    """Create a coupon."""
    body = call.body
    terms = requests_catalogue.coupon_terms_of(body)
    name = body["name"] or body["code"]
    return call.write(
        lambda context: create_coupon(
            context, body["code"], name, terms, body["external_id"], body["metadata"]
        ),
        coupon_view,
        201,
    )


@operation(
    "GET",
    "/v1/coupons",
    scope="read",
    query=requests_catalogue.CouponsPaged,
    answer=responses.page_of(responses_catalogue.CouponView),
)
def list_coupons(call: Call) -> Response:
    """List the book's coupons, by id."""
    code = call.query.get("code")
    return catalogue_page(
        call, "coupon", coupon_row_view, None if code is None else coupons.coupon_id(call.book, code)
    )


@operation(
    "GET",
    "/v1/coupons/{coupon}",
    scope="read",
    query=requests.Read,
    answer=responses_catalogue.CouponView,
)
def get_coupon(call: Call, coupon: str) -> Response:
    """Show a coupon, named by its id or its code, as the log has it now."""
    stream = find_coupon(call.book, coupon)
    return answer(coupon_view(fold(coupons.evolve, call.log.load(call.book, stream))))


@operation(
    "POST",
    "/v1/coupons/{coupon}/retire",
    scope="write",
    body=requests.Reason,
    answer=responses_catalogue.CouponView,
)
def retire(call: Call, coupon: str) -> Response:
    """Let nobody redeem a coupon from now on; those who have it keep it."""
    return call.write(lambda context: retire_coupon(context, coupon, call.body["reason"]), coupon_view)
