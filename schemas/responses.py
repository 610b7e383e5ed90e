"""What the edge answers, for the documentation and for the tests that hold answers against it."""

from __future__ import annotations

from functools import cache
from typing import Any

from marshmallow import RAISE, Schema, fields


def _text(**options: Any) -> fields.String:
    return fields.String(required=True, **options)


def _whole(**options: Any) -> fields.Integer:
    return fields.Integer(required=True, **options)


def _instant(**options: Any) -> fields.AwareDateTime:
    return fields.AwareDateTime(required=True, **options)


class View(Schema):
    """An answer: what is not described here is not in it."""

    class Meta:
        """Say so in the documentation, which tests hold answers against."""

        unknown = RAISE


class MoneyView(View):
    """An amount in the currency's minor units."""

    amount = _whole()
    currency = _text()


class AccountView(View):
    """An account."""

    id = _text()
    name = _text(allow_none=True)
    email = _text(allow_none=True)
    currency = _text(allow_none=True)
    time_zone = _text()
    status = _text()
    origin = _text(allow_none=True)
    created_at = _instant()
    closed_at = _instant(allow_none=True)
    version = _whole()


class KeyView(View):
    """An API key; its secret is shown only when it is issued or rotated."""

    id = _text()
    owner = _text()
    name = _text()
    scopes = fields.List(fields.String(), required=True)
    status = _text()
    hint = _text()
    expires_at = _instant(allow_none=True)
    created_at = _instant()
    version = _whole()


class IssuedKeyView(KeyView):
    """An API key with its secret, shown this once."""

    secret = _text()


class PrincipalView(View):
    """A principal."""

    id = _text()
    kind = _text()
    name = _text()


class SourceView(View):
    """A source: its messages are taken as done by the principal, from its grant until it is withdrawn."""

    source = _text()
    principal = _text()
    principal_kind = _text()
    scopes = fields.List(fields.String(), required=True)
    status = _text()
    granted_at = _instant()
    withdrawn_at = _instant(allow_none=True)
    version = _whole()


class PlanView(View):
    """A plan."""

    id = _text()
    product = _text()
    name = _text()
    interval = _text()
    price = fields.Nested(MoneyView, required=True)
    currency = _text()
    amount = _whole()
    price_version = _whole()
    status = _text()
    created_at = _instant()
    version = _whole()


class PeriodView(View):
    """A billing period, from its start up to but without its end."""

    id = _text()
    starts_at = _instant()
    ends_at = _instant()


class ProrationView(View):
    """An amount that waits for the next invoice."""

    kind = _text()
    plan = _text()
    amount = fields.Nested(MoneyView, required=True)
    service_from = _instant()
    service_to = _instant()


class SubscriptionView(View):
    """A subscription; one managed by Stripe has no period or price of ours."""

    id = _text()
    account = _text()
    managed_by = _text()
    plan = _text(allow_none=True)
    status = _text()
    starts_at = _instant(allow_none=True)
    period = fields.Nested(PeriodView, required=True, allow_none=True)
    next_plan = _text(allow_none=True)
    cancels_at = _instant(allow_none=True)
    ended_at = _instant(allow_none=True)
    billed_through = _instant(allow_none=True)
    pending_prorations = fields.List(fields.Nested(ProrationView))
    invoice = fields.String(allow_none=True)
    version = _whole()


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
    adjusts_line = _text(allow_none=True)


class SettlementView(View):
    """A payment applied to an invoice."""

    payment = _text()
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
    void_reason = _text(allow_none=True)
    computed_at_position = _whole()
    version = _whole()


class PaidView(View):
    """A payment and the invoice it was applied to."""

    payment = _text()
    amount = fields.Nested(MoneyView, required=True)
    invoice = fields.Nested(InvoiceView, required=True)


class UsageConflictView(View):
    """A usage event whose identity is known with other facts."""

    index = _whole()
    id = _text()
    source = _text()
    position = _whole()


class UsageRejectionView(View):
    """A usage event that was not recorded, and why, by field."""

    index = _whole()
    id = _text(allow_none=True)
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()), required=True)


class UsageResultView(View):
    """What became of a batch of usage events; while only Kafka has them, duplicates and position are null."""

    accepted = _whole()
    duplicates = _whole(allow_none=True)
    conflicts = fields.List(fields.Nested(UsageConflictView), required=True)
    rejected = fields.List(fields.Nested(UsageRejectionView), required=True)
    position = _whole(allow_none=True)


class DayView(View):
    """What an account used of a meter on a day, in UTC."""

    meter = _text()
    day = fields.Date(required=True)
    quantity = _text()
    events = _whole()


class MeterView(View):
    """What an account used of a meter over the days asked for."""

    meter = _text()
    quantity = _text()
    events = _whole()


