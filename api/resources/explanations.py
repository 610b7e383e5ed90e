"""Explanations: why an invoice is what it is, line by line, down to the usage events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.edge import Call, answer, operation
from api.resources.billing_views import line_view, usage_view
from api.resources.events import event_view
from api.resources.plain import plain
from commands.explaining import ask_behind, line_of, recompute
from commands.streams import stream_or_not_found
from ledger.policies import resolved
from ledger.streams import invoice as invoices
from ledger.streams.base import fold
from projections.measured import MeasuredUsage
from schemas import requests, responses
from schemas import responses_billing as views

if TYPE_CHECKING:
    from flask import Response

    from commands.explaining import Recomputed
    from ledger.assembly import Bill
    from ledger.events.invoice import InvoiceLine
    from ledger.events.plan import RecurringFee, SetupFee, UsageCharge


@operation(
    "GET",
    "/v1/invoices/{invoice}/explain",
    scope="read",
    book_wide=False,
    query=requests.Read,
    answer=views.ExplainedInvoiceView,
)
def explain(call: Call, invoice: str) -> Response:
    """Explain each line: its price version, formula, rounding and usage; and compare it with the log."""
    recomputed = _recomputed(call, invoice)
    state = invoices.require(recomputed.invoice.state)
    asks = {line.line: ask_behind(line, state.draft.account, recomputed.bill) for line in state.draft.lines}
    wanted = {line: ask for line, ask in asks.items() if ask is not None}
    usage = MeasuredUsage(call.log)
    digests = dict(zip(wanted, usage.digests(call.book, list(wanted.values())), strict=True))
    return answer(
        {
            "invoice": state.draft.invoice,
            "computed_at_position": state.draft.computed_at_position,
            "policy_version": state.draft.policy_version,
            "equal": recomputed.equal,
            "differences": list(recomputed.differences),
            "lines": [
                _explained(line, state, recomputed, digests.get(line.line)) for line in state.draft.lines
            ],
        }
    )


@operation(
    "GET",
    "/v1/invoices/{invoice}/lines/{line}/events",
    scope="read",
    book_wide=False,
    query=requests.PositionPaged,
    answer=responses.page_of(responses.EventView),
)
def usage_behind(call: Call, invoice: str, line: str) -> Response:
    """List the usage events behind a line, in log order."""
    recomputed = _recomputed(call, invoice)
    state = invoices.require(recomputed.invoice.state)
    ask = ask_behind(line_of(state, line), state.draft.account, recomputed.bill)
    if ask is None:
        return answer({"data": [], "next": None})
    limit = call.query["limit"]
    listed = MeasuredUsage(call.log).listing(call.book, ask, call.query.get("after") or 0, limit)
    events = call.log.at_positions(call.book, listed.positions)
    following = None if listed.next is None else str(listed.next)
    return answer({"data": [event_view(one) for one in events], "next": following})


def _recomputed(call: Call, invoice: str) -> Recomputed:
    """Put an invoice together again, if it is one that the caller may see."""
    stream = fold(invoices.evolve, call.log.load(call.book, stream_or_not_found("inv", invoice)))
    call.require_account(invoices.require(stream.state).draft.account)
    return recompute(call.context(), invoice)


def _explained(
    line: InvoiceLine, state: invoices.Invoice, recomputed: Recomputed, digest: str | None
) -> dict[str, Any]:
    return {
        "line": line_view(line, state.draft.currency),
        "price": None if recomputed.bill is None else _price(line, recomputed.bill),
        "policy": {} if recomputed.bill is None else _policy(line, recomputed.bill),
        "formula": None if line.rating is None else line.rating.formula,
        "exact": None if line.rating is None else line.rating.exact,
        "rounding": None if line.rating is None else line.rating.rounding,
        "usage": None if line.usage is None or digest is None else _usage(line, state, digest),
    }


def _usage(line: InvoiceLine, state: invoices.Invoice, digest: str) -> dict[str, Any]:
    assert line.usage is not None, "asked of a line of usage"
    url = f"/v1/invoices/{state.draft.invoice}/lines/{line.line}/events"
    return {**usage_view(line, line.usage), "digest": digest, "events_url": url}


def _price(line: InvoiceLine, bill: Bill) -> dict[str, Any] | None:
    """Show the part of the price version that a line was made from."""
    if line.plan is None or line.price_version is None:
        return None
    part = _part(line, bill)
    return {
        "plan": line.plan,
        "price_version": line.price_version,
        "part": None if part is None else plain(part),
    }


def _part(line: InvoiceLine, bill: Bill) -> UsageCharge | RecurringFee | SetupFee | None:
    assert line.plan is not None, "a line of a plan"
    assert line.price_version is not None, "at a price version"
    plan = bill.plans.get((line.plan, line.price_version))
    if plan is None:
        return None
    if line.usage is not None:
        return next((one for one in plan.charges if one.code == line.usage.charge), None)
    if line.kind == "setup_fee":
        return plan.terms.setup_fee
    fees = plan.fees("arrears" if line.kind == "fee_in_arrears" else "advance")
    return fees[line.sequence - 1] if line.kind.startswith("fee") and line.sequence <= len(fees) else None


def _policy(line: InvoiceLine, bill: Bill) -> dict[str, str]:
    """Show the billing conventions of the policy version that a line names."""
    policy = bill.policies.get(line.policy_version)
    return {} if policy is None else resolved(policy)["billing"]
