"""The API's operations: one module a resource."""

from __future__ import annotations

from importlib import import_module
from typing import Final

MODULES: Final = (
    "accounts",
    "keys",
    "principals",
    "sources",
    "usage",
    "timeline",
    "plans",
    "subscriptions",
    "invoices",
    "events",
    "webhooks",
    "dead_letters",
    "service",
)


def load() -> None:
    """Import every resource, which declares its operations."""
    for name in MODULES:
        import_module(f"api.resources.{name}")
