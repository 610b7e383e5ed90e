"""Values of the ledger as JSON shows them: whole, defaults included."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import msgspec


def plain(value: Any) -> Any:
    """Write a value with all its fields; msgspec alone leaves out those a stored value did not tell."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    return msgspec.to_builtins(value)
