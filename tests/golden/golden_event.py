"""How a golden event is kept: the stored state byte for byte, and the event it reads as."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import msgspec

EVENTS_DIRECTORY = Path(__file__).parent / "events"


class GoldenEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One stored event; `state` keeps its bytes, because the file holds it on a line as it is stored."""

    topic: str
    version: int
    book: UUID
    stream: UUID
    stream_version: int
    data_keys: dict[str, str]
    state: msgspec.Raw
    event: msgspec.Raw

    @property
    def opened_keys(self) -> dict[str, bytes]:
        """The data keys by subject."""
        return {subject: bytes.fromhex(data_key) for subject, data_key in self.data_keys.items()}


def golden_path(topic: str, version: int) -> Path:
    """Say which file holds a topic's version."""
    return EVENTS_DIRECTORY / f"{topic}.v{version}.json"


def read_golden(path: Path) -> GoldenEvent:
    """Read one golden file."""
    return msgspec.json.decode(path.read_bytes(), type=GoldenEvent)


def golden_text(golden: GoldenEvent) -> str:
    """Write a golden file: one line a field, so that the stored bytes stay as they are."""
    lines = [
        f"  {msgspec.json.encode(name).decode()}: {msgspec.json.encode(value).decode()}"
        for name, value in msgspec.structs.asdict(golden).items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"
