"""Everything in one process group on an embedded PostgreSQL: started, looked after and stopped in order."""

from __future__ import annotations

import http.client
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, ClassVar, Final

from api.data_folder import DataFolderLock
from api.embedded_postgres import EmbeddedPostgres
from api.founding import describe, find_founded, found
from api.ports import require_free_port
from api.processes import Child, Family
from api.secrets_file import ensure_secrets
from api.signals import Stop, stop_on_signals
from ledger.errors import DaybookError
from ledger.settings import VARIABLES, Settings
from projections.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_HOST: Final = "127.0.0.1"
_OK: Final = 200
_WORKERS: Final = "1"
_STOP_SECONDS: Final = 12.0
_LOOK_SECONDS: Final = 0.2
_POLL_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 20.0
_MOST_DEATHS: Final = 3
# A variable of the caller's that would take a process to another database than the folder's own.
_STEERING: Final = frozenset(name for name in VARIABLES if name.endswith(("_URL", "_ROLE_PASSWORD")))


def run_dev(
    folder: Path, port: int, announce: Callable[[dict[str, str | None]], None], say: Callable[[str], None]
) -> None:
    """Run until told to stop; `announce` is told once, when everything is ready."""
    secrets = _prepare(folder, port)
    postgres = EmbeddedPostgres(folder)
    variables = {**_inherited(), **secrets, "DATABASE_URL": postgres.url}
    settings = Settings.from_mapping(variables)
    _prepare_feed(settings, say)
    family = Family(_children(settings, variables, port))
    with stop_on_signals() as stop, ExitStack() as ending:
        # Python takes as long to import everything as PostgreSQL to start: they do it side by side.
        ending.callback(family.stop, _STOP_SECONDS)
        family.start()
        ending.enter_context(postgres)
        # What ends is ended backwards, and the children before the server that they use.
        ending.callback(family.stop, _STOP_SECONDS)
        migrate(postgres.url)
        family.go()
        supervisor = _Supervisor(postgres, family, stop, say)
        if supervisor.wait_until_ready(port):
            announce(_ready(settings, postgres.url, folder, port))
            supervisor.look_after_until_stopped()


def _prepare(folder: Path, port: int) -> dict[str, str]:
    """Refuse a folder in use and a port in use before anything is started; give the folder's secrets."""
    lock = DataFolderLock(folder)
    lock.acquire()
    try:
        require_free_port(_HOST, port)
        return ensure_secrets(folder)
    finally:
        lock.release()


def _prepare_feed(settings: Settings, say: Callable[[str], None]) -> None:
    """Make the topics that are missing, where there is a Kafka."""
    if settings.feed.bootstrap_servers is None:
        return
    # Only who has a Kafka waits for its client's import.
    from consumers.topics import admin_client, broker_count, create_topics, planned_topics  # noqa: PLC0415

    with admin_client(settings.feed) as admin:
        made = create_topics(admin, planned_topics(settings.feed, broker_count(admin)))
    created = [one.topic for one in made if one.created]
    if created:
        say(f"Topics made in Kafka: {', '.join(created)}.")


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _STEERING}


def _children(settings: Settings, variables: Mapping[str, str], port: int) -> list[Child]:
    """Describe the processes; none of them is told of the database's owner."""
    run_time = {
        name: value
        for name, value in (
            ("DAYBOOK_APP_URL", settings.app_url),
            ("DAYBOOK_INGEST_URL", settings.ingest_url),
            ("DAYBOOK_FOLLOWER_URL", settings.follower_url),
        )
        if value is not None
    }
    environment = {name: value for name, value in variables.items() if name != "DATABASE_URL"} | run_time
    children = [
        Child(("serve", "--host", _HOST, "--port", str(port), "--workers", _WORKERS), environment),
        Child(("project",), environment),
        Child(("schedule",), environment),
    ]
    if settings.feed.bootstrap_servers is not None:
        # What the server hands on to Kafka must be read again.
        children += [Child(("consume",), environment), Child(("publish",), environment)]
    return children


def _ready(settings: Settings, owner_url: str, folder: Path, port: int) -> dict[str, str | None]:
    """Give what to announce; an organisation is founded when there is none.

    Only now, so that its keys are printed as soon as they exist: nobody could ever read them again.
    """
    organisation = describe(find_founded(owner_url) or found(settings, "My organisation"))
    url = f"http://{_HOST}:{port}"
    path = organisation.pop("webhook_path")
    return {"url": url, **organisation, "webhook_url": f"{url}{path}", "data": str(folder)}


class DidNotStart(DaybookError):
    """A process ends again and again as soon as it is started."""

    code: ClassVar[str] = "did_not_start"


class _Supervisor:
    """Looks after the server and the processes from the start to the end."""

    def __init__(
        self, server: EmbeddedPostgres, family: Family, stop: Stop, say: Callable[[str], None]
    ) -> None:
        self._server = server
        self._family = family
        self._stop = stop
        self._say = say

    def wait_until_ready(self, port: int) -> bool:
        """Return true once the service says that it is ready, false when told to stop before."""
        complain_at = time.monotonic() + _PATIENCE_SECONDS
        while not self._stop.requested:
            status, body = _readiness(port)
            if status == _OK:
                return True
            self._give_up_on_what_cannot_start()
            if time.monotonic() > complain_at:
                self._say(f"Not ready yet: {body}")
                complain_at = time.monotonic() + _PATIENCE_SECONDS
            self._look()
            # Asked again: the service tells that it is ready only when asked, over HTTP.
            time.sleep(_POLL_SECONDS)
        return False

    def _give_up_on_what_cannot_start(self) -> None:
        name, deaths = self._family.most_deaths()
        if deaths >= _MOST_DEATHS:
            raise DidNotStart(
                f"daybook {name} ended {deaths} times before anything was ready; it says why above."
            )

    def look_after_until_stopped(self) -> None:
        """Start again whatever dies, until told to stop."""
        while not self._stop.requested:
            self._look()
            # Of several processes, any may end; and being told to stop is a value to look at (see `Stop`).
            time.sleep(_LOOK_SECONDS)

    def _look(self) -> None:
        if self._server.postmaster_pid is None:
            self._say("PostgreSQL ended; it starts again.")
            self._server.ensure_running()
        self._family.look_after(self._say)


def _readiness(port: int) -> tuple[int, str]:
    """Ask the service whether it is ready; status 0 when it does not answer."""
    connection = http.client.HTTPConnection(_HOST, port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, f"no answer ({str(error) or type(error).__name__})"
    finally:
        connection.close()
