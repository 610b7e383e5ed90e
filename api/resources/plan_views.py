"""Views of plans: the same whether a plan comes from the log or from a list."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from api.edge import instant, money
from api.resources.plain import plain
from ledger.events.plan import PlanTerms
from ledger.plan_terms import plain_price
from ledger.streams import plan as plans

if TYPE_CHECKING:
    from ledger.streams.base import Stream


def plan_view(stream: Stream[plans.Plan], now: datetime) -> dict[str, Any]:
    """Show a plan, with what it costs who subscribes now."""
    return _view(plans.require(stream.state), stream.created_at, stream.version, now)


def plan_row_view(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Show a plan of a list."""
    plan = plans.Plan(
        plan=row["plan"],
        product=row["product"],
        name=row["name"],
        versions=tuple(_version_of(one) for one in row["versions"]),
        status=row["status"],
        external_id=row["external_id"],
        metadata=row["metadata"],
    )
    return _view(plan, row["created_at"], row["version"], now)


def terms_view(terms: PlanTerms) -> dict[str, Any]:
    """Show terms in the shape in which they are sent; what a price does not have is left out."""
    view: dict[str, Any] = plain(terms)
    for charge in view["charges"]:
        charge["prices"] = [_price_view(price) for _, price in sorted(charge["prices"].items())]
    return view


def _price_view(price: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in price.items() if value is not None}
    told["tiers"] = [_price_tier(tier) for tier in price["tiers"]]
    return told


def _price_tier(tier: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in tier.items() if value is not None}


def _view(plan: plans.Plan, created_at: datetime | None, version: int, now: datetime) -> dict[str, Any]:
    present = plans.in_force(plan, now)
    price = plain_price(present.terms)
    return {
        "id": plan.plan,
        "product": plan.product,
        "name": plan.name,
        "interval": present.terms.interval,
        "price": None if price is None else money(price[1], price[0]),
        "currency": None if price is None else price[0],
        "amount": None if price is None else price[1],
        "price_version": present.price_version,
        "status": plan.status,
        "external_id": plan.external_id,
        "metadata": dict(plan.metadata),
        "terms": terms_view(present.terms),
        "versions": [_version_view(one) for one in plan.versions],
        "created_at": instant(created_at),
        "version": version,
    }


def _version_view(version: plans.PriceVersion) -> dict[str, Any]:
    return {
        "price_version": version.price_version,
        "effective_at": instant(version.effective_at),
        "terms": terms_view(version.terms),
    }


def _version_of(stored: dict[str, Any]) -> plans.PriceVersion:
    effective_at = stored.get("effective_at")
    return plans.PriceVersion(
        price_version=stored["price_version"],
        terms=msgspec.convert(stored["terms"], PlanTerms),
        effective_at=None if effective_at is None else datetime.fromisoformat(effective_at),
    )
