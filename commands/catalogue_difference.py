"""What differs between two values of the catalogue, field by field, in the words of who wrote them."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ledger.values import instant_text, quantity_text

if TYPE_CHECKING:
    from collections.abc import Iterator

# What the parts of a list are told apart by, rather than by their place in it.
_KEYS: Final = ("code", "feature", "property")


@dataclass(frozen=True)
class Difference:
    """A field that is not, or no longer, as it is to be; none stands for nothing there."""

    field: str
    old: str | None
    new: str | None


def differences(old: object, new: object) -> tuple[Difference, ...]:
    """List the fields in which two values differ; parts in another order alone are a difference too."""
    before, after = dict(_flat(old, "")), dict(_flat(new, ""))
    found = tuple(
        Difference(path, before.get(path), after.get(path))
        for path in [*before, *(path for path in after if path not in before)]
        if before.get(path) != after.get(path)
    )
    if not found and old != new:
        return (Difference("order", ", ".join(before), ", ".join(after)),)
    return found


def _flat(value: object, path: str) -> Iterator[tuple[str, str]]:
    """List what a value says, by path; what is empty or not there says nothing."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, _below(path, str(key)))
    elif is_dataclass(value):
        for field in fields(value):
            yield from _flat(getattr(value, field.name), _below(path, field.name))
    elif isinstance(value, tuple) and value and is_dataclass(value[0]):
        for number, part in enumerate(value, 1):
            yield from _flat(part, _below(path, _key_of(part) or str(number)))
    elif value is not None and value != ():
        yield path, _text(value)


def _key_of(part: object) -> str | None:
    keys = (getattr(part, name, None) for name in _KEYS)
    return next((key for key in keys if isinstance(key, str)), None)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return quantity_text(value)
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)
