"""One process a data folder: an exclusive lock that the system drops when its holder dies in any way."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, ClassVar

from ledger.errors import DaybookError

if TYPE_CHECKING:
    from pathlib import Path

LOCK_NAME = "daybook.lock"


class DataFolderUnusable(DaybookError):
    """The data folder cannot hold or run the embedded PostgreSQL."""

    code: ClassVar[str] = "data_folder_unusable"


class DataFolderBusy(DaybookError):
    """Another process is using this data folder."""

    code: ClassVar[str] = "data_folder_busy"

    def __init__(self, folder: Path, pid: int | None) -> None:
        """Say which folder, who holds it when that is known, and the two ways on."""
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(
            f"The data folder {folder} is in use by {holder}. Stop that one first, "
            "or give this one a folder of its own (daybook dev --data DIR)."
        )
        self.folder = folder
        self.pid = pid


class DataFolderLock:
    """An exclusive lock on `<folder>/daybook.lock`, held until released or until this process ends."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder; nothing is created or locked yet."""
        self._folder = folder
        self._descriptor: int | None = None
        self._holder_pid: int | None = None

    @property
    def held(self) -> bool:
        """Whether this very process took the lock: a forked child shares the descriptor, not the lock."""
        return self._descriptor is not None and self._holder_pid == os.getpid()

    def acquire(self) -> None:
        """Take the lock at once, or raise `DataFolderBusy`; a missing folder is made, for its owner only."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Python opens without inheritance, so a server we start can never keep the lock after we are gone.
        descriptor = os.open(self._folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder_pid = _read_pid(descriptor)
            os.close(descriptor)
            raise DataFolderBusy(self._folder, holder_pid) from None
        self._descriptor, self._holder_pid = descriptor, os.getpid()
        _write_pid(descriptor, str(os.getpid()))

    def release(self) -> None:
        """Give the lock back; the file stays, since without it two later processes could lock two files."""
        if not self.held or self._descriptor is None:
            return
        _write_pid(self._descriptor, "")
        os.close(self._descriptor)
        self._descriptor = None


def _read_pid(descriptor: int) -> int | None:
    """Return the process id that the holder wrote, or None when it has written none yet."""
    text = os.pread(descriptor, 20, 0).strip()
    return int(text) if text.isdigit() else None


def _write_pid(descriptor: int, text: str) -> None:
    """Replace what the lock file says."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
