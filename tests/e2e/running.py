"""Running `daybook` as a process of its own: started, asked, killed, and nothing of it left behind."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
READY_SECONDS = 60.0
STOP_SECONDS = 30.0


def environment(**variables: str) -> dict[str, str]:
    """Give our environment without anything that is Daybook's, and these variables."""
    ours = ("DAYBOOK_", "DATABASE_URL", "KAFKA_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONUNBUFFERED": "1", **variables}


def command(*arguments: str) -> list[str]:
    """Give the command line of one subcommand."""
    return [sys.executable, "-m", "api.cli", *arguments]


def daybook(
    *arguments: str, variables: Mapping[str, str] | None = None, seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run one subcommand to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(**(variables or {})),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def free_port() -> int:
    """Give a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for a condition, and fail when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Answer:
    """An answer of the service."""

    status: int
    body: Any


class Served:
    """A service that answers on a port of this machine."""

    def __init__(self, port: int) -> None:
        """Name the port."""
        self.port = port

    def ask(self, path: str, key: str | None = None, body: object = None, seconds: float = 10) -> Answer:
        """Send a request; status 0 when nobody answered."""
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            return self._answer(request, seconds)
        except (OSError, ValueError, http.client.HTTPException) as error:
            # An HTTPException and a ValueError: a killed server cut its answer off in the middle.
            return Answer(0, str(error))

    def _answer(self, request: urllib.request.Request, seconds: float) -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310 - our own address
                return Answer(answer.status, json.loads(answer.read()))
        except urllib.error.HTTPError as refused:
            with refused:
                return Answer(refused.code, refused.read().decode())


class Dev(Served):
    """A `daybook dev --json`, from its start to its end."""

    def __init__(self, folder: Path, port: int, **variables: str) -> None:
        """Start it; it leads a process group of its own, as it does at a terminal."""
        super().__init__(port)
        self.folder = folder
        self.errors = folder.with_name(f"{folder.name}.log")
        arguments = command("dev", "--json", "--port", str(port), "--data", str(folder))
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                arguments,
                cwd=ROOT,
                env=environment(**variables),
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )

    def ready(self) -> dict[str, str | None]:
        """Wait for its one line."""
        assert self.process.stdout is not None
        found, _, _ = select.select([self.process.stdout], [], [], READY_SECONDS)
        line = self.process.stdout.readline() if found else b""
        assert line, f"dev is not ready: {self.said()}"
        announced: dict[str, str | None] = json.loads(line)
        return announced

    def said(self) -> str:
        """Give everything it and its children wrote to standard error."""
        return self.errors.read_text(errors="replace")

    def rest_of_output(self) -> bytes:
        """Give what came on standard output after the line; the process has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def ctrl_c(self) -> int:
        """Press Ctrl-C, which reaches the whole group, and give the exit status."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it as nothing can prevent."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def family(self) -> list[psutil.Process]:
        """Give every process that it started, and PostgreSQL."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        postmaster = self.postmaster()
        if postmaster is not None:
            found += [postmaster, *postmaster.children()]
        return found

    def postmaster(self) -> psutil.Process | None:
        """Give PostgreSQL's first process, if it runs."""
        try:
            first = (self.folder / "postgres" / "postmaster.pid").read_text().split("\n", maxsplit=1)[0]
            return psutil.Process(int(first))
        except (FileNotFoundError, ValueError, psutil.Error):
            return None

    def child(self, subcommand: str) -> psutil.Process | None:
        """Give the child that runs a subcommand, if it runs."""
        for child in psutil.Process(self.process.pid).children():
            try:
                if subcommand in child.cmdline():
                    return child
            except psutil.Error:
                continue
        return None


@contextmanager
def running_dev(folder: Path, **variables: str) -> Iterator[Dev]:
    """Run `daybook dev` on a folder; whatever happens, nothing of it is left."""
    dev = Dev(folder, free_port(), **variables)
    family: list[psutil.Process] = []
    try:
        yield dev
        if dev.process.poll() is None:
            family = dev.family()
            assert dev.ctrl_c() == 0, dev.said()
    finally:
        end_all(dev, family)


def end_all(dev: Dev, family: list[psutil.Process]) -> None:
    """Kill what is still there, so that a failed test does not disturb the next one."""
    if dev.process.poll() is None:
        family = [*family, *dev.family()]
        dev.kill()
    if dev.process.stdout is not None:
        dev.process.stdout.close()
    postmaster = dev.postmaster()
    for process in [*family, *([postmaster] if postmaster else [])]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=10)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Give those of the processes that still run."""
    return [
        process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]
