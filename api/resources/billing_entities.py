"""Billing entities: the sellers that invoices are issued by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.edge import Call, answer, operation
from api.resources.catalogue_views import entity_row_view, entity_view
from api.resources.listing import catalogue_page
from commands.billing_entities import change_billing_entity, define_billing_entity
from ledger.streams import billing_entity as entities
from ledger.streams import book as books
from ledger.streams.base import fold
from schemas import requests, requests_catalogue, responses, responses_catalogue

if TYPE_CHECKING:
    from flask import Response


@operation(
    "POST",
    "/v1/billing-entities",
    scope="write",
    body=requests_catalogue.NewBillingEntity,
    answer=responses_catalogue.BillingEntityView,
    status=201,
    description="A book opens with one, `default`, named after its organisation.",
)
def define(call: Call) -> Response:
    """Define a seller with its tax id, number series and payment terms."""
    entity = requests_catalogue.entity_of(call.body)
    return call.write(lambda context: define_billing_entity(context, entity), entity_view, 201)


@operation(
    "GET",
    "/v1/billing-entities",
    scope="read",
    query=requests_catalogue.BillingEntitiesPaged,
    answer=responses.page_of(responses_catalogue.BillingEntityView),
)
def list_billing_entities(call: Call) -> Response:
    """List the book's sellers, by code."""
    return catalogue_page(call, "billing_entity", entity_row_view)


@operation(
    "GET",
    "/v1/billing-entities/{billing_entity}",
    scope="read",
    query=requests.Read,
    answer=responses_catalogue.BillingEntityView,
)
def get_billing_entity(call: Call, billing_entity: str) -> Response:
    """Show a seller as the log has it now."""
    book = books.require(fold(books.evolve, call.log.load(call.book, call.book)).state)
    return answer(entity_view(entities.require(book.billing_entities, billing_entity)))


@operation(
    "PATCH",
    "/v1/billing-entities/{billing_entity}",
    scope="write",
    body=requests_catalogue.BillingEntityChange,
    answer=responses_catalogue.BillingEntityView,
)
def change(call: Call, billing_entity: str) -> Response:
    """Change a seller from here on; invoices issued before keep what they say."""
    return call.write(lambda context: change_billing_entity(context, billing_entity, call.body), entity_view)
