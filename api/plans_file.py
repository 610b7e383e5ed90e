"""Reading a catalogue from a TOML file: what is wrong is said with the file, the object and the field."""

from __future__ import annotations

import tomllib
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from commands.catalogue_file import CatalogueFile, Wanted
from ledger.errors import Invalid
from ledger.identifiers import MalformedId, stream_of
from ledger.meters import checked_meter
from ledger.plan_terms import checked_terms
from ledger.streams import coupon as coupons
from ledger.streams import plan as plans
from ledger.streams import product as products
from ledger.streams import tax_rate as tax_rates
from ledger.values import checked_code, quantity_text
from schemas.catalogue_file import FILE_KINDS
from schemas.requests_catalogue import coupon_terms_of, definition_of, entity_of, tax_terms_of
from schemas.requests_plans import terms_of
from schemas.validation import schema_of, validated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from uuid import UUID

    from commands.catalogue_file import Terms

_RETIRE_MISSING: Final = "retire_missing"
# Fields that are decimal numbers: a whole number there needs no quotes.
_DECIMALS: Final = frozenset(
    [
        "event_max",
        "event_min",
        "fixed_amount",
        "flat_amount",
        "free_units",
        "limit",
        "max_amount",
        "min_amount",
        "package_amount",
        "package_size",
        "percent",
        "percent_off",
        "rate",
        "unit_amount",
        "up_to",
    ]
)
# What names other objects by their code: the prefix of the ids, and how an id is made of a code.
_REFERENCES: Final[Mapping[str, tuple[str, Callable[[UUID, str], str]]]] = {
    "product": ("prod", products.product_id),
    "tax_rates": ("tax", tax_rates.tax_rate_id),
    "plans": ("plan", plans.plan_id),
}


def read_catalogue(path: Path, book: UUID) -> CatalogueFile:
    """Read a file as what a book's catalogue is to be."""
    try:
        text = path.read_bytes().decode()
        data = tomllib.loads(text, parse_float=Decimal)
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _unreadable(path, "must be UTF-8") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is no TOMLDecodeError
        raise _unreadable(path, f"is not TOML: {error}") from None
    return catalogue_of(data, path.name, book)


def catalogue_of(data: dict[str, Any], source: str, book: UUID) -> CatalogueFile:
    """Make a catalogue of what a file holds; everything that is wrong is said at once."""
    retire_missing = data.pop(_RETIRE_MISSING, False)
    reasons: dict[str, list[str]] = {}
    if not isinstance(retire_missing, bool):
        reasons[f"{source}: {_RETIRE_MISSING}"] = ["must be true or false"]
    for name in data.keys() - FILE_KINDS.keys():
        known = ", ".join(f"[[{kind}]]" for kind in FILE_KINDS)
        reasons[f"{source}: {name[:64]}"] = [f"is not known here; there are {known} and {_RETIRE_MISSING}"]
    names: dict[str, str] = {}
    objects = tuple(_objects(data, source, book, names, reasons))
    if reasons:
        path, (reason, *_) = next(iter(reasons.items()))
        raise Invalid(f"{path}: {reason}", reasons)
    return CatalogueFile(source=source, objects=objects, names=names, retire_missing=retire_missing)


def _unreadable(path: Path, reason: str) -> Invalid:
    return Invalid(f"{path}: {reason}", {str(path): [reason]})


def _objects(
    data: dict[str, Any], source: str, book: UUID, names: dict[str, str], reasons: dict[str, list[str]]
) -> Iterator[Wanted]:
    for kind in FILE_KINDS:
        tables = data.get(kind, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            reasons[f"{source}: {kind}"] = [f"must be tables, each headed [[{kind}]]"]
            continue
        seen: set[str] = set()
        for number, table in enumerate(tables, 1):
            label = f"{source}: {kind} {_label(table, number)}"
            try:
                wanted = _object(kind, table, book, names)
                if wanted.code in seen:
                    reasons[label] = ["stands in the file twice"]
                seen.add(wanted.code)
                yield wanted
            except Invalid as error:
                reasons.update({f"{label}: {path}": told for path, told in error.errors.items()})


def _label(table: dict[str, Any], number: int) -> str:
    code = table.get("code")
    return code[:64] if isinstance(code, str) and code else f"number {number}"


def _object(kind: str, table: dict[str, Any], book: UUID, names: dict[str, str]) -> Wanted:
    body = validated(schema_of(FILE_KINDS[kind]), _prepared(table, book, names))
    name = body["name"] or body["code"]
    return Wanted(
        kind=kind,
        code=checked_code(body["code"]),
        name=name,
        terms=_terms(kind, body, name),
        metadata=body["metadata"],
        effective_at=body.get("effective_at"),
        product=body.get("product"),
    )


def _terms(kind: str, body: dict[str, Any], name: str) -> Terms:
    match kind:
        case "product":
            return None
        case "meter":
            return checked_meter(definition_of(body))
        case "tax_rate":
            return tax_terms_of(body)
        case "billing_entity":
            return entity_of(body)
        case "plan":
            return checked_terms(terms_of(body, name))
        case _:
            return coupons.checked_terms(coupon_terms_of(body))


def _prepared(value: Any, book: UUID, names: dict[str, str], field: str = "") -> Any:
    """Give a value as JSON would have it: numbers that are decimal as text, and ids for codes."""
    if field in _REFERENCES and isinstance(value, str):
        return _identity(field, value, book, names)
    if isinstance(value, dict):
        # What a caller keeps with an object is theirs, whatever they call it.
        below = "" if field == "metadata" else None
        return {
            key: _prepared(part, book, names, key if below is None else below) for key, part in value.items()
        }
    if isinstance(value, list):
        return [_prepared(part, book, names, field) for part in value]
    if isinstance(value, Decimal):
        return quantity_text(value)
    if field in _DECIMALS and type(value) is int:
        return str(value)
    return value.isoformat() if isinstance(value, datetime | date | time) else value


def _identity(field: str, code: str, book: UUID, names: dict[str, str]) -> str:
    prefix, identity_of = _REFERENCES[field]
    try:
        stream_of(prefix, code)
    except MalformedId:
        identity = identity_of(book, code)
        names[identity] = code
        return identity
    return code
