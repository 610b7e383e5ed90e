"""Values of the ledger as columns of JSON hold them."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

import msgspec


def stored(value: Any) -> Any:  # noqa: ANN401 - values of every kind, and the JSON of each
    """Write a value without the fields that say nothing but their default.

    So a field that comes later, with a default, does not make rows differ from what a rebuild writes.
    """
    if is_dataclass(value):
        told = {field.name: getattr(value, field.name) for field in fields(value) if _told(value, field)}
        return {name: stored(part) for name, part in told.items()}
    if isinstance(value, dict):
        return {key: stored(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [stored(part) for part in value]
    return msgspec.to_builtins(value)


def _told(value: object, field: Field[Any]) -> bool:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return bool(getattr(value, field.name) != default)
