"""Prices: a calculator that needs no account, for people and for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from api.edge import Call, answer, money, operation
from ledger.policies import policy_of
from ledger.prices import Price, checked_price
from ledger.rating import RatingConventions, Usage, line_amounts, number_text, rate
from schemas.requests_pricing import PricePreview, price_of
from schemas.responses_pricing import RatedView
from schemas.validation import invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Response

    from ledger.money import Exact
    from ledger.rating import Rated, RatedLine

_TIERED: Final = ("graduated", "graduated_percentage", "volume")


@operation(
    "POST",
    "/v1/prices/preview",
    scope="read",
    book_wide=False,
    body=PricePreview,
    answer=RatedView,
    description=(
        "Amounts are decimal strings in minor units, rates per cent, quantities decimal strings."
        " A percentage price takes `events` or, as one event, `quantity`."
    ),
)
def preview(call: Call) -> Response:
    """Rate a quantity at a price."""
    price = _price(call.body)
    conventions = _conventions(call.body)
    rated = rate(price, _usage(call.body, price), conventions)
    return answer(_rated_view(rated, line_amounts(rated, conventions.rounding)))


def _conventions(body: dict[str, Any]) -> RatingConventions:
    """Give the conventions asked for: the one place where a preset and overrides become what rating takes."""
    return policy_of(body["preset"], body["policy"], "policy").rating


def _price(body: dict[str, Any]) -> Price:
    """Give the price with the commitments that stand beside it, or refuse it."""
    price = checked_price(price_of(body["price"]))
    beside = {name: body[name] for name in ("min_amount", "max_amount") if body[name] is not None}
    twice = {
        name: ["is in the price as well: give it once"] for name in beside if getattr(price, name) is not None
    }
    if twice:
        raise invalid(twice)
    price = replace(price, **beside)
    least, most = price.min_amount, price.max_amount
    if least is not None and most is not None and least > most:
        raise invalid({"max_amount": ["must not be below min_amount"]})
    return price


def _usage(body: dict[str, Any], price: Price) -> Usage:
    problems = dict(_usage_problems(body, price))
    if problems:
        raise invalid(problems)
    names = ("quantity", "tier_quantity", "events", "prior_quantity", "prior_amount", "prior_events")
    # A flat price is for the period, which is one.
    given: dict[str, Any] = {"quantity": 1} if price.model == "flat" else {}
    given |= {name: body[name] for name in names if body[name] is not None}
    return Usage(line_position=body["line_position"], **given)


def _usage_problems(body: dict[str, Any], price: Price) -> Iterator[tuple[str, list[str]]]:
    given = {name for name, value in body.items() if value is not None}
    if price.model != "percentage":
        for name in sorted(given & {"events", "prior_events"}):
            yield (
                name,
                [f"is for percentage prices: leave it out, and give the quantity of a {price.model} price"],
            )
        if "quantity" not in given and price.model != "flat":
            yield "quantity", ["must be given"]
    elif len(given & {"quantity", "events"}) != 1:
        yield "quantity", ["give either the quantity, as one event, or the events"]
    if "tier_quantity" in given and price.model not in _TIERED:
        yield "tier_quantity", [f"is for prices with tiers: leave it out of a {price.model} price"]


def _rated_view(rated: Rated, amounts: tuple[int, ...]) -> dict[str, Any]:
    lines = zip(rated.lines, amounts, strict=True)
    return {
        "exact": number_text(rated.exact),
        "amount": money(rated.amount, rated.currency),
        "effective_unit_amount": number_text(rated.effective_unit_amount),
        "lines": [_line_view(line, amount, rated.currency) for line, amount in lines],
    }


def _line_view(line: RatedLine, amount: int, currency: str) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "tier": line.tier,
        "from_quantity": _text(line.from_quantity),
        "to_quantity": _text(line.to_quantity),
        "quantity": number_text(line.quantity),
        "unit_amount": _text(line.unit_amount),
        "rate": _text(line.rate),
        "package_size": _text(line.package_size),
        "exact": number_text(line.amount),
        "amount": money(amount, currency),
    }


def _text(value: Exact | None) -> str | None:
    return None if value is None else number_text(value)
