"""Older versions of events, lifted to the present ones as they are read; the log is never rewritten."""

from __future__ import annotations

from typing import Any


def with_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """Leave an event as it is: the fields that came later have defaults that say what was true then."""
    return data


def plan_created_1(data: dict[str, Any]) -> dict[str, Any]:
    """Write the one fee that a plan had, in its one currency, as the terms of its first price version."""
    amounts = {data["currency"]: data["amount"]}
    fee = {"code": "fee", "name": data["name"], "amounts": amounts, "per_seat": True}
    return {
        "plan": data["plan"],
        "product": data["product"],
        "name": data["name"],
        "price_version": data["price_version"],
        "terms": {"interval": data["interval"], "fees": [fee]},
    }
