"""The demo: a small service played through a month, with everything real but the customers."""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, ClassVar, Final

from api.data_folder import LOCK_NAME, DataFolderLock
from api.demo_month import Month, read_month
from api.demo_story import Story
from api.demo_usage import Traffic
from api.demo_webhooks import Webhooks
from api.demo_world import BEGIN, END, Size, World
from api.embedded_postgres import EmbeddedPostgres
from api.secrets_file import ensure_secrets
from commands.bootstrap import Founding, found_organisation
from commands.context import Context
from commands.keys import check_key, issue_key
from commands.principals import register_principal
from consumers.stripe_intake import receive
from consumers.stripe_processor import StripeProcessor
from ledger.errors import DaybookError
from ledger.events import Actor
from ledger.settings import Settings
from ledger.store import Log
from projections.follower import Follower
from projections.migrate import migrate
from projections.rebuild import verify
from projections.registry import PROJECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from commands.bootstrap import Founded

MARKER: Final = "demo.json"
_PROCESS_EVERY: Final = timedelta(hours=6)
# A crash of the machine may cost a demo its last moment: it would be played again from the beginning anyway.
_HASTE: Final = "&options=-c%20synchronous_commit%3Doff"
# How the bar is shared out, from what was measured: playing, projecting, verifying.
_SHARES: Final = {"play": 80, "project": 10, "verify": 10}
BAR: Final = 1_000


class NotADemo(DaybookError):
    """The folder holds something else than a demo, and a demo begins by wiping its folder."""

    code: ClassVar[str] = "not_a_demo"


@dataclass(frozen=True)
class Demo:
    """What was played: the month as it reads, what is needed to look further, and how long it took."""

    month: Month
    founded: Founded
    identical: dict[str, bool]
    seconds: dict[str, float]

    @property
    def green(self) -> bool:
        """Whether the books balance and every projection is what its rebuild would be."""
        return self.month.balanced and all(self.identical.values())


def run_demo(folder: Path, size: Size, report: Callable[[str, int], None]) -> Demo:
    """Wipe the folder, play the month, project, verify and read it back; `report` moves a bar of 1,000."""
    wipe(folder, size)
    secrets = ensure_secrets(folder)
    with EmbeddedPostgres(folder) as server:
        migrate(server.url)
        settings = Settings.from_mapping({**secrets, "DATABASE_URL": server.url})
        return _run(settings, server.url, size, report)


def wipe(folder: Path, size: Size) -> None:
    """Empty the folder of an earlier demo; anything else in it is not ours to remove."""
    lock = DataFolderLock(folder)
    lock.acquire()
    try:
        found = [path for path in folder.iterdir() if path.name != LOCK_NAME]
        if found and not (folder / MARKER).exists():
            raise NotADemo(f"{folder} is not empty and holds no demo: choose another folder with --data.")
        # The marker goes last and comes first: a demo that was killed can always be wiped.
        for path in sorted(found, key=lambda each: each.name == MARKER):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (folder / MARKER).write_text(f'{{"seed": {size.seed}}}\n', encoding="utf-8")
    finally:
        lock.release()


def _run(settings: Settings, owner_url: str, size: Size, report: Callable[[str, int], None]) -> Demo:
    assert settings.app_url is not None, "derived from the owner's URL"
    assert settings.follower_url is not None, "derived from the owner's URL"
    watch = _Watch()
    with closing(Log(settings.app_url + _HASTE, settings.master_key)) as log:
        world = _found(log, settings, size)
        _play(world, settings.follower_url, lambda now: report(f"{now:%d %B %Y}", _played(now)))
        watch.lap("play")
        _project(settings, report)
        watch.lap("project")
        identical = _verify(owner_url, settings, report)
        watch.lap("verify")
        month = read_month(world)
    return Demo(month, world.founded, identical, watch.seconds)


class _Watch:
    """How long each part took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def lap(self, name: str) -> None:
        """End a part."""
        now = time.monotonic()
        self.seconds[name] = round(now - self._since, 2)
        self._since = now


# -- playing ----------------------------------------------------------------------------------------


def _found(log: Log, settings: Settings, size: Size) -> World:
    """Found the organisation, and the service that meters its calls."""
    random = Random(f"founding {size.seed}")  # noqa: S311 - made-up data that must come out the same
    founding = Founding(name="Acme API", principal_name="Grace Hopper")
    founded = found_organisation(log, settings, founding, BEGIN, random.randbytes)
    opened = check_key(log, settings, founded.live_key, BEGIN)
    operator = Actor(principal=opened.key.owner, kind="person", key=opened.key.key)
    context = Context(log, settings, opened.book, operator, "demo:gateway", BEGIN, random.randbytes)
    service = register_principal(context, "service", "Metering gateway").result.principal
    issued = issue_key(context, "live", service, "Metering gateway", ["usage:write"]).result.stream.state
    assert issued is not None, "it was just issued"
    gateway = Actor(principal=service, kind="service", key=issued.key)
    return World(log, settings, founded, opened.book, size, operator, gateway)


def _play(world: World, follower_url: str, report: Callable[[datetime], None]) -> None:
    def take(body: bytes, signature: str, now: datetime) -> bool:
        return receive(world.log, world.settings, "", body, signature, now).new

    processor = StripeProcessor(world.log, follower_url, world.settings, lambda: world.now)

    def process(now: datetime) -> None:
        while processor.step():
            pass
        world.plan_for(now + _PROCESS_EVERY, process)

    Story(world, Webhooks(world, take)).begin()
    Traffic(world).begin()
    process(BEGIN)
    try:
        world.play(report)
        world.now = END
        process(END)
    finally:
        processor.close()


def _played(now: datetime) -> int:
    return int((now - BEGIN) / (END - BEGIN) * _SHARES["play"] * 10)


# -- afterwards -------------------------------------------------------------------------------------


def _project(settings: Settings, report: Callable[[str, int], None]) -> None:
    assert settings.follower_url is not None, "derived from the owner's URL"
    begun = _SHARES["play"] * 10

    def progress(done: int, total: int) -> None:
        report("Projecting", begun + _SHARES["project"] * 10 * done // max(total, 1))

    with closing(Follower(settings.follower_url, settings.master_key, PROJECTIONS.values())) as follower:
        follower.catch_up(progress=progress)


def _verify(owner_url: str, settings: Settings, report: Callable[[str, int], None]) -> dict[str, bool]:
    """Rebuild every projection beside the live one, and say which are the same."""
    assert settings.follower_url is not None, "derived from the owner's URL"
    begun = (_SHARES["play"] + _SHARES["project"]) * 10

    def progress(done: int, total: int) -> None:
        report("Verifying", begun + _SHARES["verify"] * 10 * done // max(total, 1))

    comparisons = verify(owner_url, settings.follower_url, settings.master_key, progress=progress)
    return {comparison.projection: comparison.equal for comparison in comparisons}


def remove(folder: Path) -> None:
    """Remove the folder of a demo."""
    shutil.rmtree(folder)
