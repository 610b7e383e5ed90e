"""What the edge answers about corrections of usage."""

from __future__ import annotations

from marshmallow import fields

from schemas.responses import MoneyView, View
from schemas.responses import instant_field as _instant
from schemas.responses import text_field as _text
from schemas.responses import whole_field as _whole


class UsageFactsView(View):
    """What a usage event says."""

    quantity = _text()
    properties = fields.Dict(keys=fields.String(), values=fields.Raw(allow_none=True), required=True)


class UsageCorrectionView(View):
    """A usage event before and after its correction, null where it is void, and where in the log that is.

    Without a change it said so already, and there is no position.
    """

    source = _text()
    id = _text()
    account = _text()
    meter = _text()
    time = _instant()
    original_position = _whole()
    was = fields.Nested(UsageFactsView, required=True, allow_none=True)
    becomes = fields.Nested(UsageFactsView, required=True, allow_none=True)
    changed = fields.Boolean(required=True)
    position = _whole(allow_none=True)


class ChangedUseView(View):
    """By how much an account's usage of a meter changes, and its number of events."""

    account = _text()
    meter = _text()
    quantity = _text()
    events = _whole()


class CorrectedInvoiceView(View):
    """An invoice that a charge is on."""

    id = _text()
    number = _text(allow_none=True)
    status = _text()


class ChangedChargeView(View):
    """What a charge of a stretch of time that was invoiced comes to, without the corrections and with them.

    Before discounts, minimums and taxes. `billed` is what was invoiced of it so far, first on `line`; usage
    that came late and waits to be billed is in `before` too. Invoices come newest first.
    """

    account = _text()
    subscription = _text()
    invoices = fields.List(fields.Nested(CorrectedInvoiceView), required=True)
    line = _text(allow_none=True)
    charge = _text()
    meter = _text()
    plan = _text()
    price_version = _whole()
    service_from = _instant()
    service_to = _instant()
    billed = fields.Nested(MoneyView, required=True)
    before = fields.Nested(MoneyView, required=True)
    after = fields.Nested(MoneyView, required=True)
    difference = fields.Nested(MoneyView, required=True)


class DifferenceSettledView(View):
    """How a subscription's difference is settled, and what that comes to, without corrections and with them.

    `settled_by` is `next_invoice`, by a line of it, due at that time; `credit_note`, which is issued then;
    `draft`, an invoice that takes it in before it is finalized; or `invoice`, one that is issued at once for
    a subscription that has ended. Discounts, minimums and taxes are in the amounts, and what credit notes
    give back is taken off.
    """

    account = _text()
    subscription = _text()
    settled_by = _text()
    invoice = _text(allow_none=True)
    due_at = _instant(allow_none=True)
    before = fields.Nested(MoneyView, required=True)
    after = fields.Nested(MoneyView, required=True)
    difference = fields.Nested(MoneyView, required=True)


class QuotaUseView(View):
    """How much of a quota is used, and what is left of it; null means as much as they like."""

    used = _text()
    remaining = _text(allow_none=True)


class ChangedQuotaView(View):
    """A quota of an account's present period, without the corrections and with them."""

    account = _text()
    feature = _text()
    limit = _text(allow_none=True)
    period_from = _instant()
    resets_at = _instant()
    before = fields.Nested(QuotaUseView, required=True)
    after = fields.Nested(QuotaUseView, required=True)


class UsageCorrectionsView(View):
    """Corrections and what they do; in a preview nothing was written, and there are no positions."""

    preview = fields.Boolean(required=True)
    reason = _text()
    corrections = fields.List(fields.Nested(UsageCorrectionView), required=True)
    usage = fields.List(fields.Nested(ChangedUseView), required=True)
    charges = fields.List(fields.Nested(ChangedChargeView), required=True)
    settlements = fields.List(fields.Nested(DifferenceSettledView), required=True)
    totals = fields.List(fields.Nested(MoneyView), required=True)
    quotas = fields.List(fields.Nested(ChangedQuotaView), required=True)
    position = _whole(allow_none=True)
