"""What a projection is: a schema of its own, the topics it handles, and how it applies a batch to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from ledger.events import EVENT_CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from psycopg import Connection

    from projections.batch import Batch


@dataclass(frozen=True)
class Projection:
    """A read model: thrown away and rebuilt at will, and always the same.

    `apply` gets a batch that may hold events of any topic and writes to the tables of the schema that the
    search path names, so it must not name the schema itself: a rebuild runs it in another. `queries` are the
    ones the edges read with; they do name the schema. `prepare`, if any, works out ahead of a batch's turn
    what needs no database.
    """

    name: str
    handled: frozenset[str]
    ignored: frozenset[str]
    tables: tuple[str, ...]
    queries: Mapping[str, str]
    apply: Callable[[Connection[Any], Batch], None]
    prepare: Callable[[Batch], None] | None = None

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


# A row's key, and what an event makes of the row; nothing where there is no row to change.
Change: TypeAlias = tuple[tuple[Any, ...], Callable[[Row | None], Row | None]]


def fold_rows(
    rows: Mapping[tuple[Any, ...], Row], changes: Iterable[Change[Row]]
) -> dict[tuple[Any, ...], Row]:
    """Apply changes in order, each to the row of its key."""
    folded = dict(rows)
    for key, change in changes:
        row = change(folded.get(key))
        if row is not None:
            folded[key] = row
    return folded


class KeyedTable(Generic[Row]):
    """A table whose rows are folded from events: read what a batch touches, change it here, write it back.

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

    def fold(self, connection: Connection[Any], changes: Sequence[Change[Row]]) -> None:
        """Apply changes in order to the rows of their keys."""
        if not changes:
            return
        rows = fold_rows(self._read(connection, {key for key, _ in changes}), changes)
        if rows:
            connection.execute(self._save, (as_json(rows.values()),))

    def _read(self, connection: Connection[Any], keys: set[tuple[Any, ...]]) -> dict[tuple[Any, ...], Row]:
        wanted = as_json(dict(zip(self._key, key, strict=True)) for key in keys)
        rows = connection.execute(self._load, (wanted,)).fetchall()
        return {tuple(row[column] for column in self._key): msgspec.convert(row, self._row) for row in rows}
