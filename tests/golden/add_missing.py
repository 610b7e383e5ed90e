"""Add the golden files that are absent: `python -m tests.golden.add_missing`; never editing one.

Every field gets a fixed value, from its name where a realistic one is known, else from its type.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints
from uuid import UUID
from zlib import crc32

import msgspec

from ledger.codec import encode
from ledger.events import EVENT_CLASSES, Actor, Event, Metadata
from ledger.events.journal import Posting
from ledger.identifiers import public_id
from tests.golden.golden_event import GoldenEvent, golden_path, golden_text

if TYPE_CHECKING:
    from pathlib import Path

BOOK = UUID("0190163d-8694-739b-aea5-966c26f8ad91")
STREAM = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
STREAM_VERSION = 3
DATA_KEY = bytes(range(32))
INSTANT = datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)
METADATA = Metadata(
    book=BOOK,
    occurred_at=INSTANT,
    booked_at=datetime(2024, 3, 1, tzinfo=UTC),
    actor=Actor(principal=public_id("prn", STREAM), kind="service", key=public_id("key", STREAM)),
    cause="cmd:0190163d-8694-739b-aea5-966c26f8ad91",
)
PREFIXES = {
    "account": "acc",
    "coupon": "coup",
    "dead_letter": "dlt",
    "entry": "ent",
    "invoice": "inv",
    "key": "key",
    "line": "line",
    "organisation": "org",
    "owner": "acc",
    "payment": "pay",
    "plan": "plan",
    "principal": "prn",
    "product": "prod",
    "reverses": "ent",
    "subscription": "sub",
    "tax_rate": "tax",
}
# What is kept by currency; other tables are metadata.
BY_CURRENCY = {"amounts", "amounts_off", "minimums", "prices"}
TEXTS = {
    "aggregation": "sum",
    "behaviour": "exclusive",
    "book": str(BOOK),
    "body": '{"id":"evt_1","object":"event","data":{"object":{"name":"Zoë"}}}',
    "buyer_email": "zoe@example.com",
    "buyer_name": "Zoë Ångström",
    "currency": "EUR",
    "duration": "repeating",
    "email": "zoe@example.com",
    "functional_currency": "EUR",
    "interval": "month",
    "mode": "live",
    "model": "per_unit",
    "name": "Zoë Ångström & 東京",
    "quantity": "12.5",
    "side": "debit",
    "time_zone": "Europe/Paris",
    "timing": "advance",
    "values": "levels",
}
BY_TYPE: dict[Any, Any] = {
    bool: True,
    Decimal: Decimal("1234567890.000000000001"),
    date: date(2024, 2, 29),
    datetime: INSTANT,
    time: time(23, 59, 59),
    Any: {"nested": [1, True, None, 0.5, "é"]},
}


def sample(described: type[Any]) -> Any:
    """Make an instance with a fixed value in every field."""
    hints = get_type_hints(described)
    return described(**{field.name: _value(field.name, hints[field.name]) for field in fields(described)})


def _value(name: str, hint: Any) -> Any:
    """Give a field's fixed value; an optional field is filled."""
    kinds: list[Any] = [each for each in get_args(hint) or (hint,) if each not in (NoneType, ...)]
    if get_origin(hint) is tuple:
        return _items(name, kinds[0])
    if get_origin(hint) is dict:
        keys = ("EUR", "USD") if name in BY_CURRENCY else ("region", "zone")
        return {key: _value(key, kinds[1]) for key in keys}
    if isinstance(kinds[0], type) and is_dataclass(kinds[0]):
        return sample(kinds[0])
    if name == "tax_rates":
        return public_id("tax", STREAM)
    if kinds[0] is int:  # another for each name, so that no two fields can change places unseen
        return 1_000 + crc32(name.encode()) % 9_000
    return _text(name) if kinds[0] is str else BY_TYPE[kinds[0]]


def _items(name: str, kind: Any) -> tuple[Any, ...]:
    if kind is Posting:  # an entry balances, even here
        return (sample(Posting), replace(sample(Posting), side="credit"))
    return (_value(name, kind), _value(name, kind))


def _text(name: str) -> str:
    ending = name.removeprefix("from_").removeprefix("to_")
    if ending in PREFIXES:
        return public_id(PREFIXES[ending], STREAM)
    return TEXTS.get(name, f"the {name.replace('_', ' ')}")


def golden(event: Event) -> GoldenEvent:
    """Store an event under fixed circumstances, and keep what was stored."""
    data_keys = {event.subject(): DATA_KEY} if event.personal else {}
    return GoldenEvent(
        topic=event.topic,
        version=event.version,
        book=BOOK,
        stream=STREAM,
        stream_version=STREAM_VERSION,
        data_keys={subject: data_key.hex() for subject, data_key in data_keys.items()},
        state=msgspec.Raw(encode(event, METADATA, STREAM, STREAM_VERSION, data_keys)),
        event=msgspec.Raw(msgspec.json.encode(event)),
    )


def add_missing() -> list[Path]:
    """Write the files that are absent and name them; opening fails for one that is there after all."""
    missing = [
        (golden_path(topic, event_class.version), event_class)
        for topic, event_class in EVENT_CLASSES.items()
        if not golden_path(topic, event_class.version).exists()
    ]
    for path, event_class in missing:
        text = golden_text(golden(sample(event_class)))
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return [path for path, _ in missing]


if __name__ == "__main__":
    for path in add_missing():
        print(path)  # noqa: T201 - a script talks by printing
