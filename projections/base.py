"""What a projection is: a schema of its own, the topics it handles, and how it applies a batch to its tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from ledger.events import EVENT_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from psycopg import Connection

    from projections.batch import Batch


@dataclass(frozen=True)
class Projection:
    """A read model: thrown away and rebuilt at will, and always the same.

    `apply` gets a batch that may hold events of any topic and writes to the tables of the schema that the
    search path names, so it must not name the schema itself: a rebuild runs it in another. `queries` are the
    ones the edges read with; they do name the schema.
    """

    name: str
    handled: frozenset[str]
    ignored: frozenset[str]
    tables: tuple[str, ...]
    queries: Mapping[str, str]
    apply: Callable[[Connection[Any], Batch], None]

    def __post_init__(self) -> None:
        """Make a topic that was forgotten, or named twice, loud as soon as the module is imported."""
        assert not self.handled & self.ignored, f"{self.name} both handles and ignores a topic"
        forgotten = EVENT_CLASSES.keys() ^ (self.handled | self.ignored)
        assert not forgotten, f"{self.name} neither handles nor ignores {sorted(forgotten)}"


Row = TypeVar("Row", bound=msgspec.Struct)
_encode: Final = msgspec.json.Encoder(decimal_format="string").encode


def as_json(rows: Iterable[Any]) -> str:
    """Write rows as the JSON that `json_populate_recordset` reads."""
    return _encode(list(rows)).decode()


class KeyedTable(Generic[Row]):
    """A table whose rows are folded from events: read what a batch touches, change it in Python, write it back.

    The row's fields are the table's columns, in any order; both statements are of the whole batch.
    """

    def __init__(self, name: str, row: type[Row], key: tuple[str, ...]) -> None:
        """Name the table, the struct of its rows and the columns of its primary key."""
        self._row = row
        self._key = key
        columns = [field.name for field in msgspec.structs.fields(row)]
        rest = [column for column in columns if column not in key]
        listed = ", ".join(columns)
        values = f"json_populate_recordset(NULL::{name}, %s::json)"  # our own names, not input
        self._load = (
            f"SELECT {', '.join(f'kept.{column}' for column in columns)} FROM {name} AS kept"  # noqa: S608
            f" JOIN {values} AS wanted USING ({', '.join(key)})"
        )
        self._save = (
            f"INSERT INTO {name} ({listed}) SELECT {listed} FROM {values}"  # noqa: S608
            f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET"
            f" {', '.join(f'{column} = EXCLUDED.{column}' for column in rest)}"
        )

    def fold(
        self, connection: Connection[Any], changes: Sequence[tuple[tuple[Any, ...], Callable[[Row | None], Row | None]]]
    ) -> None:
        """Apply changes in order, each to the row of its key; a change that gives nothing leaves no row."""
        if not changes:
            return
        rows: dict[tuple[Any, ...], Row | None] = dict(self._read(connection, {key for key, _ in changes}))
        for key, change in changes:
            rows[key] = change(rows.get(key))
        kept = [row for row in rows.values() if row is not None]
        if kept:
            connection.execute(self._save, (as_json(kept),))

    def _read(self, connection: Connection[Any], keys: set[tuple[Any, ...]]) -> dict[tuple[Any, ...], Row]:
        wanted = as_json(dict(zip(self._key, key, strict=True)) for key in keys)
        rows = connection.execute(self._load, (wanted,)).fetchall()
        return {
            tuple(row[column] for column in self._key): msgspec.convert(row, self._row) for row in rows
        }
