"""What the edge answers, for the documentation and for the tests that hold answers against it."""

from __future__ import annotations

from functools import cache
from typing import Any

from marshmallow import RAISE, Schema, fields


def text_field(**options: Any) -> fields.String:
    """Make a field that is always there: text."""
    return fields.String(required=True, **options)


def whole_field(**options: Any) -> fields.Integer:
    """Make a field that is always there: a whole number."""
    return fields.Integer(required=True, **options)


def instant_field(**options: Any) -> fields.AwareDateTime:
    """Make a field that is always there: an instant."""
    return fields.AwareDateTime(required=True, **options)


class View(Schema):
    """An answer: what is not described here is not in it."""

    class Meta:
        """Say so in the documentation, which tests hold answers against."""

        unknown = RAISE


class MoneyView(View):
    """An amount in the currency's minor units."""

    amount = whole_field()
    currency = text_field()


class AccountView(View):
    """An account."""

    id = text_field()
    name = text_field(allow_none=True)
    email = text_field(allow_none=True)
    currency = text_field(allow_none=True)
    time_zone = text_field()
    status = text_field()
    origin = text_field(allow_none=True)
    created_at = instant_field()
    closed_at = instant_field(allow_none=True)
    version = whole_field()


class KeyView(View):
    """An API key; its secret is shown only when it is issued or rotated."""

    id = text_field()
    owner = text_field()
    name = text_field()
    scopes = fields.List(fields.String(), required=True)
    status = text_field()
    hint = text_field()
    expires_at = instant_field(allow_none=True)
    created_at = instant_field()
    version = whole_field()


class IssuedKeyView(KeyView):
    """An API key with its secret, shown this once."""

    secret = text_field()


class PrincipalView(View):
    """A principal."""

    id = text_field()
    kind = text_field()
    name = text_field()


class SourceView(View):
    """A source: its messages are taken as done by the principal, from its grant until it is withdrawn."""

    source = text_field()
    principal = text_field()
    principal_kind = text_field()
    scopes = fields.List(fields.String(), required=True)
    status = text_field()
    granted_at = instant_field()
    withdrawn_at = instant_field(allow_none=True)
    version = whole_field()


class UsageConflictView(View):
    """A usage event whose identity is known with other facts."""

    index = whole_field()
    id = text_field()
    source = text_field()
    position = whole_field()


class UsageRejectionView(View):
    """A usage event that was not recorded, and why, by field."""

    index = whole_field()
    id = text_field(allow_none=True)
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()), required=True)


class UsageResultView(View):
    """What became of a batch of usage events; while only Kafka has them, duplicates and position are null."""

    accepted = whole_field()
    duplicates = whole_field(allow_none=True)
    conflicts = fields.List(fields.Nested(UsageConflictView), required=True)
    rejected = fields.List(fields.Nested(UsageRejectionView), required=True)
    position = whole_field(allow_none=True)


class DayView(View):
    """What an account used of a meter on a day, in UTC."""

    meter = text_field()
    day = fields.Date(required=True)
    quantity = text_field()
    events = whole_field()


class MeterView(View):
    """What an account used of a meter over the days asked for."""

    meter = text_field()
    quantity = text_field()
    events = whole_field()


class UsageView(View):
    """Usage by meter, and by meter and day."""

    account = text_field()
    totals = fields.List(fields.Nested(MeterView), required=True)
    days = fields.List(fields.Nested(DayView), required=True)


class LedgerBalanceView(View):
    """The balance of one ledger account, positive on its normal side."""

    ledger_account = text_field()
    balance = fields.Nested(MoneyView, required=True)


class CurrencyBalanceView(View):
    """What an account owes in one currency: receivable less the credit it holds."""

    currency = text_field()
    balance = fields.Nested(MoneyView, required=True)
    receivable = fields.Nested(MoneyView, required=True)
    customer_credit = fields.Nested(MoneyView, required=True)


class BalanceView(View):
    """The balance of an account, by currency and by ledger account; `position` is the last posting's."""

    account = text_field()
    position = whole_field(allow_none=True)
    balances = fields.List(fields.Nested(CurrencyBalanceView), required=True)
    ledger_accounts = fields.List(fields.Nested(LedgerBalanceView), required=True)


class PaymentView(View):
    """A payment."""

    id = text_field()
    amount = fields.Nested(MoneyView, required=True)
    method = text_field()
    received_at = instant_field()


class EventView(View):
    """An event of the log."""

    position = whole_field()
    type = text_field()
    version = whole_field()
    stream = text_field()
    stream_version = whole_field()
    occurred_at = instant_field()
    booked_at = instant_field()
    recorded_at = instant_field()
    actor = fields.Dict(required=True)
    cause = text_field()
    data = fields.Dict(required=True)


class TimelineRowView(View):
    """A row of a timeline: an event, or a run of usage (type usage.recorded) with its first event's times."""

    position = whole_field()
    type = text_field()
    occurred_at = instant_field()
    booked_at = instant_field()
    recorded_at = instant_field()
    actor = fields.Dict(required=True)
    cause = text_field()
    sentence = text_field()
    stream = fields.String()
    until = fields.AwareDateTime()
    meter = fields.String()
    quantity = fields.String()
    events = fields.Integer()
    last_position = fields.Integer()


class SetAsideView(Schema):
    """An event that every projection passes over, and why."""

    position = whole_field()
    reason = text_field()


class DeadLetterView(View):
    """A message that could not be applied: why, where it stands in its topic, and what it is about."""

    id = text_field()
    number = whole_field()
    status = text_field()
    code = text_field()
    reason = text_field()
    book = text_field(allow_none=True)
    topic = text_field()
    partition = whole_field()
    offset = whole_field()
    timestamp = instant_field()
    account = text_field(allow_none=True)
    source = text_field(allow_none=True)
    event_id = text_field(allow_none=True)
    known_position = whole_field(allow_none=True)
    value_digest = text_field()
    value_bytes = whole_field()
    rejected_at = instant_field()
    attempts = whole_field()
    retry_at = instant_field(allow_none=True)
    gives_up_at = instant_field(allow_none=True)
    relayed_at = instant_field(allow_none=True)
    resolved_at = instant_field(allow_none=True)
    resolved_by = text_field(allow_none=True)
    resolution = text_field(allow_none=True)


class HeaderView(View):
    """A header of a message; its value in base 64 when it is not UTF-8."""

    name = text_field()
    value = text_field(allow_none=True)
    value_base64 = text_field(allow_none=True)


class DeadLetterDetailView(DeadLetterView):
    """A message that could not be applied, with its bytes, in base 64 when they are not UTF-8.

    The value is null once it is replayed or discarded. `known` is the event that a conflict is with.
    """

    key = text_field(allow_none=True)
    key_base64 = text_field(allow_none=True)
    headers = fields.List(fields.Nested(HeaderView), required=True)
    value = text_field(allow_none=True)
    value_base64 = text_field(allow_none=True)
    known = fields.Nested(EventView, required=True, allow_none=True)


class DeadLetterOutcomeView(View):
    """What became of a message: its status, and why when it is not applied."""

    id = text_field()
    status = text_field()
    code = text_field(allow_none=True)
    reason = text_field(allow_none=True)


class ReceivedView(View):
    """A webhook was kept; while only Kafka has it, whether it is a duplicate is not known."""

    received = fields.Boolean(required=True)
    duplicate = fields.Boolean(required=True, allow_none=True)


class ProblemView(View):
    """What went wrong (RFC 9457)."""

    type = text_field()
    title = text_field()
    status = whole_field()
    code = text_field()
    detail = text_field()
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
