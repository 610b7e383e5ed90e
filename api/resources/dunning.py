"""Dunning: what a book does about invoices past due, of what it gives notice, and how far that has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.edge import Call, answer, instant, operation
from commands.dunning import adopt_dunning, load_dunning
from commands.streams import stream_or_not_found
from ledger.events.invoice import DunningStepTaken
from ledger.past_due import coming_steps, due_steps, past_due_of
from ledger.streams import invoice as invoices
from ledger.streams.base import fold
from ledger.streams.dunning import Dunning
from schemas.requests_dunning import NewDunningPolicy, dunning_terms
from schemas.responses_dunning import DunningPolicyView, InvoiceDunningView

if TYPE_CHECKING:
    from flask import Response

    from ledger.events import Recorded
    from ledger.past_due import PastDue
    from ledger.streams.base import Stream

_DESCRIPTION: Final = (
    "Steps are taken as the local day begins, in the book's zone, so many days after an invoice was due"
    ", each once, until it is paid. `remind` is an event that a mailer acts on; `retry` asks the payment"
    " gateway, if there is one; `suspend_keys` suspends the account's keys until the invoice is paid;"
    " `mark_uncollectible` gives up what it asks for; `cancel_subscription` ends, now and with no credit, the"
    " subscription that it bills. The version in force when a step falls due decides: steps that lie behind"
    " when a policy is adopted are not taken. Adopting the policy in force changes nothing; without steps and"
    " notices, nothing is done from now on."
)


@operation("GET", "/v1/dunning-policy", scope="read", answer=DunningPolicyView)
def get_dunning_policy(call: Call) -> Response:
    """Show what the book does about invoices past due, and of what it gives notice."""
    return answer(_policy_view(load_dunning(call.log, call.book)))


@operation(
    "POST",
    "/v1/dunning-policy",
    scope="admin",
    body=NewDunningPolicy,
    answer=DunningPolicyView,
    description=_DESCRIPTION,
)
def adopt(call: Call) -> Response:
    """Adopt other steps and notices, from now on."""
    terms = dunning_terms(call.body)
    return call.write(lambda context: adopt_dunning(context, terms), _adopted_view)


@operation("GET", "/v1/invoices/{invoice}/dunning", scope="read", answer=InvoiceDunningView, refusals=(404,))
def get_invoice_dunning(call: Call, invoice: str) -> Response:
    """Show the steps taken about an invoice, and those to come while it is not paid."""
    recorded = call.log.load(call.book, stream_or_not_found("inv", invoice))
    state = invoices.require(fold(invoices.evolve, recorded).state)
    call.require_account(state.draft.account)
    taken = [_taken_view(one, one.event) for one in recorded if isinstance(one.event, DunningStepTaken)]
    coming = _coming(load_dunning(call.log, call.book), past_due_of(recorded))
    return answer({"invoice": invoice, "status": state.status, "taken": taken, "coming": coming})


def _coming(dunning: Dunning, state: PastDue | None) -> list[dict[str, Any]]:
    if state is None or state.is_over:
        return []
    steps = due_steps(dunning, state) if state.settled_at is not None else coming_steps(dunning, state)
    return [{"action": step.action, "due_at": instant(step.due_at)} for step in steps]


def _taken_view(recorded: Recorded, event: DunningStepTaken) -> dict[str, Any]:
    return {
        "step": event.step,
        "action": event.action,
        "due_at": instant(event.due_at),
        "taken_at": instant(recorded.metadata.occurred_at),
        "outcome": event.outcome,
    }


def _adopted_view(adopted: Stream[Dunning]) -> dict[str, Any]:
    return _policy_view(adopted.state or Dunning())


def _policy_view(dunning: Dunning) -> dict[str, Any]:
    last = dunning.last
    steps = () if last is None else last.steps
    return {
        "version": 0 if last is None else last.policy_version,
        "in_force_from": None if last is None else instant(last.in_force_from),
        "time_zone": None if last is None else last.time_zone,
        "steps": [{"days_after_due": one.days_after_due, "action": one.action} for one in steps],
        "notices": {
            "renewal_days_before": None if last is None else last.renewal_days_before,
            "trial_end_days_before": None if last is None else last.trial_end_days_before,
        },
    }
