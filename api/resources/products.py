"""Products: what plans sell, as reports name it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.edge import Call, answer, operation
from api.resources.catalogue_views import product_row_view, product_view
from api.resources.listing import catalogue_page
from commands.products import define_product, describe_product, retire_product
from commands.streams import stream_or_not_found
from ledger.streams import product as products
from ledger.streams.base import fold
from schemas import requests, requests_catalogue, responses, responses_catalogue

if TYPE_CHECKING:
    from flask import Response


@operation(
    "POST",
    "/v1/products",
    scope="write",
    body=requests_catalogue.NewProduct,
    answer=responses_catalogue.ProductView,
    status=201,
    description="An external id names one product for ever.",
)
def define(call: Call) -> Response:
    """Define a product."""
    body = call.body
    return call.write(
        lambda context: define_product(context, body["name"], body["external_id"], body["metadata"]),
        product_view,
        201,
    )


@operation(
    "GET",
    "/v1/products",
    scope="read",
    query=requests_catalogue.ProductsPaged,
    answer=responses.page_of(responses_catalogue.ProductView),
)
def list_products(call: Call) -> Response:
    """List the book's products, by id."""
    external_id = call.query.get("external_id")
    only = None if external_id is None else products.product_id(call.book, external_id)
    return catalogue_page(call, "product", product_row_view, only)


@operation(
    "GET",
    "/v1/products/{product}",
    scope="read",
    query=requests.Read,
    answer=responses_catalogue.ProductView,
)
def get_product(call: Call, product: str) -> Response:
    """Show a product as the log has it now."""
    stream = stream_or_not_found("prod", product)
    return answer(product_view(fold(products.evolve, call.log.load(call.book, stream))))


@operation(
    "PATCH",
    "/v1/products/{product}",
    scope="write",
    body=requests_catalogue.Description,
    answer=responses_catalogue.ProductView,
)
def describe(call: Call, product: str) -> Response:
    """Give a product another name or other metadata."""
    body = call.body
    return call.write(
        lambda context: describe_product(context, product, body["name"], body["metadata"]), product_view
    )


@operation(
    "POST",
    "/v1/products/{product}/retire",
    scope="write",
    body=requests.Reason,
    answer=responses_catalogue.ProductView,
)
def retire(call: Call, product: str) -> Response:
    """Let no new plan sell a product; those that do go on."""
    return call.write(lambda context: retire_product(context, product, call.body["reason"]), product_view)
