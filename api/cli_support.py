"""What the subcommands share: settings, where the database is, errors in words, progress and tables."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ledger.errors import DaybookError, Refusal
from ledger.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import rich.progress
    from rich.console import Console

# Lines of progress on a stream that is no terminal come at most this often: a log file is no animation.
_PLAIN_EVERY_SECONDS: Final = 5.0


# Said by `daybook dev` to its children, which begin at its word and end with it.
child_option: Final = click.option("--child", is_flag=True, hidden=True)


def begin(*, child: bool) -> None:
    """Log to standard error; a child of `daybook dev`, with everything imported, waits until that says go."""
    from api.logs import log_to_standard_error
    from api.processes import wait_for_parent

    log_to_standard_error()
    if child:
        wait_for_parent()


def settings_from_environment() -> Settings:
    """Read the settings; the command line is the only place that looks at the environment."""
    return Settings.from_mapping(os.environ)


def required(value: str | None, variable: str, *others: str) -> str:
    """Give a setting that the command cannot do without, or say how to give it."""
    if not value:
        also = "".join(f" (or {other})" for other in others)
        message = f"{variable} is not set{also}; `daybook --help` says what it is for"
        raise SettingsError(message)
    return value


def require_secrets(settings: Settings, *, peppers: bool = True) -> None:
    """Refuse to start without the master key, or without the peppers where keys are made or checked."""
    if not settings.master_key:
        message = "DAYBOOK_MASTER_KEY is not set; make one with: openssl rand -base64 32"
        raise SettingsError(message)
    if peppers and not settings.peppers:
        message = 'DAYBOOK_PEPPERS is not set; make one with: echo "1:$(openssl rand -base64 32)"'
        raise SettingsError(message)


def data_folder(given: Path | None, name: str) -> Path:
    """Give the data folder of `dev` or `demo`: the one named, or one under the user's own data directory."""
    if given is not None:
        return given.expanduser().resolve()
    base = os.environ.get("DAYBOOK_DATA")
    return (Path(base).expanduser().resolve() if base else _user_data()) / name


def _user_data() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "daybook"
    given = os.environ.get("XDG_DATA_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".local" / "share") / "daybook"


def explain(error: BaseException) -> str | None:
    """Say in one line what went wrong, where that is no defect of ours; in the error's own words."""
    import psycopg

    if isinstance(error, Refusal):
        errors = getattr(error, "errors", {})
        return "; ".join(f"{path}: {', '.join(reasons)}" for path, reasons in errors.items()) or str(error)
    if isinstance(error, DaybookError):
        return str(error)
    if isinstance(error, psycopg.OperationalError):
        return f"the database is out of reach: {str(error).strip()}"
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        return "the database has no tables of Daybook's; run `daybook migrate` first"
    return None


@contextmanager
def database_of(data: Path | None) -> Iterator[Settings]:
    """Give settings that reach a database as its owner: DATABASE_URL's, or the embedded one of a data folder.

    The server of a folder that nobody runs is run meanwhile.
    """
    if data is None:
        settings = settings_from_environment()
        required(settings.database_url, "DATABASE_URL", "--data DIR")
        yield settings
        return
    from api.embedded_postgres import DATABASE, EmbeddedPostgres
    from api.postgres_cluster import Cluster, running_postmaster
    from api.secrets_file import read_secrets

    folder = data.expanduser().resolve()
    secrets = read_secrets(folder)
    cluster = Cluster(folder / "postgres", user=None)
    if running_postmaster(cluster.directory) is not None:
        yield Settings.from_mapping({**secrets, "DATABASE_URL": cluster.url(DATABASE)})
        return
    with EmbeddedPostgres(folder) as server:
        yield Settings.from_mapping({**secrets, "DATABASE_URL": server.url})


def say(message: str) -> None:
    """Tell the person at the terminal something; standard output stays for results."""
    click.echo(message, err=True)


def print_json(value: Any) -> None:
    """Print one line of JSON on standard output."""
    import msgspec

    click.echo(msgspec.json.encode(value).decode())


def console() -> Console:
    """Give a console on standard output, wide enough for tables when that is a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


class Progress:
    """Work as it goes: a bar on a terminal, now and then a line of text elsewhere."""

    def __init__(self, title: str, bars: rich.progress.Progress | None) -> None:
        """Begin with nothing done."""
        self._title = title
        self._bars = bars
        self._task = None if bars is None else bars.add_task(title, total=None)
        self._next_at = time.monotonic() + _PLAIN_EVERY_SECONDS

    def __call__(self, done: int, total: int, title: str | None = None) -> None:
        """Say how much of how much is done, and with what."""
        self._title = title or self._title
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=done, total=total, description=self._title)
        elif time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + _PLAIN_EVERY_SECONDS
            say(f"{self._title}: {done / max(total, 1):.0%}")


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """Show work on standard error while it goes on."""
    if not sys.stderr.isatty():
        yield Progress(title, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield Progress(title, bars)
