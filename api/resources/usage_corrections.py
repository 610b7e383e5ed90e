"""Corrections of usage: void or replaced, with a preview of what that does to invoices and quotas."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from flask import request

from api.edge import Call, answer, instant, money, operation
from api.idempotency import Answer, StoredAnswer
from commands.corrections import correct_usage, positions_of, preview_corrections, settle_ended
from consumers.due_work import wait_until_read
from ledger.streams import invoice as invoices
from ledger.values import quantity_text
from projections import billing
from schemas import requests_corrections
from schemas import responses_corrections as views

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from flask import Response
    from psycopg import Cursor
    from psycopg.rows import DictRow

    from api.idempotency import Slot
    from commands.context import Context, Done
    from commands.correction_effects import (
        ChangedCharge,
        ChangedQuota,
        Effects,
        Settlement,
        SubscriptionsOf,
    )
    from commands.corrections import CorrectedUsage, Made
    from commands.quotas import Quota
    from commands.subscriptions import Billed
    from ledger.events.usage_correction import UsageFacts

_WAIT_SECONDS: Final = 5.0
_DESCRIPTION: Final = (
    "Up to 1,000 usage events, each named by the source and the id it was sent with, are made void or get"
    " other facts: all of them, or none where one is refused. The events stay in the log as they were; a"
    " correction is an event itself and holds until the next one, so that what is void can be stated anew."
    " Account, meter and time are never corrected: make the event void, and send the right one under another"
    " id. `preview`, in the body or the query, shows what would become of usage, of what was invoiced and of"
    " quotas, and writes nothing. What was invoiced stays; the difference is issued as `settlements` say."
)


@operation(
    "POST",
    "/v1/usage/corrections",
    scope="write",
    body=requests_corrections.NewUsageCorrections,
    query=requests_corrections.UsageCorrectionsQuery,
    answer=views.UsageCorrectionsView,
    description=_DESCRIPTION,
)
def correct(call: Call) -> Response:
    """Void or replace usage events, or show what that would do."""
    wishes, reason = requests_corrections.read_corrections(request.get_data(cache=True)), call.body["reason"]
    context, named = call.context(), _subscriptions(call)
    if call.body["preview"] or not call.body["commit"] or call.query["preview"] == "true":
        return answer(_view(preview_corrections(context, wishes, reason, named), None))
    slot = call.slot
    if slot is not None:
        # Where there is something to settle afterwards, asking again must go on with that.
        storing = replace(context, extra_for=lambda made: None if made.effects.ended else _Stored(slot, made))
        done = correct_usage(storing, wishes, reason, named)
    else:
        done = correct_usage(context, wishes, reason, named)
    return _settled(call, context, done)


def _settled(call: Call, context: Context, done: Done[CorrectedUsage]) -> Response:
    """Bill what subscriptions that have ended are owed or owe, and answer."""
    corrected = done.result
    billed = settle_ended(context, corrected)
    reached = [
        one for one in (done.position, *(each.position for each in billed.values())) if one is not None
    ]
    position = max(reached, default=None)
    body = _view(corrected, positions_of(context, corrected.made), billed)
    response = answer(body, position=position)
    if call.slot is not None and corrected.effects.ended:
        stored = StoredAnswer(call.slot, response.status_code, response.get_data(), position)
        call.log.append(call.book, [], extra=stored)
    return response


@dataclass(frozen=True)
class _Stored:
    """The idempotent answer, stored with the corrections once their positions are known."""

    slot: Slot
    result: CorrectedUsage

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Claim the slot."""
        self.slot.claim(cursor)

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:
        """Fill the slot."""
        left = iter(positions)
        placed = [None if one.correction is None else next(left) for one in self.result.made]
        body = answer(_view(self.result, placed)).get_data()
        self.slot.fill(cursor, Answer(200, body, max(positions, default=None)))


def _subscriptions(call: Call) -> SubscriptionsOf:
    """Give what names the subscriptions of accounts that we bill, once all that was written can be seen."""

    def named(accounts: Iterable[str]) -> Mapping[str, Sequence[str]]:
        with call.reading() as connection:
            wait_until_read(connection, _WAIT_SECONDS, ("billing",))
            return billing.managed_subscriptions_of(connection, accounts)

    return named


