"""The API's operations: one module a resource."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from api.edge import OPERATIONS

if TYPE_CHECKING:
    from api.edge import Operation

MODULES: Final = (
    "accounts",
    "keys",
    "principals",
    "sources",
    "usage",
    "usage_corrections",
    "timeline",
    "products",
    "meters",
    "tax_rates",
    "coupons",
    "billing_entities",
    "plans",
    "prices",
    "policies",
    "dunning",
    "prorations",
    "subscriptions",
    "invoices",
    "credit_notes",
    "credits",
    "invoice_documents",
    "credit_note_documents",
    "explanations",
    "quotas",
    "mrr",
    "test_clock",
    "events",
    "webhooks",
    "dead_letters",
    "service",
)


def load() -> None:
    """Import every resource, which declares its operations; they stand in one order, whoever came first."""
    for name in MODULES:
        import_module(f"api.resources.{name}")
    OPERATIONS.sort(key=_place)


def _place(one: Operation) -> tuple[int, int]:
    module = one.handler.__module__.rpartition(".")[2]
    place = MODULES.index(module) if module in MODULES else len(MODULES)
    return place, one.handler.__code__.co_firstlineno