class UsageView(View):
    """Usage by meter, and by meter and day."""

    account = _text()
    totals = fields.List(fields.Nested(MeterView), required=True)
    days = fields.List(fields.Nested(DayView), required=True)


class LedgerBalanceView(View):
    """The balance of one ledger account, positive on its normal side."""

    ledger_account = _text()
    balance = fields.Nested(MoneyView, required=True)


class CurrencyBalanceView(View):
    """What an account owes in one currency: receivable less the credit it holds."""

    currency = _text()
    balance = fields.Nested(MoneyView, required=True)
    receivable = fields.Nested(MoneyView, required=True)
    customer_credit = fields.Nested(MoneyView, required=True)


class BalanceView(View):
    """The balance of an account, by currency and by ledger account; `position` is the last posting's."""

    account = _text()
    position = _whole(allow_none=True)
    balances = fields.List(fields.Nested(CurrencyBalanceView), required=True)
    ledger_accounts = fields.List(fields.Nested(LedgerBalanceView), required=True)


class PaymentView(View):
    """A payment."""

    id = _text()
    amount = fields.Nested(MoneyView, required=True)
    method = _text()
    received_at = _instant()


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


class EventView(View):
    """An event of the log."""

    position = _whole()
    type = _text()
    version = _whole()
    stream = _text()
    stream_version = _whole()
    occurred_at = _instant()
    booked_at = _instant()
    recorded_at = _instant()
    actor = fields.Dict(required=True)
    cause = _text()
    data = fields.Dict(required=True)


class TimelineRowView(View):
    """A row of a timeline: an event, or a run of usage (type usage.recorded) with its first event's times."""

    position = _whole()
    type = _text()
    occurred_at = _instant()
    booked_at = _instant()
    recorded_at = _instant()
    actor = fields.Dict(required=True)
    cause = _text()
    sentence = _text()
    stream = fields.String()
    until = fields.AwareDateTime()
    meter = fields.String()
    quantity = fields.String()
    events = fields.Integer()
    last_position = fields.Integer()


class SetAsideView(Schema):
    """An event that every projection passes over, and why."""

    position = _whole()
    reason = _text()


class DeadLetterView(View):
    """A message that could not be applied: why, where it stands in its topic, and what it is about."""

    id = _text()
    number = _whole()
    status = _text()
    code = _text()
    reason = _text()
    book = _text(allow_none=True)
    topic = _text()
    partition = _whole()
    offset = _whole()
    timestamp = _instant()
    account = _text(allow_none=True)
    source = _text(allow_none=True)
    event_id = _text(allow_none=True)
    known_position = _whole(allow_none=True)
    value_digest = _text()
    value_bytes = _whole()
    rejected_at = _instant()
    attempts = _whole()
    retry_at = _instant(allow_none=True)
    gives_up_at = _instant(allow_none=True)
    relayed_at = _instant(allow_none=True)
    resolved_at = _instant(allow_none=True)
    resolved_by = _text(allow_none=True)
    resolution = _text(allow_none=True)


class HeaderView(View):
    """A header of a message; its value in base 64 when it is not UTF-8."""

    name = _text()
    value = _text(allow_none=True)
    value_base64 = _text(allow_none=True)


class DeadLetterDetailView(DeadLetterView):
    """A message that could not be applied, with its bytes, in base 64 when they are not UTF-8.

    The value is null once it is replayed or discarded. `known` is the event that a conflict is with.
    """

    key = _text(allow_none=True)
    key_base64 = _text(allow_none=True)
    headers = fields.List(fields.Nested(HeaderView), required=True)
    value = _text(allow_none=True)
    value_base64 = _text(allow_none=True)
    known = fields.Nested(EventView, required=True, allow_none=True)


class DeadLetterOutcomeView(View):
    """What became of a message: its status, and why when it is not applied."""

    id = _text()
    status = _text()
    code = _text(allow_none=True)
    reason = _text(allow_none=True)


class ReceivedView(View):
    """A webhook was kept; while only Kafka has it, whether it is a duplicate is not known."""

    received = fields.Boolean(required=True)
    duplicate = fields.Boolean(required=True, allow_none=True)


class ProblemView(View):
    """What went wrong (RFC 9457)."""

    type = _text()
    title = _text()
    status = _whole()
    code = _text()
    detail = _text()
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


@cache  # one class a kind of page: two would be two names for one thing in the documentation
def page_of(item: type[Schema]) -> type[Schema]:
    """Make the schema of a page of items."""
    members = {
        "data": fields.List(fields.Nested(item), required=True),
        "next": fields.String(required=True, allow_none=True),
        "__doc__": f"A page: {(item.__doc__ or '').strip()}",
    }
    return type(f"{item.__name__}Page", (View,), members)
