"""How fast projections follow the log, against reading and decoding it and nothing else."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final

import psycopg

from api.demo import run_demo
from api.demo_world import Size
from api.embedded_postgres import EmbeddedPostgres
from api.secrets_file import read_secrets
from bench.database import MASTER_KEY, fill, fresh_database, temporary_folder
from bench.made_up import BATCH_EVENTS
from bench.progress import bar
from bench.results import Result, result
from bench.timing import Timing
from ledger.settings import Settings
from ledger.store import Log
from projections.applier import connect
from projections.batch import decode_batch, read_rows
from projections.follower import Follower
from projections.rebuild import rebuild
from projections.registry import PROJECTIONS

_EVENTS: Final = 1_000_000
_SEED: Final = 1


def follow_usage_totals(scale: float) -> list[Result]:
    """Follow a million usage events for the usage totals alone; the limit is read before and after."""
    events = int(_EVENTS * scale)
    ours, limit = Timing(), Timing()
    with fresh_database() as database:
        fill(database, events)
        url = database.url("follower")
        _read_all(limit, url, MASTER_KEY, events)
        with (
            closing(Follower(url, MASTER_KEY, [PROJECTIONS["usage"]])) as follower,
            bar("following") as progress,
            ours.of(events),
        ):
            follower.catch_up(progress=progress)
        _read_all(limit, url, MASTER_KEY, events)
    return [result("follow_usage_totals", ours.rate, "events/s", limit.rate)]


def rebuild_all(scale: float) -> list[Result]:
    """Rebuild every projection over the demo's month, played with a million usage events."""
    ours, limit = Timing(), Timing()
    with temporary_folder() as folder:
        size = Size(accounts=300, events=int(_EVENTS * scale), seed=_SEED)
        with bar("playing") as progress:
            run_demo(folder, size, lambda _, done: progress(done, 1_000))
        with EmbeddedPostgres(folder) as server:
            settings = Settings.from_mapping({**read_secrets(folder), "DATABASE_URL": server.url})
            assert settings.follower_url is not None, "derived from the owner's URL"
            events = _count(server.url)
            _read_all(limit, settings.follower_url, settings.master_key, events)
            with bar("rebuilding") as progress, ours.of(events):
                rebuilt = rebuild(server.url, settings.follower_url, settings.master_key, progress=progress)
            assert all(comparison.equal for comparison in rebuilt), "a rebuild is what was there"
            _read_all(limit, settings.follower_url, settings.master_key, events)
    return [result("rebuild_all", ours.rate, "events/s", limit.rate)]


def _count(owner_url: str) -> int:
    with psycopg.connect(owner_url) as owner:
        row: Any = owner.execute("SELECT count(*) FROM log.events").fetchone()
    return int(row[0])


def _read_all(timing: Timing, url: str, master_key: bytes, events: int) -> None:
    """Read and decode the whole log, as the follower does, and throw it away."""
    after = 0
    with closing(Log(url, master_key)) as log, connect(url, "bench") as connection, timing.of(events):
        while rows := read_rows(connection, after, BATCH_EVENTS, None):
            after = decode_batch(log, connection, after, rows, frozenset()).last
