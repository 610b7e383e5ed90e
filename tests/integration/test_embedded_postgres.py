"""The embedded PostgreSQL: one holder a folder; no death of a process loses data or leaves a server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from api.data_folder import DataFolderBusy, DataFolderUnusable
from api.embedded_postgres import EmbeddedPostgres, PostgresDidNotStart

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Another process that holds the folder: says the server's id, then waits; a Ctrl-C ends it cleanly.
HOLDER = """
import sys, time
from pathlib import Path
from api.embedded_postgres import EmbeddedPostgres
import psycopg
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    try:
        # Inside: the Ctrl-C may come as soon as the id is known.
        print(server.postmaster_pid, flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        with psycopg.connect(server.url) as connection:
            print(connection.execute("SELECT 'still there'").fetchone()[0], flush=True)
"""


def hold(folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a holder in a process group of its own; returns it and its server's id."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def query(server: EmbeddedPostgres, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.url) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def test_a_new_folder_gets_a_server_that_stops_with_us(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder / "new" / "data") as server:
        pid = server.postmaster_pid
        assert pid is not None
        assert query(
            server, "SELECT current_database(), current_setting('server_version_num')::int / 10000"
        ) == [("daybook", 18)]
    assert server.postmaster_pid is None
    assert not alive(pid)


def test_data_outlives_a_clean_stop(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        query(server, "CREATE TABLE kept AS SELECT 1 AS x")
        url = server.url
    with EmbeddedPostgres(data_folder) as server:
        assert query(server, "SELECT x FROM kept") == [(1,)]
        assert server.url == url


def test_nothing_listens_on_the_network_and_commits_are_durable(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        assert server.postmaster_pid is not None
        assert psutil.Process(server.postmaster_pid).net_connections("inet") == []
        names = "'fsync', 'full_page_writes', 'synchronous_commit', 'data_checksums'"
        found = query(server, f"SELECT DISTINCT setting FROM pg_settings WHERE name IN ({names})")  # noqa: S608
        assert found == [("on",)]
        assert query(server, "SHOW shared_buffers") == [("256MB",)]
        assert (data_folder / "postgres").stat().st_mode & 0o077 == 0


def test_text_sorts_alike_on_every_machine(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        assert query(
            server, "SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = 'daybook'"
        ) == [("b", "C.UTF-8")]


def test_nothing_is_written_to_our_output(data_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with EmbeddedPostgres(data_folder) as server:
        server.restart()
    assert capfd.readouterr() == ("", "")


def test_what_a_failing_statement_held_stays_out_of_the_log(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        query(server, "CREATE TABLE people (email text PRIMARY KEY)")
        query(server, "INSERT INTO people VALUES ('ada@example.com')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            query(server, "INSERT INTO people VALUES ('ada@example.com')")
    log = server.log_path.read_text(encoding="utf-8")
    assert "duplicate key" in log
    assert "ada@example.com" not in log


def test_a_second_process_on_the_folder_is_told_who_has_it(data_folder: Path) -> None:
    holder, pid = hold(data_folder)
    try:
        with pytest.raises(DataFolderBusy, match=f"process {holder.pid}.*--data DIR"):
            EmbeddedPostgres(data_folder).start()
        assert alive(pid)
    finally:
        holder.send_signal(signal.SIGINT)
        holder.communicate(timeout=20)
    assert not alive(pid)


def test_the_folder_is_free_again_after_a_stop(data_folder: Path) -> None:
    for _ in range(2):
        with EmbeddedPostgres(data_folder), pytest.raises(DataFolderBusy):
            EmbeddedPostgres(data_folder).start()


def test_a_server_left_by_a_killed_process_is_taken_over_and_stopped(data_folder: Path) -> None:
    holder, pid = hold(data_folder)
    holder.kill()
    holder.communicate(timeout=20)
    assert alive(pid)
    with EmbeddedPostgres(data_folder) as server:
        assert server.postmaster_pid == pid
        assert query(server, "SELECT 1") == [(1,)]
    wait_until(lambda: not alive(pid))


def test_a_server_taken_over_can_be_restarted(data_folder: Path) -> None:
    holder, pid = hold(data_folder)
    holder.kill()
    holder.communicate(timeout=20)
    with EmbeddedPostgres(data_folder) as server:
        server.restart(immediate=True)
        assert server.postmaster_pid not in {None, pid}
        assert query(server, "SELECT 1") == [(1,)]


def test_a_killed_server_is_noticed_and_recovers_with_what_was_committed(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        query(server, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS x")
        assert server.ensure_running() is False
        pid = server.postmaster_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert server.ensure_running() is True
        assert server.postmaster_pid != pid
        assert query(server, "SELECT count(*) FROM kept") == [(1000,)]


def test_a_server_killed_at_work_waits_for_its_orphans_and_recovers(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        query(server, "CREATE TABLE kept AS SELECT 1 AS x")
        with closing(psycopg.connect(server.url, autocommit=True)) as busy:
            pid = server.postmaster_pid
            assert pid is not None
            busy.execute("CREATE TABLE doubtful (x int)")
            # A statement that runs on for a moment after its postmaster is gone, and holds the shared memory.
            busy.pgconn.send_query(b"INSERT INTO doubtful SELECT generate_series(1, 2000000)")
            os.kill(pid, signal.SIGKILL)
            assert server.ensure_running() is True
        assert query(server, "SELECT x FROM kept") == [(1,)]


def test_both_killed_at_once_recover_at_the_next_start(data_folder: Path) -> None:
    holder, pid = hold(data_folder)
    os.kill(pid, signal.SIGKILL)
    holder.kill()
    holder.communicate(timeout=20)
    assert (data_folder / "postgres" / "postmaster.pid").exists()
    with EmbeddedPostgres(data_folder) as server:
        assert server.postmaster_pid not in {None, pid}
        assert query(server, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("noted", ["", "{our_pid}\n/somewhere\n", "1\n/somewhere\n", "nonsense\n"])
def test_a_pid_file_that_names_a_stranger_is_set_aside(data_folder: Path, noted: str) -> None:
    with EmbeddedPostgres(data_folder) as server:
        server.stop()
    pid_file = data_folder / "postgres" / "postmaster.pid"
    pid_file.write_text(noted.format(our_pid=os.getpid()), encoding="utf-8")
    with EmbeddedPostgres(data_folder) as server:
        assert query(server, "SELECT 1") == [(1,)]


def test_a_list_of_dead_handles_does_not_keep_the_server(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder):
        pass
    (data_folder / "postgres" / ".handle_pids.json").write_text(json.dumps([1, 999_999]), encoding="utf-8")
    with EmbeddedPostgres(data_folder) as server:
        pid = server.postmaster_pid
    assert pid is not None
    assert not alive(pid)


@pytest.mark.parametrize("immediate", [False, True])
def test_a_restart_keeps_the_url_and_what_was_committed(data_folder: Path, immediate: bool) -> None:  # noqa: FBT001
    with EmbeddedPostgres(data_folder) as server:
        url, pid = server.url, server.postmaster_pid
        query(server, "CREATE TABLE kept AS SELECT 1 AS x")
        with psycopg.connect(server.url) as cut_off:
            server.restart(immediate=immediate)
            with pytest.raises(psycopg.OperationalError):
                cut_off.execute("SELECT 1")
        assert (server.url, server.postmaster_pid == pid) == (url, False)
        assert query(server, "SELECT x FROM kept") == [(1,)]


def test_ctrl_c_at_the_terminal_reaches_us_and_not_the_server(data_folder: Path) -> None:
    holder, pid = hold(data_folder)
    assert os.getsid(pid) != os.getsid(holder.pid)
    os.killpg(holder.pid, signal.SIGINT)  # what a terminal does: the whole foreground group
    output, _ = holder.communicate(timeout=20)
    assert output == "still there\n"
    assert holder.returncode == 0
    assert not alive(pid)


def test_a_forked_child_that_ends_does_not_stop_the_server(data_folder: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from api.embedded_postgres import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0)
    os.waitpid(child, 0)
    print(server.ensure_running())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(data_folder)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "False\n"


def test_a_cluster_half_made_by_a_killed_process_is_made_anew(data_folder: Path) -> None:
    unfinished = data_folder / "postgres.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n", encoding="utf-8")
    with EmbeddedPostgres(data_folder) as server:
        assert query(server, "SELECT 1") == [(1,)]
    assert not unfinished.exists()


@pytest.mark.parametrize("name", ["a b", 'o\'brien, "quoted"', "x" * 120, "ünï"])
def test_any_folder_name_will_do(data_folder: Path, name: str) -> None:
    with EmbeddedPostgres(data_folder / name) as server:
        assert query(server, "SELECT 1") == [(1,)]


def test_a_cluster_of_another_version_is_refused_by_name(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder):
        pass
    (data_folder / "postgres" / "PG_VERSION").write_text("16\n", encoding="utf-8")
    with pytest.raises(DataFolderUnusable, match="made by PostgreSQL 16"):
        EmbeddedPostgres(data_folder).start()


def test_a_server_that_cannot_start_shows_its_last_words(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.embedded_postgres.LAUNCH_SECONDS", 0.2)
    with EmbeddedPostgres(data_folder):
        pass
    with (data_folder / "postgres" / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write("no_such_setting = 1\n")
    with pytest.raises(PostgresDidNotStart, match="no_such_setting"):
        EmbeddedPostgres(data_folder).start()


def test_a_large_log_is_put_aside(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.embedded_postgres.LOG_LIMIT_BYTES", 10)
    with EmbeddedPostgres(data_folder) as server:
        server.restart()
    assert (data_folder / "postgres.log.1").exists()
