"""The log: append, append_usage, load, follow; the only module that knows the library and the driver.

Lock order everywhere: what an `Extra` claims (offsets, sorted; then the idempotency row), then the log.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, cast
from uuid import UUID

import msgspec
from eventsourcing import persistence
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import UniqueViolation
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from ledger.bulk import CHANNEL, UsageOutcome, copy_usage, insert_copied, last_position, one, prepare
from ledger.codec import StoredRow, decode_event, decode_state, encode, metadata_of, subjects_of
from ledger.errors import NotFound, Unavailable, Unstorable, VersionConflict
from ledger.events import NewEvent, Recorded
from ledger.personal import new_data_key, unwrap, wrap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from psycopg import Connection, Cursor
    from psycopg.rows import DictRow

    from ledger.usage_row import UsageRow

_LOCK_TIMEOUT_MS: Final = 10_000
_COLUMNS: Final = "originator_id, originator_version, topic, state, notification_id, book, recorded_at"


class Guard(msgspec.Struct, frozen=True):
    """A stream that was only read, and the version that must still be its last as the events are appended."""

    stream: UUID
    version: int


class Extra(Protocol):
    """What commits together with the events: claims taken before the log's lock, rows written after it."""

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Claim what is claimed before the log is locked."""

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:
        """Write what needs the positions."""


class _LedgerRecorder(PostgresApplicationRecorder):
    """The library's recorder in a transaction of ours: book, claims, lock, guards, events, rows, notify."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        super().__init__(datastore, events_table_name="events")
        # The statement trigger on the table takes the lock; LOCK TABLE would need more than INSERT rights.
        self.lock_table_statements = []

    def append(
        self, book: UUID, stored: Sequence[StoredEvent], guards: Sequence[Guard], extra: Extra | None
    ) -> list[int]:
        """Append in one transaction and return the positions."""
        self.datastore.register_type_adapters()
        with self.datastore.get_connection() as connection, connection.transaction():
            cursor = connection.cursor()
            cursor.execute("SELECT set_config('daybook.book', %s, true)", (str(book),))
            if extra is not None:
                extra.before(cursor)
            positions: list[int] = []
            if stored:
                positions = self._insert_under_lock(cursor, stored, guards)
            if extra is not None:
                extra.after(cursor, positions)
            return positions

    def _insert_under_lock(
        self, cursor: Cursor[DictRow], stored: Sequence[StoredEvent], guards: Sequence[Guard]
    ) -> list[int]:
        if guards:
            # The trigger would take the lock too, but the guards must be read under it.
            cursor.execute("SELECT log.take_lock()")
            _check_guards(cursor, guards)
        self._insert_stored_events(cursor, stored)
        return list(self._fetch_ids_after_insert_events(cursor, stored) or ())


def _check_guards(cursor: Cursor[DictRow], guards: Sequence[Guard]) -> None:
    cursor.execute(
        "SELECT originator_id, max(originator_version) AS version FROM log.events"
        " WHERE originator_id = ANY(%s) GROUP BY originator_id",
        ([guard.stream for guard in guards],),
    )
    found = {row["originator_id"]: row["version"] for row in cursor}
    for guard in guards:
        if found.get(guard.stream, 0) != guard.version:
            message = f"stream {guard.stream} moved past version {guard.version} while this was decided"
            raise VersionConflict(message)


