"""What the edge answers about subscriptions and invoices."""

from __future__ import annotations

from marshmallow import fields

from schemas.responses import (
    AccountView,
    CurrencyBalanceView,
    KeyView,
    LedgerBalanceView,
    MeterView,
    MoneyView,
    PaymentView,
    View,
)
from schemas.responses import instant_field as _instant
from schemas.responses import text_field as _text
from schemas.responses import whole_field as _whole


class PeriodView(View):
    """A billing period, from its start up to but without its end."""

    id = _text()
    starts_at = _instant()
    ends_at = _instant()


class ProrationView(View):
    """An amount that waits for the next invoice."""

    kind = _text()
    item = _text()
    plan = _text()
    quantity = _whole()
    amount = fields.Nested(MoneyView, required=True)
    service_from = _instant()
    service_to = _instant()


class ItemView(View):
    """A plan of the subscription, at a price version, in so many seats."""

    id = _text()
    plan = _text()
    price_version = _whole()
    quantity = _whole()


class DiscountView(View):
    """A coupon the subscription redeemed, and how many of its invoices it was taken off."""

    coupon = _text()
    name = _text()
    duration = _text()
    invoices = _whole()


class SubscriptionView(View):
    """A subscription; one managed by Stripe has no period or price of ours."""

    id = _text()
    account = _text()
    managed_by = _text()
    plan = _text(allow_none=True)
    status = _text()
    starts_at = _instant(allow_none=True)
    period = fields.Nested(PeriodView, required=True, allow_none=True)
    currency = fields.String(allow_none=True)
    quantity = fields.Integer()
    items = fields.List(fields.Nested(ItemView))
    trial_ends_at = fields.AwareDateTime(allow_none=True)
    ends_at = fields.AwareDateTime(allow_none=True)
    paused_at = fields.AwareDateTime(allow_none=True)
    discounts = fields.List(fields.Nested(DiscountView))
    external_id = fields.String(allow_none=True)
    metadata = fields.Dict(keys=fields.String(), values=fields.String())
    next_plan = _text(allow_none=True)
    cancels_at = _instant(allow_none=True)
    ended_at = _instant(allow_none=True)
    billed_through = _instant(allow_none=True)
    pending_prorations = fields.List(fields.Nested(ProrationView))
    invoice = fields.String(allow_none=True)
    credit_notes = fields.List(fields.String())
    version = _whole()


class LineUsageView(View):
    """The usage behind a line: which meter and charge, which of its groups, how many events and how much."""

    meter = _text()
    charge = _text()
    group = fields.List(fields.String(), required=True)
    events = _whole()
    quantity = _text()
    after_position = _whole(allow_none=True)
    through_position = _whole(allow_none=True)


class LineTaxView(View):
    """A tax on a line."""

    rate = _text()
    rate_version = _whole()
    jurisdiction = _text()
    base = fields.Nested(MoneyView, required=True)
    amount = fields.Nested(MoneyView, required=True)
    behaviour = _text()
    reason = _text()


class LineDiscountView(View):
    """What a coupon takes off a line."""

    coupon = _text()
    amount = fields.Nested(MoneyView, required=True)


class LineView(View):
    """A line item."""

    id = _text()
    kind = _text()
    description = _text()
    quantity = _text()
    amount = fields.Nested(MoneyView, required=True)
    service_from = _instant(allow_none=True)
    service_to = _instant(allow_none=True)
    plan = _text(allow_none=True)
    price_version = _whole(allow_none=True)
    policy_version = _whole()
    subscription_item = _text(allow_none=True)
    period = _text(allow_none=True)
    product = _text(allow_none=True)
    usage = fields.Nested(LineUsageView, required=True, allow_none=True)
    taxes = fields.List(fields.Nested(LineTaxView), required=True)
    discounts = fields.List(fields.Nested(LineDiscountView), required=True)
    adjusts_line = _text(allow_none=True)


class SettlementView(View):
    """A payment applied to an invoice."""

    payment = _text()
    amount = fields.Nested(MoneyView, required=True)


class CreditView(View):
    """Credit applied to an invoice: the account's own, a prepaid grant's, or a credit note's."""

    source = _text()
    reference = _text(allow_none=True)
    amount = fields.Nested(MoneyView, required=True)


class InvoiceSummaryView(View):
    """An invoice in a list."""

    id = _text()
    account = _text()
    managed_by = _text()
    subscription = _text(allow_none=True)
    status = _text()
    number = _text(allow_none=True)
    issued_on = fields.Date(required=True, allow_none=True)
    due_on = fields.Date(required=True, allow_none=True)
    total = fields.Nested(MoneyView, required=True)
    amount_paid = fields.Nested(MoneyView, required=True)
    amount_credited = fields.Nested(MoneyView, required=True)
    amount_due = fields.Nested(MoneyView, required=True)


class PartyView(View):
    """The seller or the buyer, as the invoice names them."""

    name = _text(allow_none=True)
    email = fields.String(allow_none=True)
    tax_id = _text(allow_none=True)


