"""A product: what plans sell, as reports name it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, assert_never

from ledger.errors import Conflict, NotFound
from ledger.events.product import ProductDefined, ProductEvent, ProductRetired
from ledger.identifiers import derived_id
from ledger.streams.base import begins_with
from ledger.values import (
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    checked_external_id,
    checked_metadata,
    checked_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

_FIRST_VERSION: Final = 1


class ProductIsRetired(Conflict):
    """No new plan may sell the product."""

    code = "product_retired"


@dataclass(frozen=True)
class Product:
    """A product as it stands."""

    product: str
    name: str
    product_version: int
    status: str = "active"
    external_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def product_id(book: UUID, external_id: str) -> str:
    """Give the id of the product that another system knows under an id of its own."""
    return derived_id("prod", "product", book.bytes, external_id)


def product_of_plan(plan: str) -> str:
    """Give the id of the product that a plan sells when it was told of none."""
    return derived_id("prod", "product-of-plan", plan)


def define(
    product: str, name: str, external_id: str | None = None, metadata: Mapping[str, str] | None = None
) -> list[ProductEvent]:
    """Define a product."""
    checked_text(name, MAX_NAME_CHARACTERS, "name")
    return [
        ProductDefined(
            product=product,
            product_version=_FIRST_VERSION,
            name=name,
            external_id=checked_external_id(external_id),
            metadata=checked_metadata(metadata or {}),
        )
    ]


def describe(state: Product | None, name: str, metadata: Mapping[str, str]) -> list[ProductEvent]:
    """Give the product another name or other metadata."""
    product = require(state)
    checked_text(name, MAX_NAME_CHARACTERS, "name")
    if (name, metadata) == (product.name, product.metadata):
        return []
    return [
        ProductDefined(
            product=product.product,
            product_version=product.product_version + 1,
            name=name,
            external_id=product.external_id,
            metadata=checked_metadata(metadata),
        )
    ]


def retire(state: Product | None, reason: str) -> list[ProductEvent]:
    """Let no new plan sell the product; retiring it twice changes nothing."""
    product = require(state)
    if product.status == "retired":
        return []
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    return [ProductRetired(product=product.product, reason=reason)]


def require(state: Product | None) -> Product:
    """Give the product, or refuse: there is none in this book."""
    if state is None:
        message = "there is no such product"
        raise NotFound(message)
    return state


def require_active(state: Product | None) -> Product:
    """Give the product, or refuse: no new plan may sell it."""
    product = require(state)
    if product.status == "retired":
        message = f"product {product.external_id or product.product} is retired: no new plan may sell it"
        raise ProductIsRetired(message)
    return product


@begins_with(ProductDefined)
def evolve(state: Product | None, event: ProductEvent) -> Product:
    """Apply one event."""
    match event:
        case ProductDefined():
            return Product(
                product=event.product,
                name=event.name,
                product_version=event.product_version,
                status="active" if state is None else state.status,
                external_id=event.external_id,
                metadata=event.metadata,
            )
        case ProductRetired():
            assert state is not None, "a stream begins with its first event"
            return replace(state, status="retired")
        case _:
            assert_never(event)
