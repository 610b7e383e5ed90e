"""Processes that live and die together: children that are restarted, and that never outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Children are run from where the packages are: their names are generic, and a folder of the user's that is
# called `api` must not be taken for ours.
_ROOT: Final = Path(__file__).parents[1]
_FIRST_DELAY_SECONDS: Final = 0.5
_LONGEST_DELAY_SECONDS: Final = 5.0
_STEADY_SECONDS: Final = 5.0
_WATCH_SECONDS: Final = 0.5
_STANDARD_INPUT: Final = 0
_GO: Final = b"\n"
_PR_SET_PDEATHSIG: Final = 1


def end_with_parent(parent: int) -> None:
    """End this process at once when its parent is gone, however that ended; to be called on the main thread.

    At once is safe, because any process here may be killed at any moment, and it frees the port for the next
    start. On Linux the kernel sees to it; elsewhere the parent's id, which changes, tells.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        _watch(lambda: _wait_while_parent_is(parent))
    if os.getppid() != parent:
        _end()


def wait_for_parent() -> None:
    """Wait for the word of the parent that started this process as a `Child`, and end when the parent does.

    The parent's end of our standard input is its alone, so its closing tells on any system that it is gone.
    Ctrl-C is left to the parent until this process has a way of its own to stop.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(os.getppid())
    if not os.read(_STANDARD_INPUT, len(_GO)):
        _end()
    _watch(lambda: os.read(_STANDARD_INPUT, 1))


def _watch(wait: Callable[[], object]) -> None:
    def watch() -> None:
        wait()
        _end()

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def _wait_while_parent_is(parent: int) -> None:
    # Looked at, where no signal comes of a parent's end.
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Child:
    """One subcommand in a process of its own, restarted when it dies, more slowly while it keeps dying."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    delay_seconds: float = _FIRST_DELAY_SECONDS
    deaths: int = 0

    @property
    def name(self) -> str:
        """The subcommand."""
        return self.arguments[0]

    def start(self) -> None:
        """Start it in our process group, its standard output on our standard error; it waits for our word."""
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603 - our own program and arguments, no shell
            [sys.executable, "-m", "api.cli", *self.arguments, "--child"],
            stdin=subprocess.PIPE,
            stdout=sys.stderr.fileno(),
            cwd=_ROOT,
            env=dict(self.environment),
        )

    def go(self) -> None:
        """Give the word."""
        if self.process is not None and self.process.stdin is not None:
            # One that has died meanwhile is found dead later.
            with suppress(BrokenPipeError):
                os.write(self.process.stdin.fileno(), _GO)

    def forget(self) -> None:
        """Let go of a process that has ended, or is ending."""
        if self.process is not None:
            self.process.wait()
            if self.process.stdin is not None:
                self.process.stdin.close()
        self.process = None

    def found_dead(self) -> int | None:
        """Give the exit status once when the process has ended, and plan its next start."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        now = time.monotonic()
        self.deaths += 1
        if now - self.started_at > _STEADY_SECONDS:
            self.delay_seconds = _FIRST_DELAY_SECONDS
        self.forget()
        self.restart_at = now + self.delay_seconds
        self.delay_seconds = min(self.delay_seconds * 2, _LONGEST_DELAY_SECONDS)
        return status


class Family:
    """The children of this process: started together, looked after, stopped together."""

    def __init__(self, children: Sequence[Child]) -> None:
        """Remember the children; none is started yet."""
        self._children = children

    def start(self) -> None:
        """Start every child: each makes itself ready, and waits for the word."""
        for child in self._children:
            child.start()

    def go(self) -> None:
        """Give every child the word."""
        for child in self._children:
            child.go()

    def look_after(self, say: Callable[[str], None]) -> None:
        """Start again what has died, once its delay is over."""
        for child in self._children:
            status = child.found_dead()
            if status is not None:
                say(f"{child.name} ended ({_how(status)}); it starts again.")
            if child.process is None and time.monotonic() >= child.restart_at:
                child.start()
                child.go()

    def most_deaths(self) -> tuple[str, int]:
        """Name the child that died most often, and say how often."""
        child = max(self._children, key=lambda each: each.deaths)
        return child.name, child.deaths

    def stop(self, grace_seconds: float) -> None:
        """Ask every child to end, and end those that do not in time."""
        for child in self._children:
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        for child in self._children:
            _wait(child, deadline)
        for child in self._children:
            _signal(child, signal.SIGKILL)
            child.forget()


def _wait(child: Child, deadline: float) -> None:
    if child.process is not None:
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.0, deadline - time.monotonic()))


def _signal(child: Child, request: signal.Signals) -> None:
    if child.process is not None and child.process.poll() is None:
        child.process.send_signal(request)


def _how(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
