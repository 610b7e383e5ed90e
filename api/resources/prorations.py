"""Prorations: a calculator that needs no account, for people and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.edge import Call, answer, instant, operation
from commands.policies import policies_adopted
from ledger.coupons import Discount
from ledger.policies import policy_of, written
from ledger.proration_preview import Billed, Question, preview
from ledger.proration_values import RecurringPrice
from schemas.requests_proration import ProrationQuestion
from schemas.responses_proration import ProrationPreviewView

if TYPE_CHECKING:
    from decimal import Decimal

    from flask import Response

    from ledger.periods import Period
    from ledger.policies import BillingPolicy
    from ledger.proration_preview import Preview
    from ledger.proration_values import Segment

_WORDS: Final = {"credit": "Unused time", "charge": "Remaining time"}
_UNITS: Final = {"second": "second", "local_day": "local_day", "elapsed_fraction": "microsecond"}


@operation(
    "POST",
    "/v1/prorations/preview",
    scope="read",
    book_wide=False,
    body=ProrationQuestion,
    answer=ProrationPreviewView,
    description=(
        "Amounts are integers in minor units, the tax rate and `percent_off` decimal strings in per cent."
        " Without `old` the item starts at `change_at`, without `new` it is cancelled. `cycle_start` is where"
        " the present period began. Without `preset` the book's own conventions hold."
    ),
)
def preview_proration(call: Call) -> Response:
    """Say what a change of price would give back and charge."""
    preset, overrides = _conventions(call)
    policy = policy_of(preset, {**overrides, **call.body["policy"]}, at="policy").billing
    return answer(_view(preview(_question(call.body), policy), call.body["currency"], preset))


def _conventions(call: Call) -> tuple[str, dict[str, str]]:
    """Give the preset that is asked for, or else the one the book bills by, with its overrides."""
    if call.body["preset"] is not None:
        return call.body["preset"], {}
    adopted = policies_adopted(call.log, call.book)[-1].policy
    return adopted.preset, dict(adopted.overrides)


def _question(body: dict[str, Any]) -> Question:
    return Question(
        currency=body["currency"],
        zone=body["time_zone"],
        anchor=body["anchor"],
        subscription_start=body["subscription_start"],
        cycle_start=body["cycle_start"],
        change_at=body["change_at"],
        old=None if body["old"] is None else RecurringPrice(**_price(body["old"])),
        new=None if body["new"] is None else RecurringPrice(**_price(body["new"])),
        trial_end=body["trial_end"],
        discount=None if body["coupon"] is None else _discount(body["coupon"]),
        proration_behavior=body["proration_behavior"],
        billing_mode=body["billing_mode"],
        last_billed=None if body["last_billed"] is None else Billed(**_price(body["last_billed"])),
        **_given("tax_rate", body["tax_rate"]),
    )


def _price(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "amount_minor": body["amount"],
        "interval": body["interval"],
        **_given("quantity", body["quantity"]),
    }


def _given(name: str, value: Decimal | None) -> dict[str, Any]:
    return {} if value is None else {name: value}


def _discount(body: dict[str, Any]) -> Discount:
    return Discount(percent_off=body["percent_off"], amount_off_minor=body["amount_off"])


def _view(found: Preview, currency: str, preset: str) -> dict[str, Any]:
    return {
        "currency": currency,
        "credit": found.credit_minor,
        "debit": found.debit_minor,
        "net": found.net_minor,
        "tax": found.tax_minor,
        "total": found.total_minor,
        "lines": [_line_view(segment, found.policy) for segment in found.segments],
        "policy": {"preset": preset, **written(found.policy)},
        "effective_at": instant(found.effective_at),
        "invoiced": found.invoiced,
        "period": _period_view(found.period),
        "next_period": None if found.next_period is None else _period_view(found.next_period),
    }


def _line_view(segment: Segment, policy: BillingPolicy) -> dict[str, Any]:
    return {
        "kind": f"proration_{segment.kind}",
        "description": _WORDS[segment.kind],
        "service_from": instant(segment.from_at),
        "service_to": instant(segment.to_at),
        "unit": _UNITS[policy.proration_unit],
        "units": segment.units,
        "units_of_period": segment.whole_units,
        "exact": str(segment.exact),
        "amount": segment.amount_minor,
        "tax": segment.tax_minor,
        "total": segment.amount_minor + segment.tax_minor,
    }


def _period_view(period: Period) -> dict[str, Any]:
    return {"starts_at": instant(period.start), "ends_at": instant(period.end)}
