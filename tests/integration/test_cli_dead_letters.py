"""`daybook dead-letters`: what the installation's operator sees and settles, of every book and of none."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import api.replaying
from api.cli import daybook
from consumers.dead_letter_reads import find
from ledger.errors import Invalid
from ledger.identifiers import INSTALLATION_BOOK, derive, public_id
from ledger.usage_row import row_of
from schemas import topics
from tests.integration.feed_letters import NOW, keep, message, rejected
from tests.integration.log_events import BOOK, MASTER_KEY, OTHER_BOOK, fact, used

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from consumers.dead_letter_reads import DeadLetter
    from consumers.message import Message
    from ledger.store import Extra, Log
    from tests.postgres import Database

Run = Any  # a callable of arguments that gives a click Result


@pytest.fixture
def run(database: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a subcommand of `dead-letters` as the run-time roles."""
    variables = {
        "DAYBOOK_APP_URL": database.app_url,
        "DAYBOOK_INGEST_URL": database.ingest_url,
        "DAYBOOK_MASTER_KEY": b64encode(MASTER_KEY).decode(),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    def invoke(*arguments: str, code: int = 0, **options: Any) -> Result:
        result = CliRunner().invoke(daybook, ["dead-letters", *arguments], **options)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return invoke


@pytest.fixture
def applied(log: Log, monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """Stand for the consumer, which appends an event or refuses a value that begins with bad."""
    seen: list[Message] = []

    def apply(one: Message, extra: Extra) -> None:
        seen.append(one)
        if (one.value or b"").startswith(b"bad"):
            raise Invalid("quantity: is \x1b[31mno number")
        log.append(BOOK, [fact()], extra=extra)

    monkeypatch.setattr(api.replaying, "applier_of", lambda *_: apply)
    return seen


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def read(ingest_log: Log, letter: str) -> DeadLetter:
    with ingest_log.connection() as connection:
        found = find(connection, letter)
    assert found is not None
    return found


# -- list ---------------------------------------------------------------------------------------------


def test_list_shows_what_is_not_settled_of_every_book_newest_first(ingest_log: Log, run: Run) -> None:
    letters = [rejected(), rejected(book=OTHER_BOOK), rejected(book=None), rejected(parked_until=NOW)]
    ids = keep(ingest_log, *letters)
    run("discard", ids[0], "--reason", "r")
    rows = lines(run("list", "--json"))
    assert [row["id"] for row in rows] == [ids[3], ids[2], ids[1]]
    assert [row["book"] for row in rows] == [public_id("book", BOOK), None, public_id("book", OTHER_BOOK)]
    shown = run("list")
    assert all(letter[:12] in shown.stdout for letter in ids[1:])
    assert "2 open" in shown.stderr
    assert [row["id"] for row in lines(run("list", "--status", "discarded", "--json"))] == [ids[0]]


def test_list_filters_by_code_and_topic(ingest_log: Log, run: Run) -> None:
    ids = keep(ingest_log, rejected(code="a"), rejected(code="b"), rejected(code="a", topic=topics.KEYS))
    assert [row["id"] for row in lines(run("list", "--json", "--code", "a"))] == [ids[2], ids[0]]
    assert [row["id"] for row in lines(run("list", "--json", "--topic", topics.KEYS))] == [ids[2]]
    assert [row["id"] for row in lines(run("list", "--json", "--limit", "1"))] == [ids[2]]


def test_nothing_a_bad_message_holds_reaches_the_terminal_as_a_command(ingest_log: Log, run: Run) -> None:
    nasty = "\x1b]0;owned\x07[red]\x9b"
    headers = ((nasty, nasty.encode()),)
    bad = rejected(
        message=message(nasty.encode(), headers=headers), reason=nasty, source=nasty, code="[bold]x"
    )
    [letter] = keep(ingest_log, bad)
    for arguments in (("list",), ("show", letter)):
        said = run(*arguments).output
        assert "\x1b" not in said
        assert "\x07" not in said
        assert "\x9b" not in said
    assert "[red]" in run("show", letter).stdout


# -- show ---------------------------------------------------------------------------------------------


def test_show_gives_everything_of_a_letter(ingest_log: Log, run: Run) -> None:
    bad = message(b'{"data":{"quantity":-1}}', headers=(("a", b"\xff"),))
    [letter] = keep(ingest_log, rejected(message=bad, reason="quantity: must not be negative"))
    shown = run("show", letter).stdout
    for part in (letter, "quantity: must not be negative", '"quantity": -1', "header a:", "/w==", bad.topic):
        assert part in shown
    [view] = lines(run("show", letter, "--json"))
    assert view["value"] == '{"data":{"quantity":-1}}'


def test_show_gives_what_is_not_text_in_base_64(ingest_log: Log, run: Run) -> None:
    binary, empty = keep(ingest_log, rejected(b"\xff\xfe"), rejected(None))
    assert "//4=" in run("show", binary).stdout
    assert "none" in run("show", empty).stdout
    run("discard", binary, "--reason", "r")
    assert "erased" in run("show", binary).stdout


def test_show_lays_a_conflict_beside_the_event_that_is_known(log: Log, ingest_log: Log, run: Run) -> None:
    position = log.append_usage([row_of(used("1"))]).position
    [letter] = keep(ingest_log, rejected(b'{"quantity": 7}', code="conflict", known_position=position))
    shown = run("show", letter).stdout
    assert "this message" in shown
    assert f"known, at position {position}" in shown
    assert '"quantity": 7' in shown
    assert '"quantity": "1"' in shown
    [view] = lines(run("show", letter, "--json"))
    assert view["known"]["data"]["event_id"] == "1"


@pytest.mark.parametrize("command", [("show",), ("replay",), ("discard", "--reason", "r")])
@pytest.mark.parametrize("letter", ["dlt_00000000000000000000000000", "nobody", "\x1b"])
def test_a_letter_that_there_is_not_is_refused(
    run: Run, applied: list[Message], command: tuple[str, ...], letter: str
) -> None:
    result = run(*command, letter, code=1)
    assert "there is no" in str(result.exception)
    assert applied == []


# -- replay -------------------------------------------------------------------------------------------


def test_replay_applies_the_letters_that_are_named(ingest_log: Log, run: Run, applied: list[Message]) -> None:
    first, second = keep(ingest_log, rejected(b"1"), rejected(b"2"))
    result = run("replay", second, first)
    assert result.stdout.splitlines() == [f"{second} replayed", f"{first} replayed"]
    assert [one.value for one in applied] == [b"2", b"1"]
    letter = read(ingest_log, first)
    assert letter.status == "replayed"
    assert letter.resolved_by is not None
    assert letter.resolved_by.startswith("operator ")


def test_replay_all_of_a_code_goes_oldest_first_and_says_what_is_refused_again(
    ingest_log: Log, run: Run, applied: list[Message]
) -> None:
    ids = keep(
        ingest_log,
        rejected(b"1", code="a"),
        rejected(b"bad", code="a"),
        rejected(b"3", code="b"),
        rejected(b"4", code="a", parked_until=NOW),
        rejected(b"5", code="a"),
    )
    result = run("replay", "--all", "--code", "a", "--json", code=1)
    assert [one.value for one in applied] == [b"1", b"bad", b"5"]
    assert [(row["id"], row["status"]) for row in lines(result)] == [
        (ids[0], "replayed"),
        (ids[1], "open"),
        (ids[4], "replayed"),
    ]
    assert "1 of 3 refused again" in result.stderr
    again = run("replay", "--all", "--code", "invalid", code=1)
    assert "refused as invalid: quantity" in again.stdout
    assert "\x1b" not in again.stdout


def test_replay_takes_one_corrected_message_from_a_file(
    ingest_log: Log, run: Run, applied: list[Message], tmp_path: Path
) -> None:
    from_file, from_input = keep(ingest_log, rejected(b"bad"), rejected(b"bad"))
    corrected = tmp_path / "corrected.json"
    corrected.write_bytes(b"right\xff")
    run("replay", from_file, "--value", str(corrected))
    run("replay", from_input, "--value", "-", input=b"typed")
    assert [one.value for one in applied] == [b"right\xff", b"typed"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("dlt_1", "--all"),
        ("dlt_1", "--code", "a"),
        ("dlt_1", "dlt_2", "--value", "-"),
        ("--all", "--value", "-"),
    ],
)
def test_replay_wants_letters_or_all_and_a_value_for_one(run: Run, arguments: tuple[str, ...]) -> None:
    run("replay", *arguments, code=2)


# -- discard ------------------------------------------------------------------------------------------


def test_discard_is_an_event_of_the_messages_book_or_of_the_installations(
    log: Log, ingest_log: Log, run: Run
) -> None:
    mine, nobodys = keep(ingest_log, rejected(), rejected(book=None))
    result = run("discard", mine, nobodys, "--reason", "test traffic", "--json")
    assert [(row["id"], row["status"]) for row in lines(result)] == [
        (mine, "discarded"),
        (nobodys, "discarded"),
    ]
    for letter, book in ((mine, BOOK), (nobodys, INSTALLATION_BOOK)):
        [recorded] = log.load(book, derive("dead-letter-discarded", letter))
        assert (recorded.metadata.actor.principal, recorded.metadata.actor.kind) == ("operator", "system")
        assert recorded.metadata.cause.startswith("daybook dead-letters discard by ")
    assert read(ingest_log, mine).resolution == "test traffic"
    run("discard", mine, "--reason", "again")


def test_discard_wants_a_reason_and_refuses_what_was_replayed(
    ingest_log: Log, run: Run, applied: list[Message]
) -> None:
    [letter] = keep(ingest_log, rejected())
    run("discard", letter, code=2)
    run("discard", letter, "--reason", " ", code=1)
    run("replay", letter)
    assert "replayed already" in str(run("discard", letter, "--reason", "r", code=1).exception)
    assert len(applied) == 1


def test_without_its_database_it_says_which_setting_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAYBOOK_INGEST_URL", "DATABASE_URL", "DAYBOOK_MASTER_KEY"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(daybook, ["dead-letters", "list"])
    assert "DAYBOOK_INGEST_URL" in str(result.exception)
