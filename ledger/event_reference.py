"""The catalogue of events, written from the code itself: what may stand in the log, for whoever reads it."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from inspect import getdoc
from typing import TYPE_CHECKING, Any, Final, get_args, get_type_hints

from ledger.codec import UPCASTS
from ledger.events import EVENT_CLASSES, FORGOTTEN, Actor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ledger.events import Event

_INTRODUCTION: Final = f"""\
# Events

Every event there is, written from the code by `daybook docs events`. A topic and its versions are permanent:
a golden file in `tests/golden/events` holds one of each, and an older version is read through its upcast.

The log stores an event as JSON, `{{"version", "occurred_at", "booked_at", "actor", "cause", "data"}}`, where
`data` holds the fields below. Times are RFC 3339 in UTC, dates and times of day are ISO 8601, decimals are
text, and amounts are whole minor units of the currency beside them.

A personal field is stored as `{{"subject", "sealed"}}`: AES-256-GCM under the data key of its subject, nonce
first, in base 64, bound to stream, version and field. Once that key is destroyed it reads as `{FORGOTTEN}`.
"""


def event_catalogue_markdown() -> str:
    """Write the catalogue as Markdown: every topic by its stream, then what the fields are made of."""
    groups: dict[str, list[type[Event]]] = {}
    for event_class in EVENT_CLASSES.values():
        groups.setdefault(event_class.__module__.rpartition(".")[2], []).append(event_class)
    lines = [_INTRODUCTION]
    for module, event_classes in sorted(groups.items()):
        lines.append(f"## {module.replace('_', ' ').capitalize()}\n")
        for event_class in event_classes:
            lines.extend(_event_section(event_class))
    lines.append("## Parts\n\nWhat fields above are made of.\n")
    for part in _parts():
        lines.extend(_section(part, part.__name__))
    return "\n".join(lines)


def _event_section(event_class: type[Event]) -> Iterator[str]:
    yield from _section(
        event_class, f"`{event_class.topic}` version {event_class.version}: {event_class.__name__}"
    )
    if event_class.personal:
        _, _, owner = (getdoc(event_class.subject) or "").partition(": ")
        assert owner, f"{event_class.__name__}.subject does not say whose data key it names"
        names = ", ".join(f"`{name}`" for name in event_class.personal)
        yield f"Personal: {names}; under the data key of {owner}\n"
    older = sorted(version for topic, version in UPCASTS if topic == event_class.topic)
    if older:
        yield f"Still read: version {', '.join(map(str, older))}\n"


def _section(described: type[Any], heading: str) -> Iterator[str]:
    yield f"### {heading}\n"
    yield f"{getdoc(described)}\n"
    personal = getattr(described, "personal", ())
    rows = [_row(field, personal=field.name in personal) for field in fields(described)]
    if rows:
        yield "\n".join(["| field | type | |", "|---|---|---|", *rows]) + "\n"


def _row(field: Field[Any], *, personal: bool) -> str:
    """Write one field; its type reads as it does in the code."""
    optional = field.default is not MISSING or field.default_factory is not MISSING
    notes = [note for note, holds in (("personal", personal), ("may be absent", optional)) if holds]
    kind = str(field.type).replace("|", "\\|")
    remark = f" {', '.join(notes)}" if notes else ""
    return f"| `{field.name}` | {kind} |{remark} |"


def _parts() -> list[type[Any]]:
    """Name every structure that fields are made of, in alphabetical order."""
    found: dict[str, type[Any]] = {Actor.__name__: Actor}
    waiting: list[type[Any]] = list(EVENT_CLASSES.values())
    while waiting:
        described = waiting.pop()
        hints = get_type_hints(described)
        for part in _structures(hints[field.name] for field in fields(described)):
            if part.__name__ not in found:
                found[part.__name__] = part
                waiting.append(part)
    return [found[name] for name in sorted(found)]


def _structures(hints: Iterable[Any]) -> Iterator[type[Any]]:
    for hint in hints:
        if isinstance(hint, type) and is_dataclass(hint):
            yield hint
        yield from _structures(get_args(hint))
