"""Tax rates: how much, where and why, version by version."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from api.edge import Call, answer, operation
from api.resources.catalogue_views import tax_rate_row_view, tax_rate_view
from api.resources.listing import catalogue_page
from commands.streams import stream_or_not_found
from commands.tax_rates import define_tax_rate, redefine_tax_rate, retire_tax_rate
from ledger.streams import tax_rate as tax_rates
from ledger.streams.base import fold
from schemas import requests, requests_catalogue, responses, responses_catalogue

if TYPE_CHECKING:
    from flask import Response


@operation(
    "POST",
    "/v1/tax-rates",
    scope="write",
    body=requests_catalogue.NewTaxRate,
    answer=responses_catalogue.TaxRateView,
    status=201,
    description=(
        "Its first version holds from the beginning: a tax that begins on a day begins as a rate of 0 per"
        " cent, with a second version from that day. Jurisdiction and behaviour are its own for good."
    ),
)
def define(call: Call) -> Response:
    """Define a tax rate."""
    body = call.body
    terms = requests_catalogue.tax_terms_of(body)
    return call.write(
        lambda context: define_tax_rate(context, terms, body["external_id"], body["metadata"]),
        partial(tax_rate_view, now=call.now),
        201,
    )


@operation(
    "GET",
    "/v1/tax-rates",
    scope="read",
    query=requests_catalogue.TaxRatesPaged,
    answer=responses.page_of(responses_catalogue.TaxRateView),
)
def list_tax_rates(call: Call) -> Response:
    """List the book's tax rates, by id."""
    external_id = call.query.get("external_id")
    only = None if external_id is None else tax_rates.tax_rate_id(call.book, external_id)
    return catalogue_page(call, "tax_rate", partial(tax_rate_row_view, now=call.now), only)


@operation(
    "GET",
    "/v1/tax-rates/{tax_rate}",
    scope="read",
    query=requests.Read,
    answer=responses_catalogue.TaxRateView,
)
def get_tax_rate(call: Call, tax_rate: str) -> Response:
    """Show a tax rate as the log has it now."""
    stream = stream_or_not_found("tax", tax_rate)
    return answer(tax_rate_view(fold(tax_rates.evolve, call.log.load(call.book, stream)), call.now))


@operation(
    "POST",
    "/v1/tax-rates/{tax_rate}/versions",
    scope="write",
    body=requests_catalogue.NewTaxRateVersion,
    answer=responses_catalogue.TaxRateView,
    status=201,
)
def redefine(call: Call, tax_rate: str) -> Response:
    """Give a tax rate another version from an instant on; invoices issued before stay as they are."""
    body = call.body
    return call.write(
        lambda context: redefine_tax_rate(context, tax_rate, **body),
        partial(tax_rate_view, now=call.now),
        201,
    )


@operation(
    "POST",
    "/v1/tax-rates/{tax_rate}/retire",
    scope="write",
    body=requests.Reason,
    answer=responses_catalogue.TaxRateView,
)
def retire(call: Call, tax_rate: str) -> Response:
    """Let no new plan name a tax rate; those that do go on."""
    return call.write(
        lambda context: retire_tax_rate(context, tax_rate, call.body["reason"]),
        partial(tax_rate_view, now=call.now),
    )
