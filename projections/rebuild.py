"""Rebuild and verify: the same events applied anew in a shadow schema must give the same rows.

The shadow is made by the migrations themselves. It catches up beside the live projection, which is paused
only while the last stretch is applied, both are compared and, in a rebuild, they trade places.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

import psycopg
from psycopg import sql

from ledger.errors import Conflict, Invalid
from projections.follower import Follower
from projections.migrate import run_projection_migrations
from projections.registry import PROJECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from psycopg import Connection

    from projections.base import Projection

    Progress: TypeAlias = Callable[[int, int], None]

SHADOW: Final = "_rebuild"
_OLD: Final = "_old"
_SAMPLE_ROWS: Final = 20
_BATCH_ROWS: Final = 10_000
# Closer than this the live projection is paused; it moves on meanwhile, so it is not chased for ever.
_CLOSE: Final = 20_000
_CHASES: Final = 5
_LOCK_CLASS: Final = 4_412_027


class UnknownProjection(Invalid):
    """There is no projection of this name."""

    code: ClassVar[str] = "unknown_projection"


class RebuildRunning(Conflict):
    """The projection is being rebuilt or verified already."""

    code: ClassVar[str] = "rebuild_running"


@dataclass(frozen=True)
class Difference:
    """A row that only the live or only the rebuilt table has."""

    table: str
    side: str
    row: str


@dataclass(frozen=True)
class Comparison:
    """What comparing one projection with its rebuild found, at the position both stood at."""

    projection: str
    position: int
    rows: int
    equal: bool
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class _Job:
    """What the steps of a rebuild share."""

    owner: Connection[Any]
    follower_url: str
    master_key: bytes
    swap: bool


def rebuild(
    owner_url: str,
    follower_url: str,
    master_key: bytes,
    names: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[Comparison]:
    """Build projections anew and put them in the place of the live ones; says how the two compared."""
    return _run(owner_url, follower_url, master_key, names, progress, swap=True)


def verify(
    owner_url: str,
    follower_url: str,
    master_key: bytes,
    names: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[Comparison]:
    """Compare projections with what building them anew gives, and leave them as they are."""
    return _run(owner_url, follower_url, master_key, names, progress, swap=False)


def _run(
    owner_url: str,
    follower_url: str,
    master_key: bytes,
    names: Sequence[str] | None,
    progress: Progress | None,
    *,
    swap: bool,
) -> list[Comparison]:
    projections = [_projection(name) for name in (PROJECTIONS if names is None else dict.fromkeys(names))]
    with psycopg.connect(owner_url, autocommit=True, application_name="daybook rebuild") as owner:
        job = _Job(owner, follower_url, master_key, swap)
        with _shadows(owner, projections):
            _approach(job, projections, progress or _silent)
            return [_finish(job, projection) for projection in projections]


def _projection(name: str) -> Projection:
    if name not in PROJECTIONS:
        reason = f"must be one of {', '.join(PROJECTIONS)}"
        raise UnknownProjection(f"projection {name[:64]!r} {reason}", {"projection": [reason]})
    return PROJECTIONS[name]


def _silent(done: int, total: int) -> None:
    """Show no progress."""


# -- shadow schemas ---------------------------------------------------------------------------------


@contextmanager
def _shadows(owner: Connection[Any], projections: Sequence[Projection]) -> Iterator[None]:
    """Make the shadow schemas, and leave nothing of them behind whatever happens."""
    names = [projection.name for projection in projections]
    for name in names:
        _take_lock(owner, name)
    _drop_leftovers(owner, names)
    try:
        for name in names:
            run_projection_migrations(owner, name, name + SHADOW)
        owner.execute(
            "INSERT INTO daybook.tracking (projection) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
            ([*names, *(name + SHADOW for name in names)],),
        )
        yield
    finally:
        _drop_leftovers(owner, names)
        # The server notices a closed connection in its own time; whoever is next need not wait for that.
        owner.execute("SELECT pg_advisory_unlock_all()")


def _take_lock(owner: Connection[Any], name: str) -> None:
    row = owner.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_LOCK_CLASS, name)).fetchone()
    if row is None or not row[0]:
        raise RebuildRunning(f"{name} is being rebuilt or verified already")


def _drop_leftovers(owner: Connection[Any], names: Sequence[str]) -> None:
    """Drop what a rebuild leaves, its own or one that was killed; no live schema is ever named so."""
    for name in names:
        for schema in (name + SHADOW, name + _OLD):
            owner.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
    shadows = [name + SHADOW for name in names]
    owner.execute("DELETE FROM daybook.tracking WHERE projection = ANY(%s)", (shadows,))
    owner.execute("DELETE FROM daybook.passed_over WHERE projection = ANY(%s)", (shadows,))


# -- catching up ------------------------------------------------------------------------------------


def _approach(job: _Job, projections: Sequence[Projection], progress: Progress) -> None:
    """Follow the log close to where the live projections stand, which go on meanwhile."""
    start = 0
    for _ in range(_CHASES):
        targets = _live_positions(job.owner, projections)
        end = max(targets.values())
        for target in sorted(set(targets.values())):
            behind = [projection for projection in projections if targets[projection.name] >= target]
            _catch_up(job, behind, target, progress, end)
        if end - start <= _CLOSE:
            return
        start = end


def _live_positions(owner: Connection[Any], projections: Sequence[Projection]) -> Mapping[str, int]:
    names = [projection.name for projection in projections]
    rows = owner.execute(
        "SELECT projection, position FROM daybook.tracking WHERE projection = ANY(%s)", (names,)
    )
    return dict(rows.fetchall())


def _catch_up(
    job: _Job, projections: Sequence[Projection], through: int, progress: Progress, end: int
) -> None:
    """Bring shadows to a position that is a live projection's, so that they end exactly there."""
    follower = Follower(job.follower_url, job.master_key, projections, suffix=SHADOW, batch_rows=_BATCH_ROWS)
    with closing(follower):
        start = min(follower.positions().values())
        follower.catch_up(through, lambda done, _: progress(start + done, end))