class Log:
    """One database's log, seen through a run-time role; holds a pool of connections."""

    def __init__(self, url: str, master_key: bytes, *, pool_size: int = 4) -> None:
        """Name the database; connections are opened when first needed."""
        parameters = conninfo_to_dict(url)
        self._master_key = master_key
        self._datastore = PostgresDatastore(
            dbname=str(parameters.get("dbname", "")),
            host=str(parameters.get("host", "")),
            port=str(parameters.get("port", "5432")),
            user=str(parameters.get("user", "")),
            password=str(parameters.get("password", "")),
            connect_timeout=5,
            idle_in_transaction_session_timeout=30,
            pool_size=1,
            max_overflow=pool_size - 1,
            schema="log",
        )
        # The library passes five parameters on and drops the rest (sslmode, target_session_attrs, ...).
        # Guards are read under the lock: a snapshot from before it, as repeatable reads have, would not do.
        options = (
            f"-c lock_timeout={_LOCK_TIMEOUT_MS} -c TimeZone=UTC -c statement_timeout=60000"
            " -c default_transaction_isolation=read\\ committed"
        )
        self._datastore.pool.kwargs = {
            **parameters,
            "options": f"{parameters.get('options') or ''} {options}".strip(),
            "row_factory": dict_row,
            "connect_timeout": 5,
        }
        self._recorder: _LedgerRecorder | None = None

    def close(self) -> None:
        """Close the pool."""
        self._datastore.close()

    @contextmanager
    def connection(self) -> Iterator[Connection[DictRow]]:
        """Lend an autocommit connection with no book; an unreachable database is `Unavailable`."""
        try:
            with self._datastore.get_connection() as connection:
                yield connection
        except (persistence.OperationalError, persistence.InterfaceError, persistence.InternalError) as error:
            message = "the database is out of reach"
            raise Unavailable(message) from error

    @contextmanager
    def reading(self, book: UUID) -> Iterator[Connection[DictRow]]:
        """Lend an autocommit connection bound to a book: row-level security shows it nothing else."""
        with self.connection() as connection:
            bind_book(connection, book)
            yield connection

    def append(
        self,
        book: UUID,
        events: Sequence[NewEvent],
        guards: Sequence[Guard] = (),
        extra: Extra | None = None,
    ) -> list[int]:
        """Append events of one book, all or none, and return their positions.

        Raises VersionConflict when a stream already has a version or a guard no longer holds, unless what
        is stored there came from the same cause: then this very append was done before, and its positions
        are returned.
        """
        assert all(new.metadata.book == book for new in events), "an append is of one book"
        if not events and extra is None:
            return []
        data_keys = self._data_keys_for(book, events)
        stored = [
            StoredEvent(
                originator_id=new.stream,
                originator_version=new.stream_version,
                topic=new.event.topic,
                state=encode(new.event, new.metadata, new.stream, new.stream_version, data_keys),
            )
            for new in events
        ]
        try:
            with self._errors_named():
                return self._ready_recorder().append(book, stored, guards, extra)
        except VersionConflict:
            # A guard may have moved since this very append was done, so the cause is looked up then too.
            known = self._positions_of_same_cause(book, events)
            if known is None:
                raise
            return known

    def _ready_recorder(self) -> _LedgerRecorder:
        if self._recorder is None:
            self._recorder = _LedgerRecorder(self._datastore)
        return self._recorder

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except (persistence.OperationalError, persistence.InterfaceError, persistence.InternalError) as error:
            message = "the database is out of reach"
            raise Unavailable(message) from error
        except persistence.IntegrityError as error:
            if not isinstance(error.__cause__, UniqueViolation):
                raise  # an entry that does not balance: trying again cannot help
            message = "another writer reached the stream first"
            raise VersionConflict(message) from error

    def _positions_of_same_cause(self, book: UUID, events: Sequence[NewEvent]) -> list[int] | None:
        """Find out whether the rows in the way are this append's own, stored before its answer was lost."""
        if not events:
            return None
        positions = []
        stored = self.load_streams(book, {new.stream for new in events})
        for new in events:
            match = [r for r in stored.get(new.stream, ()) if r.stream_version == new.stream_version]
            # The event too: one request may ask for two things, and only one of them may have been stored.
            if not match or (match[0].metadata.cause, match[0].event) != (new.metadata.cause, new.event):
                return None
            positions.append(match[0].position)
        return positions

    # -- usage --------------------------------------------------------------------------------------

    def append_usage(self, rows: Sequence[UsageRow]) -> UsageOutcome:
        """Append usage events, at most 5,000, of any books the role may write; duplicates are counted.

        Every event is the first of its own stream, so the primary key tells a duplicate, whenever it comes.
        """
        # One book's batch runs under that book, as row-level security wants of the app's role.
        with self.transaction(UUID(bytes=rows[0].book) if rows else None) as cursor:
            return insert_copied(cursor, copy_usage(cursor, rows))

    @contextmanager
    def transaction(self, book: UUID | None = None) -> Iterator[Cursor[DictRow]]:
        """Lend a cursor in a transaction, bound to a book if one is named: all of it commits, or nothing."""
        try:
            with self.connection() as connection:
                prepare(connection)
                with connection.transaction():
                    cursor = connection.cursor()
                    cursor.execute("SELECT set_config('daybook.book', %s, true)", (str(book or ""),))
                    yield cursor
        except persistence.IntegrityError as error:
            message = "another transaction wrote the same meanwhile"
            raise Unavailable(message) from error
        except persistence.DataError as error:
            message = "the database cannot hold a value"
            raise Unstorable(message) from error

    # -- reading ------------------------------------------------------------------------------------

    def load(self, book: UUID, stream: UUID) -> list[Recorded]:
        """Read one stream of a book, oldest first; empty when the book has no such stream."""
        return self.load_streams(book, [stream]).get(stream, [])

    def load_streams(self, book: UUID, streams: Iterable[UUID]) -> dict[UUID, list[Recorded]]:
        """Read several streams of a book in one query."""
        wanted = list(streams)
        with self.reading(book) as connection:
            query = (
                f"SELECT {_COLUMNS} FROM log.events WHERE originator_id = ANY(%s) ORDER BY originator_version"  # noqa: S608 - constant
            )
            rows = connection.execute(query, (wanted,)).fetchall()
            recorded = self.decode(connection, [_stored_row(row) for row in rows])
        found: dict[UUID, list[Recorded]] = {}
        for event in recorded:
            found.setdefault(event.stream, []).append(event)
        return found

    def version_of(self, book: UUID, stream: UUID) -> int:
        """Give a stream's last version without reading its events; 0 before the first."""
        with self.reading(book) as connection:
            query = "SELECT max(originator_version) AS version FROM log.events WHERE originator_id = %s"
            return one(connection.execute(query, (stream,)))["version"] or 0

    def last(self, book: UUID, stream: UUID) -> Recorded | None:
        """Read the last event of a stream, for streams whose last event tells all there is to know."""
        with self.reading(book) as connection:
            query = (
                f"SELECT {_COLUMNS} FROM log.events WHERE originator_id = %s"  # noqa: S608 - constant
                " ORDER BY originator_version DESC LIMIT 1"
            )
            row = connection.execute(query, (stream,)).fetchone()
            return None if row is None else self.decode(connection, [_stored_row(row)])[0]

    def rows_of(self, book: UUID, streams: Iterable[UUID], topics: Sequence[str]) -> list[StoredRow]:
        """Read the rows of some topics in several streams of a book, undecoded: the hot path's look."""
        with self.reading(book) as connection:
            query = f"SELECT {_COLUMNS} FROM log.events WHERE originator_id = ANY(%s) AND topic = ANY(%s)"  # noqa: S608 - constant
            return [_stored_row(row) for row in connection.execute(query, (list(streams), list(topics)))]

    def at_positions(self, book: UUID, positions: Iterable[int]) -> list[Recorded]:
        """Read the book's events at these positions, in log order, leaving out those it does not have."""
        with self.reading(book) as connection:
            query = (
                f"SELECT {_COLUMNS} FROM log.events WHERE notification_id = ANY(%s) ORDER BY notification_id"  # noqa: S608 - constant
            )
            rows = connection.execute(query, (list(positions),)).fetchall()
            return self.decode(connection, [_stored_row(row) for row in rows])

    def has_position(self, book: UUID, position: int) -> bool:
        """Say whether the book has an event at a position, readable or not."""
        with self.reading(book) as connection:
            query = "SELECT 1 AS found FROM log.events WHERE notification_id = %s"
            return connection.execute(query, (position,)).fetchone() is not None

    def find_key(self, stream: UUID) -> list[Recorded]:
        """Read a key's stream before its book is known."""
        with self.connection() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM log.find_key(%s)", (stream,)).fetchall()  # noqa: S608 - constant
        return [decode_row(_stored_row(row), {}) for row in rows]

    def decode(self, connection: Connection[Any], rows: Sequence[StoredRow]) -> list[Recorded]:
        """Read rows back into events, opening personal fields with the data keys that still exist."""
        states = [decode_state(row.state) for row in rows]
        wanted: dict[UUID, set[str]] = {}
        for row, state in zip(rows, states, strict=True):
            subjects = subjects_of(row.topic, state)
            if subjects:
                wanted.setdefault(row.book, set()).update(subjects)
        keys = {book: self._find_data_keys(connection, book, subjects) for book, subjects in wanted.items()}
        return [decode_row(row, keys.get(row.book, {})) for row in rows]

    def head(self) -> int:
        """Give the last position that was given out, in any book; gaps below it are possible."""
        with self.connection() as connection:
            return last_position(connection.cursor())

    # -- data keys and secrets ----------------------------------------------------------------------

    def wrap(self, secret: bytes, purpose: str, *context: str | bytes) -> bytes:
        """Encrypt a secret under the master key, bound to its context."""
        return wrap(secret, self._master_key, purpose, *context)

    def unwrap(self, wrapped: bytes, purpose: str, *context: str | bytes) -> bytes:
        """Decrypt what `wrap` returned."""
        return unwrap(wrapped, self._master_key, purpose, *context)

    def _find_data_keys(
        self, connection: Connection[Any], book: UUID, subjects: set[str]
    ) -> dict[str, bytes]:
        rows = connection.execute(
            "SELECT subject, wrapped FROM daybook.data_keys"
            " WHERE book = %s AND subject = ANY(%s) AND wrapped IS NOT NULL",
            (book, sorted(subjects)),
        ).fetchall()
        return {
            row["subject"]: self.unwrap(bytes(row["wrapped"]), "data-key", book.bytes, row["subject"])
            for row in rows
        }

    def _data_keys_for(self, book: UUID, events: Sequence[NewEvent]) -> dict[str, bytes]:
        """Find or make the data keys that the events' personal fields are sealed under."""
        subjects = {new.event.subject() for new in events if _has_personal_data(new)}
        if not subjects:
            return {}
        with self.reading(book) as connection:
            missing = subjects - self._find_data_keys(connection, book, subjects).keys()
            for subject in sorted(missing):
                wrapped = self.wrap(new_data_key(), "data-key", book.bytes, subject)
                connection.execute(
                    "INSERT INTO daybook.data_keys (book, subject, wrapped) VALUES (%s, %s, %s)"
                    " ON CONFLICT DO NOTHING",
                    (book, subject, wrapped),
                )
            keys = self._find_data_keys(connection, book, subjects)
        if keys.keys() != subjects:
            message = "the person these facts are about has been forgotten"
            raise NotFound(message)
        return keys


