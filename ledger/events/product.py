"""Events of a product: what plans sell, as reports name it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class ProductDefined(Event):
    """A product, or what it is called from here on."""

    topic: ClassVar[str] = "product.defined"

    product: str
    product_version: int
    name: str
    external_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ProductRetired(Event):
    """No new plan may sell the product; those that do go on."""

    topic: ClassVar[str] = "product.retired"

    product: str
    reason: str


ProductEvent = ProductDefined | ProductRetired