def _finish(job: _Job, projection: Projection) -> Comparison:
    """Pause the live projection, bring the shadow to where it stands, compare, and swap if that is wanted."""
    with job.owner.transaction():
        # The follower passes over a projection whose tracking it cannot lock, and goes on with the others.
        row = job.owner.execute(
            "SELECT position FROM daybook.tracking WHERE projection = %s FOR UPDATE", (projection.name,)
        ).fetchone()
        assert row is not None, "the tracking was made with the shadow"
        position: int = row[0]
        _catch_up(job, [projection], position, _silent, position)
        comparison = _compare(job, projection, position)
        if job.swap:
            _swap(job.owner, projection.name)
    return comparison


def _swap(owner: Connection[Any], name: str) -> None:
    """Put the shadow in the place of the live schema, which is dropped later, when nobody waits for it."""
    live, shadow, old = (sql.Identifier(name + suffix) for suffix in ("", SHADOW, _OLD))
    owner.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(live, old))
    owner.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(shadow, live))
    owner.execute(
        "UPDATE daybook.tracking SET failed_position = NULL, failure = NULL WHERE projection = %s", (name,)
    )
    owner.execute("DELETE FROM daybook.passed_over WHERE projection = %s", (name,))
    owner.execute(
        "UPDATE daybook.passed_over SET projection = %s WHERE projection = %s", (name, name + SHADOW)
    )


# -- comparing --------------------------------------------------------------------------------------

_SUMMARY: Final = (
    "SELECT count(*), coalesce(sum(hashtextextended(kept::text, 0)::numeric), 0) FROM {} AS kept"
)
_ONLY_IN: Final = "SELECT kept::text FROM {} AS kept EXCEPT ALL SELECT other::text FROM {} AS other LIMIT {}"


def _compare(job: _Job, projection: Projection, position: int) -> Comparison:
    """Compare all tables: by a hash that no order of rows changes, and row by row only where that differs."""
    rows = 0
    differences: list[Difference] = []
    # As the follower: an owner that is no superuser is bound by row-level security, and sees no rows at all.
    with psycopg.connect(job.follower_url, autocommit=True, application_name="daybook compare") as connection:
        for table in projection.tables:
            live, shadow = (
                sql.Identifier(projection.name, table),
                sql.Identifier(projection.name + SHADOW, table),
            )
            live_rows, live_hash = _summary(connection, live)
            rows += live_rows
            if (live_rows, live_hash) != _summary(connection, shadow):
                differences += _only_in(connection, table, "live", live, shadow)
                differences += _only_in(connection, table, "rebuilt", shadow, live)
    sample = tuple(differences[:_SAMPLE_ROWS])
    return Comparison(projection.name, position, rows, equal=not differences, differences=sample)


def _summary(connection: Connection[Any], table: sql.Identifier) -> tuple[int, Any]:
    row = connection.execute(sql.SQL(_SUMMARY).format(table)).fetchone()
    assert row is not None, "an aggregate gives one row"
    return row[0], row[1]


def _only_in(
    connection: Connection[Any], table: str, side: str, first: sql.Identifier, second: sql.Identifier
) -> list[Difference]:
    query = sql.SQL(_ONLY_IN).format(first, second, sql.Literal(_SAMPLE_ROWS // 2))
    return [Difference(table, side, row[0]) for row in connection.execute(query)]
