"""What the edge takes about dunning and notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import fields, validate

from ledger.events.dunning import DunningStep
from ledger.streams.dunning import ACTIONS, MAX_DAYS, MAX_STEPS, DunningTerms
from schemas.fields import Strict, strict_integer

if TYPE_CHECKING:
    from collections.abc import Mapping


class DunningStepBody(Strict):
    """What is done so many days after the day an invoice was due on."""

    days_after_due = strict_integer(required=True, validate=validate.Range(min=0, max=MAX_DAYS))
    action = fields.String(required=True, validate=validate.OneOf(ACTIONS))


class NoticesBody(Strict):
    """How many days ahead an account is told that its subscription renews, or its trial ends; null: never."""

    renewal_days_before = strict_integer(
        allow_none=True, load_default=None, validate=validate.Range(min=0, max=MAX_DAYS)
    )
    trial_end_days_before = strict_integer(
        allow_none=True, load_default=None, validate=validate.Range(min=0, max=MAX_DAYS)
    )


class NewDunningPolicy(Strict):
    """Steps in the order they are taken, and notices; what is left out is not done."""

    steps = fields.List(
        fields.Nested(DunningStepBody), load_default=list, validate=validate.Length(max=MAX_STEPS)
    )
    notices = fields.Nested(NoticesBody, load_default=None, allow_none=True)


def dunning_terms(body: Mapping[str, Any]) -> DunningTerms:
    """Make the terms that a body holds."""
    return DunningTerms(steps=tuple(DunningStep(**step) for step in body["steps"]), **(body["notices"] or {}))
