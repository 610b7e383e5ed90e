"""Plans: what an account can subscribe to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.edge import Call, answer, operation, page
from api.resources.views import plan_row_view, plan_view
from commands.plans import create_plan, retire_plan
from commands.streams import stream_or_not_found
from ledger.streams import plan as plans
from ledger.streams.base import fold
from projections import billing
from schemas import requests, responses

if TYPE_CHECKING:
    from flask import Response


@operation("POST", "/v1/plans", scope="write", body=requests.NewPlan, answer=responses.PlanView, status=201)
def create(call: Call) -> Response:
    """Create a plan with one recurring fee in advance."""
    body = call.body
    return call.write(
        lambda context: create_plan(
            context, body["name"], body["currency"], body["interval"], body["amount"]
        ),
        plan_view,
        201,
    )


@operation(
    "GET", "/v1/plans", scope="read", query=requests.PlansPaged, answer=responses.page_of(responses.PlanView)
)
def list_plans(call: Call) -> Response:
    """List the book's plans, by id."""
    limit = call.query["limit"]
    with call.reading() as connection:
        call.wait_for(connection, "billing")
        rows = billing.list_plans(connection, call.query.get("after"), limit + 1)
    rows, following = page(rows, limit, lambda row: row["plan"])
    return answer({"data": [plan_row_view(row) for row in rows], "next": following})


@operation("GET", "/v1/plans/{plan}", scope="read", query=requests.Read, answer=responses.PlanView)
def get_plan(call: Call, plan: str) -> Response:
    """Show a plan as the log has it now."""
    return answer(plan_view(fold(plans.evolve, call.log.load(call.book, stream_or_not_found("plan", plan)))))


@operation("POST", "/v1/plans/{plan}/retire", scope="write", body=requests.Reason, answer=responses.PlanView)
def retire(call: Call, plan: str) -> Response:
    """Take a plan off sale; those that have it keep it."""
    return call.write(lambda context: retire_plan(context, plan, call.body["reason"]), plan_view)