class InvoiceView(InvoiceSummaryView):
    """An invoice with its lines and settlements."""

    billing_entity = _text()
    series = _text(allow_none=True)
    series_number = _whole(allow_none=True)
    terms = _text(allow_none=True)
    payer = _text()
    period_start = _instant(allow_none=True)
    period_end = _instant(allow_none=True)
    subtotal = fields.Nested(MoneyView, required=True)
    discount_total = fields.Nested(MoneyView, required=True)
    tax_total = fields.Nested(MoneyView, required=True)
    seller = fields.Nested(PartyView, required=True, allow_none=True)
    buyer = fields.Nested(PartyView, required=True, allow_none=True)
    lines = fields.List(fields.Nested(LineView), required=True)
    settlements = fields.List(fields.Nested(SettlementView), required=True)
    credits = fields.List(fields.Nested(CreditView), required=True)
    credit_notes = fields.List(fields.String(), required=True)
    uncollectible_reason = _text(allow_none=True)
    void_reason = _text(allow_none=True)
    kind = _text()
    due_at = _instant(allow_none=True)
    finalizes_at = _instant(allow_none=True)
    computed_at_position = _whole()
    version = _whole()


class PaidView(View):
    """A payment and the invoice it was applied to."""

    payment = _text()
    amount = fields.Nested(MoneyView, required=True)
    invoice = fields.Nested(InvoiceView, required=True)


class PreviewedCreditView(View):
    """What a credit note would give back of an invoice, and where that would go."""

    invoice = _text()
    net_total = fields.Nested(MoneyView, required=True)
    tax_total = fields.Nested(MoneyView, required=True)
    total = fields.Nested(MoneyView, required=True)
    applied_to_invoice = fields.Nested(MoneyView, required=True)
    credited_to_account = fields.Nested(MoneyView, required=True)


class ChangePreviewView(View):
    """What a change would credit and charge, what would bill it at once, and give back.

    `credit` and `debit` are before tax.
    """

    credit = fields.Nested(MoneyView, required=True)
    debit = fields.Nested(MoneyView, required=True)
    net = fields.Nested(MoneyView, required=True)
    prorations = fields.List(fields.Nested(ProrationView), required=True)
    invoice = fields.Nested(InvoiceView, required=True, allow_none=True)
    credit_notes = fields.List(fields.Nested(PreviewedCreditView), required=True)


class UpcomingInvoiceView(View):
    """The next invoice of a subscription, as it would be if it were billed by what is known now."""

    subscription = _text()
    due_at = _instant()
    invoice = fields.Nested(InvoiceView, required=True, allow_none=True)


class UpcomingView(View):
    """The next invoices of an account, and what they come to together, by currency."""

    account = _text()
    totals = fields.List(fields.Nested(MoneyView), required=True)
    upcoming = fields.List(fields.Nested(UpcomingInvoiceView), required=True)


class ExplainedUsageView(LineUsageView):
    """The usage behind a line, its digest, and where its events are listed."""

    digest = _text()
    events_url = _text()


class ExplainedLineView(View):
    """Why a line is what it is."""

    line = fields.Nested(LineView, required=True)
    price = fields.Dict(keys=fields.String(), required=True, allow_none=True)
    policy = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    formula = _text(allow_none=True)
    exact = _text(allow_none=True)
    rounding = _text(allow_none=True)
    usage = fields.Nested(ExplainedUsageView, required=True, allow_none=True)


class ExplainedInvoiceView(View):
    """Why an invoice is what it is, line by line; recomputed from the log, it is equal or it is not."""

    invoice = _text()
    computed_at_position = _whole()
    policy_version = _whole(allow_none=True)
    equal = fields.Boolean(required=True, allow_none=True)
    differences = fields.List(fields.String(), required=True)
    lines = fields.List(fields.Nested(ExplainedLineView), required=True)


class StateView(View):
    """An account as it was at a position or a time; `position` is its last event's then, usage apart."""

    at = fields.Raw(required=True)
    position = _whole()
    account = fields.Nested(AccountView, required=True)
    keys = fields.List(fields.Nested(KeyView), required=True)
    subscriptions = fields.List(fields.Nested(SubscriptionView), required=True)
    invoices = fields.List(fields.Nested(InvoiceSummaryView), required=True)
    payments = fields.List(fields.Nested(PaymentView), required=True)
    balances = fields.List(fields.Nested(CurrencyBalanceView), required=True)
    ledger_accounts = fields.List(fields.Nested(LedgerBalanceView), required=True)
    usage = fields.List(fields.Nested(MeterView), required=True)


class ChangedView(SubscriptionView):
    """A subscription as it was changed; in a preview, as it would be, with the money effect of that."""

    preview = fields.Nested(ChangePreviewView)


class QuotaView(View):
    """What may be used of a feature until it resets; a limit of null means as much as they like.

    Beyond a hard limit the caller's own gateway refuses; beyond a soft one usage goes on and is billed.
    """

    feature = _text()
    limit = _text(allow_none=True)
    used = _text()
    remaining = _text(allow_none=True)
    hard = fields.Boolean(required=True)
    period_from = _instant()
    resets_at = _instant()
    subscriptions = fields.List(fields.String(), required=True)


class QuotasView(View):
    """The quotas of an account."""

    account = _text()
    quotas = fields.List(fields.Nested(QuotaView), required=True)
