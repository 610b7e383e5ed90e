"""What the edge answers of the clock of a test book."""

from __future__ import annotations

from marshmallow import fields

from schemas.responses import View


class JobRefusedView(View):
    """Something that was due and could not be done; it is tried again when the clock is set again."""

    kind = fields.String(required=True)
    subject = fields.String(required=True)
    due_at = fields.AwareDateTime(required=True)
    code = fields.String(required=True)
    detail = fields.String(required=True)


class ClockView(View):
    """The time in the book; `set` is false where that is the wall's, because nobody ever set the clock."""

    now = fields.AwareDateTime(required=True)
    set = fields.Boolean(required=True)


class ClockMovedView(ClockView):
    """The time in the book, and how many jobs fell due on the way there and were done, or were not."""

    jobs = fields.Integer(required=True)
    refused = fields.List(fields.Nested(JobRefusedView), required=True)
