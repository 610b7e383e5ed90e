"""Schedulers as processes of their own: started again whenever they end, killed, asked to stop."""

from __future__ import annotations

import signal
import subprocess
import threading
from base64 import b64encode
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.acme import MASTER_KEY
from tests.e2e.running import ROOT, command, environment, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres import Database

LEADS = "this scheduler leads\n"


def variables_of(database: Database) -> dict[str, str]:
    """Give what `project` and `schedule` are told."""
    return {
        "DAYBOOK_APP_URL": database.app_url,
        "DAYBOOK_FOLLOWER_URL": database.follower_url,
        "DAYBOOK_MASTER_KEY": b64encode(MASTER_KEY).decode(),
        "DAYBOOK_PEPPERS": f"1:{b64encode(b'p' * 32).decode()}",
    }


class Supervised(threading.Thread):
    """A subcommand that is started again whenever it ends, as a container would be."""

    def __init__(
        self, name: str, arguments: tuple[str, ...], variables: dict[str, str], folder: Path
    ) -> None:
        """Name it; what it says is kept in a file of that name."""
        super().__init__(name=name)
        self._arguments = arguments
        self._variables = variables
        self._log = folder / f"{name}.log"
        self._stop_asked = threading.Event()
        self._begun_at = 0
        self.process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Start it, again and again."""
        while not self._stop_asked.is_set():
            self._begun_at = self._log.stat().st_size if self._log.exists() else 0
            with self._log.open("ab") as errors:
                self.process = subprocess.Popen(
                    command(*self._arguments), cwd=ROOT, env=environment(**self._variables), stderr=errors
                )
            self.process.wait()

    @property
    def leads(self) -> bool:
        """Whether the process that runs now has said that it leads."""
        return LEADS in self.said()[self._begun_at :]

    def kill(self) -> None:
        """End it as nothing can prevent, and wait for the next one to be started."""
        former = self.process
        assert former is not None
        former.send_signal(signal.SIGKILL)
        former.wait(30)
        until(lambda: self.process is not former, 30, f"{self.name} to start again")

    def stop(self) -> int:
        """Have it stop for good, and give how it ended."""
        self._stop_asked.set()
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.join(60)
        assert not self.is_alive(), f"{self.name} does not stop"
        return self.process.wait()

    def end(self) -> None:
        """End it as nothing can prevent, for good."""
        self._stop_asked.set()
        if self.process is not None:
            self.process.kill()
            self.join(60)

    @property
    def ended(self) -> bool:
        """Whether it is not started again."""
        return self._stop_asked.is_set()

    def said(self) -> str:
        """Give all it said so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


@contextmanager
def supervised(
    name: str, arguments: tuple[str, ...], variables: dict[str, str], folder: Path
) -> Iterator[Supervised]:
    """Keep a subcommand running; at the end it must stop cleanly, unless it was ended before."""
    running = Supervised(name, arguments, variables, folder)
    running.start()
    try:
        until(lambda: running.process is not None, 30, f"{name} to start")
        yield running
        if not running.ended:
            assert running.stop() == 0, running.said()
    finally:
        running.end()
