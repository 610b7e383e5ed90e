"""Meters: how usage events are added up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.edge import Call, answer, operation
from api.resources.catalogue_views import meter_row_view, meter_view
from api.resources.listing import catalogue_page
from commands.meters import define_meter, describe_meter, find_meter, retire_meter
from ledger.streams import meter as meters
from ledger.streams.base import fold
from schemas import requests, requests_catalogue, responses, responses_catalogue

if TYPE_CHECKING:
    from flask import Response


@operation(
    "POST",
    "/v1/meters",
    scope="write",
    body=requests_catalogue.NewMeter,
    answer=responses_catalogue.MeterDefinitionView,
    status=201,
    description=(
        "Plans charge by its code; what it measures never changes. A plan that charges by an event type no"
        " meter has as its code defines one that adds up the quantities."
    ),
)
def define(call: Call) -> Response:
    """Define a meter."""
    body = call.body
    definition = requests_catalogue.definition_of(body)
    return call.write(
        lambda context: define_meter(context, definition, body["external_id"], body["metadata"]),
        meter_view,
        201,
    )


@operation(
    "GET",
    "/v1/meters",
    scope="read",
    query=requests_catalogue.MetersPaged,
    answer=responses.page_of(responses_catalogue.MeterDefinitionView),
)
def list_meters(call: Call) -> Response:
    """List the book's meters, by id."""
    code = call.query.get("code")
    return catalogue_page(
        call, "meter", meter_row_view, None if code is None else meters.meter_id(call.book, code)
    )


@operation(
    "GET",
    "/v1/meters/{meter}",
    scope="read",
    query=requests.Read,
    answer=responses_catalogue.MeterDefinitionView,
)
def get_meter(call: Call, meter: str) -> Response:
    """Show a meter, named by its id or its code, as the log has it now."""
    stream = find_meter(call.book, meter)
    return answer(meter_view(fold(meters.evolve, call.log.load(call.book, stream))))


@operation(
    "PATCH",
    "/v1/meters/{meter}",
    scope="write",
    body=requests_catalogue.Description,
    answer=responses_catalogue.MeterDefinitionView,
)
def describe(call: Call, meter: str) -> Response:
    """Give a meter another name or other metadata."""
    body = call.body
    return call.write(
        lambda context: describe_meter(context, meter, body["name"], body["metadata"]), meter_view
    )


@operation(
    "POST",
    "/v1/meters/{meter}/retire",
    scope="write",
    body=requests.Reason,
    answer=responses_catalogue.MeterDefinitionView,
)
def retire(call: Call, meter: str) -> Response:
    """Let no new plan charge by a meter; those that do go on."""
    return call.write(lambda context: retire_meter(context, meter, call.body["reason"]), meter_view)