def _has_personal_data(new: NewEvent) -> bool:
    return any(getattr(new.event, field) is not None for field in new.event.personal)


def bind_book(connection: Connection[Any], book: UUID) -> None:
    """Bind a connection to a book until it is bound to another; no round trip when it already is."""
    if getattr(connection, "daybook_book", None) != book:
        connection.execute("SELECT set_config('daybook.book', %s, false)", (str(book),))
        # Inside a transaction the setting may be rolled back, so it is not relied upon afterwards.
        lasting = connection.info.transaction_status == TransactionStatus.IDLE
        cast("Any", connection).daybook_book = book if lasting else None


def follow(
    connection: Connection[Any], after: int, limit: int, through: int | None = None
) -> list[StoredRow]:
    """Read the next rows of all books after a position, in log order, at most `limit`."""
    query = (
        f"SELECT {_COLUMNS} FROM log.events WHERE notification_id > %s AND notification_id <= %s"  # noqa: S608 - constant
        " ORDER BY notification_id LIMIT %s"
    )
    bound = (1 << 63) - 1 if through is None else through
    return [_stored_row(row) for row in connection.execute(query, (after, bound, limit), binary=True)]


def decode_row(row: StoredRow, data_keys: Mapping[str, bytes]) -> Recorded:
    """Read one stored row back into its event."""
    state = decode_state(row.state)
    return Recorded(
        position=row.position,
        stream=row.stream,
        stream_version=row.stream_version,
        recorded_at=row.recorded_at,
        event=decode_event(row.topic, state, row.stream, row.stream_version, data_keys),
        metadata=metadata_of(state, row.book),
    )


def _stored_row(row: DictRow) -> StoredRow:
    return StoredRow(
        position=row["notification_id"],
        stream=row["originator_id"],
        stream_version=row["originator_version"],
        topic=row["topic"],
        state=bytes(row["state"]),
        book=row["book"],
        recorded_at=row["recorded_at"],
    )


def listen(connection: Connection[Any]) -> None:
    """Ask to be woken when events are appended."""
    connection.execute(f"LISTEN {CHANNEL}")
