"""What the edge answers about dunning and notices."""

from __future__ import annotations

from marshmallow import fields

from schemas.responses import View, instant_field, text_field, whole_field


class DunningStepView(View):
    """What is done so many days after the day an invoice was due on."""

    days_after_due = whole_field()
    action = text_field()


class NoticesView(View):
    """How many days ahead an account is told that its subscription renews, or its trial ends."""

    renewal_days_before = whole_field(allow_none=True)
    trial_end_days_before = whole_field(allow_none=True)


class DunningPolicyView(View):
    """A version of what is done about invoices past due; version 0 is that nothing is, before the first."""

    version = whole_field()
    in_force_from = instant_field(allow_none=True)
    time_zone = text_field(allow_none=True)
    steps = fields.List(fields.Nested(DunningStepView), required=True)
    notices = fields.Nested(NoticesView, required=True)


class StepTakenView(View):
    """A step that was taken: what it was, when it was due, when it was taken, and what came of it."""

    step = whole_field()
    action = text_field()
    due_at = instant_field()
    taken_at = instant_field()
    outcome = text_field()


class StepComingView(View):
    """A step that is to come while the invoice is not paid."""

    action = text_field()
    due_at = instant_field()


class InvoiceDunningView(View):
    """How far dunning has come with an invoice, and what is to come by the policy as it is now."""

    invoice = text_field()
    status = text_field()
    taken = fields.List(fields.Nested(StepTakenView), required=True)
    coming = fields.List(fields.Nested(StepComingView), required=True)
