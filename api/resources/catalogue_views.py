"""Views of products, meters, tax rates, coupons and sellers: the same from the log and from a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from api.edge import instant
from api.resources.plain import plain
from ledger.events.coupon import CouponTerms
from ledger.events.tax_rate import TaxRateDefined
from ledger.meters import MeterDefinition
from ledger.streams import coupon as coupons
from ledger.streams import meter as meters
from ledger.streams import product as products
from ledger.streams import tax_rate as tax_rates
from ledger.streams.billing_entity import BillingEntity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ledger.streams.base import Stream


def product_view(stream: Stream[products.Product]) -> dict[str, Any]:
    """Show a product."""
    state = products.require(stream.state)
    return {
        **_shared(state.product, state.name, state.status, state.external_id, state.metadata),
        "product_version": state.product_version,
        "created_at": instant(stream.created_at),
        "version": stream.version,
    }


def product_row_view(row: dict[str, Any]) -> dict[str, Any]:
    """Show a product of a list."""
    return {**_shared_of(row), "product_version": row["details"]["product_version"], **_ending(row)}


def meter_view(stream: Stream[meters.Meter]) -> dict[str, Any]:
    """Show a meter."""
    state = meters.require(stream.state)
    return {
        **_shared(state.meter, state.definition.name, state.status, state.external_id, state.metadata),
        **_definition(state.definition),
        "created_at": instant(stream.created_at),
        "version": stream.version,
    }


def meter_row_view(row: dict[str, Any]) -> dict[str, Any]:
    """Show a meter of a list."""
    definition = msgspec.convert(row["details"]["definition"], MeterDefinition)
    return {**_shared_of(row), **_definition(definition), **_ending(row)}


def tax_rate_view(stream: Stream[tax_rates.TaxRate], now: datetime) -> dict[str, Any]:
    """Show a tax rate, with the version that holds now."""
    state = tax_rates.require(stream.state)
    last = state.newest
    return {
        **_shared(state.tax_rate, last.name, state.status, last.external_id, last.metadata),
        **_versions(state, now),
        "created_at": instant(stream.created_at),
        "version": stream.version,
    }


def tax_rate_row_view(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Show a tax rate of a list."""
    versions = msgspec.convert(row["details"]["versions"], tuple[TaxRateDefined, ...])
    return {**_shared_of(row), **_versions(tax_rates.TaxRate(row["id"], versions), now), **_ending(row)}


def coupon_view(stream: Stream[coupons.Coupon]) -> dict[str, Any]:
    """Show a coupon."""
    state = coupons.require(stream.state)
    return {
        **_shared(state.coupon, state.name, state.status, state.external_id, state.metadata),
        "code": state.code,
        **_coupon_terms(state.terms),
        "redemptions": len(state.redemptions),
        "created_at": instant(stream.created_at),
        "version": stream.version,
    }


def coupon_row_view(row: dict[str, Any]) -> dict[str, Any]:
    """Show a coupon of a list."""
    details = row["details"]
    return {
        **_shared_of(row),
        "code": row["code"],
        **_coupon_terms(msgspec.convert(details["terms"], CouponTerms)),
        "redemptions": details["redemptions"],
        **_ending(row),
    }


def entity_view(entity: BillingEntity) -> dict[str, Any]:
    """Show a seller."""
    return {
        "id": entity.billing_entity,
        "name": entity.name,
        "tax_id": entity.tax_id,
        "invoice_series": entity.invoice_series,
        "credit_note_series": entity.credit_note_series,
        "payment_terms_days": entity.payment_terms_days,
        "metadata": dict(entity.metadata),
    }


def entity_row_view(row: dict[str, Any]) -> dict[str, Any]:
    """Show a seller of a list."""
    entity = BillingEntity(
        billing_entity=row["id"], name=row["name"], metadata=row["metadata"], **row["details"]
    )
    return entity_view(entity)


# -- parts --------------------------------------------------------------------------------------------


def _shared(
    identity: str, name: str, status: str, external_id: str | None, metadata: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "id": identity,
        "name": name,
        "status": status,
        "external_id": external_id,
        "metadata": dict(metadata),
    }


def _shared_of(row: dict[str, Any]) -> dict[str, Any]:
    return _shared(row["id"], row["name"], row["status"], row["external_id"], row["metadata"])


def _ending(row: dict[str, Any]) -> dict[str, Any]:
    return {"created_at": instant(row["created_at"]), "version": row["version"]}


def _definition(definition: MeterDefinition) -> dict[str, Any]:
    view: dict[str, Any] = plain(definition)
    del view["name"]
    return view


def _versions(rate: tax_rates.TaxRate, now: datetime) -> dict[str, Any]:
    present = _version(tax_rates.in_force(rate, now))
    del present["effective_at"], present["name"]
    return {**present, "versions": [_version(one) for one in rate.versions]}


def _version(version: TaxRateDefined) -> dict[str, Any]:
    return {
        "tax_rate_version": version.tax_rate_version,
        "name": version.name,
        "jurisdiction": version.jurisdiction,
        "percent": str(version.percent),
        "behaviour": version.behaviour,
        "reason": version.reason,
        "effective_at": instant(version.effective_at),
    }


def _coupon_terms(terms: CouponTerms) -> dict[str, Any]:
    view: dict[str, Any] = plain(terms)
    view["redeem_by"] = instant(terms.redeem_by)
    return view