def _view(
    corrected: CorrectedUsage,
    positions: Sequence[int | None] | None,
    billed: Mapping[str, Done[Billed]] | None = None,
) -> dict[str, Any]:
    """Show corrections and their effects; in a preview there are no positions, and nothing was billed."""
    effects, made = corrected.effects, corrected.made
    placed = [None] * len(made) if positions is None else list(positions)
    return {
        "preview": positions is None,
        "reason": corrected.reason,
        "corrections": [_made(one, position) for one, position in zip(made, placed, strict=True)],
        "usage": [
            {
                "account": one.account,
                "meter": one.meter,
                "quantity": quantity_text(one.change.quantity),
                "events": one.change.events,
            }
            for one in effects.uses
        ],
        "charges": [_charge(one) for one in effects.charges],
        "settlements": [_settlement(one, billed or {}) for one in effects.settlements],
        "totals": _totals(effects),
        "quotas": [_quota(one) for one in effects.quotas],
        "position": max((one for one in placed if one is not None), default=None),
    }


def _made(made: Made, position: int | None) -> dict[str, Any]:
    return {
        "source": made.event.source,
        "id": made.event.event_id,
        "account": made.event.account,
        "meter": made.event.meter,
        "time": instant(made.original.metadata.occurred_at),
        "original_position": made.original.position,
        "was": _facts(made.was),
        "becomes": _facts(made.becomes),
        "changed": made.correction is not None,
        "position": position,
    }


def _facts(facts: UsageFacts | None) -> dict[str, Any] | None:
    if facts is None:
        return None
    return {"quantity": quantity_text(facts.quantity), "properties": facts.properties}


def _charge(changed: ChangedCharge) -> dict[str, Any]:
    billed = changed.billed
    return {
        "account": changed.account,
        "subscription": changed.subscription,
        "invoices": [
            {
                "id": one.draft.invoice,
                "number": one.header.formatted_number if one.header else None,
                "status": one.status,
            }
            for one in changed.invoices
        ],
        "line": billed.line,
        "charge": billed.charge,
        "meter": changed.meter,
        "plan": billed.plan,
        "price_version": billed.price_version,
        "service_from": instant(billed.service_from),
        "service_to": instant(billed.service_to),
        "billed": money(billed.rated, changed.currency),
        **_amounts(changed.before, changed.after, changed.currency),
    }


def _settlement(settlement: Settlement, billed: Mapping[str, Done[Billed]]) -> dict[str, Any]:
    issued = billed.get(settlement.subscription)
    invoice = settlement.invoice
    if issued is not None and issued.result.invoice is not None:
        invoice = invoices.require(issued.result.invoice.state).draft.invoice
    return {
        "account": settlement.account,
        "subscription": settlement.subscription,
        "settled_by": settlement.by,
        "invoice": invoice,
        "due_at": instant(settlement.due_at),
        **_amounts(settlement.before, settlement.after, settlement.currency),
    }


def _amounts(before: int, after: int, currency: str) -> dict[str, Any]:
    return {
        "before": money(before, currency),
        "after": money(after, currency),
        "difference": money(after - before, currency),
    }


def _totals(effects: Effects) -> list[dict[str, Any]]:
    """Add up what is settled, by currency."""
    totals: dict[str, int] = {}
    for one in effects.settlements:
        totals[one.currency] = totals.get(one.currency, 0) + one.after - one.before
    return [money(total, currency) for currency, total in sorted(totals.items())]


def _quota(changed: ChangedQuota) -> dict[str, Any]:
    before = changed.before
    return {
        "account": changed.account,
        "feature": before.feature,
        "limit": None if before.limit is None else quantity_text(before.limit),
        "period_from": instant(before.period_from),
        "resets_at": instant(before.resets_at),
        "before": _use(before),
        "after": _use(changed.after),
    }


def _use(quota: Quota) -> dict[str, Any]:
    remaining = quota.remaining
    return {
        "used": quantity_text(quota.used),
        "remaining": None if remaining is None else quantity_text(remaining),
    }
