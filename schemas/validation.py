"""Validation at every edge: data loaded with a schema, or refused with every field's path."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from ledger.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marshmallow import Schema


@cache
def schema_of(kind: type[Schema]) -> Schema:
    """Make a schema once: making it costs more than a small request's validation."""
    return kind()


def validated(schema: Schema, data: Any, at: str = "") -> dict[str, Any]:
    """Load data with a schema, or refuse it with every field's path; `at` is the path of the data itself."""
    try:
        loaded: dict[str, Any] = schema.load(data)
    except ValidationError as error:
        raise invalid(dict(_flat(error.messages, at))) from None
    return loaded


def invalid(reasons: dict[str, list[str]]) -> Invalid:
    """Make the refusal of what has these reasons by field path; the first one is its message."""
    field, first = next(iter(reasons.items()), ("", ["is not valid"]))
    return Invalid(f"{field}: {first[0]}", reasons)


def _flat(messages: Any, path: str) -> Iterator[tuple[str, list[str]]]:
    if isinstance(messages, dict):
        for name, below in messages.items():
            part = "body" if name == "_schema" else str(name)
            yield from _flat(below, f"{path}.{part}" if path else part)
    else:
        yield path, [str(message) for message in messages]
