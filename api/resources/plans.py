"""Plans: what an account can subscribe to, and at which prices, version by version."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from api.edge import Call, answer, operation, page
from api.resources.plan_views import plan_row_view, plan_view
from commands.plans import PlanDraft, create_plan_of, describe_plan, reprice_plan, retire_plan
from commands.streams import stream_or_not_found
from ledger.streams import plan as plans
from ledger.streams.base import fold
from projections import billing
from schemas import requests, requests_catalogue, requests_plans, responses, responses_catalogue
from schemas.requests_plans import terms_of

if TYPE_CHECKING:
    from flask import Response

    from ledger.streams.base import Stream


@operation(
    "POST",
    "/v1/plans",
    scope="write",
    body=requests_plans.NewPlan,
    answer=responses_catalogue.PlanView,
    status=201,
    description=(
        "The plainest plan is one fee in advance: `currency` and `amount`, in minor units. Any other lists"
        " its `fees` (amounts by currency) and `charges` (prices as for `POST /v1/prices/preview`, one for"
        " each currency); it is sold in the currencies that all of them have. An external id names one plan"
        " for ever."
    ),
)
def create(call: Call) -> Response:
    """Create a plan with its first price version."""
    body = call.body
    draft = PlanDraft(
        name=body["name"],
        terms=terms_of(body, body["name"]),
        product=body["product"],
        external_id=body["external_id"],
        metadata=body["metadata"],
    )
    return call.write(lambda context: create_plan_of(context, draft), partial(plan_view, now=call.now), 201)


@operation(
    "GET",
    "/v1/plans",
    scope="read",
    query=requests_catalogue.PlansPaged,
    answer=responses.page_of(responses_catalogue.PlanView),
)
def list_plans(call: Call) -> Response:
    """List the book's plans, by id."""
    query = call.query
    external_id = query.get("external_id")
    only = None if external_id is None else plans.plan_id(call.book, external_id)
    with call.reading() as connection:
        call.wait_for(connection, "billing")
        rows = billing.list_plans(
            connection, query.get("after"), query["limit"] + 1, only=only, status=query.get("status")
        )
    rows, following = page(rows, query["limit"], lambda row: row["plan"])
    return answer({"data": [plan_row_view(row, call.now) for row in rows], "next": following})


@operation("GET", "/v1/plans/{plan}", scope="read", query=requests.Read, answer=responses_catalogue.PlanView)
def get_plan(call: Call, plan: str) -> Response:
    """Show a plan with every price version, as the log has it now."""
    return answer(plan_view(_load(call, plan), call.now))


@operation(
    "PATCH",
    "/v1/plans/{plan}",
    scope="write",
    body=requests_catalogue.Description,
    answer=responses_catalogue.PlanView,
)
def describe(call: Call, plan: str) -> Response:
    """Give a plan another name or other metadata; what it costs stays."""
    body = call.body
    return call.write(
        lambda context: describe_plan(context, plan, body["name"], body["metadata"]),
        partial(plan_view, now=call.now),
    )


@operation(
    "POST",
    "/v1/plans/{plan}/prices",
    scope="write",
    body=requests_plans.NewPrices,
    answer=responses_catalogue.PlanView,
    status=201,
    description="The terms are sent whole. Who subscribed before keeps the price version they have.",
)
def reprice(call: Call, plan: str) -> Response:
    """Give a plan a new price version, for those who subscribe or move to it from an instant on."""
    body = call.body
    terms = terms_of(body, plans.require(_load(call, plan).state).name)
    return call.write(
        lambda context: reprice_plan(context, plan, terms, body["effective_at"]),
        partial(plan_view, now=call.now),
        201,
    )


@operation(
    "POST",
    "/v1/plans/{plan}/retire",
    scope="write",
    body=requests.Reason,
    answer=responses_catalogue.PlanView,
)
def retire(call: Call, plan: str) -> Response:
    """Take a plan off sale; those that have it keep it."""
    return call.write(
        lambda context: retire_plan(context, plan, call.body["reason"]), partial(plan_view, now=call.now)
    )


def _load(call: Call, plan: str) -> Stream[plans.Plan]:
    return fold(plans.evolve, call.log.load(call.book, stream_or_not_found("plan", plan)))
