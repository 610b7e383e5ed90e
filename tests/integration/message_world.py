"""Messages given to what applies them, on a real database, each with the claim of its offset."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from commands.accounts import register_account
from commands.keys import issue_key
from commands.plans import create_plan
from commands.subscriptions import subscribe
from consumers.admission import Admitted
from consumers.command_messages import apply_command
from consumers.message import Message
from ledger.identifiers import public_id
from schemas.message_types import COMMANDS
from tests.acme import NOON, known
from tests.integration.log_events import connected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from commands.context import Context
    from ledger.events import Recorded
    from ledger.store import Log
    from tests.acme import Acme
    from tests.postgres import Database

FEED = "cluster/topic"
LATER = NOON + timedelta(days=1)


ADA = {"name": "Ada", "email": "ada@example.com", "currency": "USD"}


class OutOfTurn(Exception):
    """The offset is not the next one."""


@dataclass
class Turn:
    """The `Extra` that claims one offset of the feed, as the consumer's does."""

    offset: int
    claimed: int = 0

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Move the feed past the offset, if it is at it."""
        self.claimed += 1
        moved = cursor.execute(
            "UPDATE daybook.feed_offsets SET next_offset = %s WHERE feed = %s AND next_offset = %s",
            (self.offset + 1, FEED, self.offset),
        )
        if moved.rowcount != 1:
            raise OutOfTurn

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:
        """Write nothing more."""


class Nothing:
    """An `Extra` that claims nothing, and counts how often it was committed or tried."""

    written = 0

    def before(self, cursor: object) -> None: ...

    def after(self, cursor: object, positions: object) -> None:  # noqa: ARG002 - Extra's shape
        self.written += 1


class Partition:
    """One partition of a feed whose messages are for a book, and how far it is read."""

    def __init__(self, database: Database, book: UUID) -> None:
        """Begin at offset 0."""
        self.database, self.book = database, book
        with connected(self.database.owner_url) as owner:
            owner.execute(
                "INSERT INTO daybook.feed_offsets (feed, topic, partition, next_offset)"
                " VALUES (%s, 't', 0, 0)",
                (FEED,),
            )

    @property
    def read_to(self) -> int:
        """How far the partition is read."""
        with connected(self.database.owner_url) as owner:
            row = owner.execute("SELECT next_offset FROM daybook.feed_offsets").fetchone()
        assert row is not None
        return int(row["next_offset"])

    @property
    def handled(self) -> list[DictRow]:
        """Every message that was carried out."""
        with connected(self.database.owner_url) as owner:
            owner.execute("SET ROLE daybook_app")
            owner.execute("SELECT set_config('daybook.book', %s, false)", (str(self.book),))
            return owner.execute("SELECT * FROM daybook.handled_messages ORDER BY message_id").fetchall()


class Feed(Partition):
    """A partition of commands, applied in Acme's live book unless another is named."""

    def __init__(self, acme: Acme, database: Database) -> None:
        """Begin at offset 0."""
        super().__init__(database, acme.live.book)
        self.acme = acme

    def command(
        self, name: str, data: dict[str, Any] | None = None, subject: str | None = None, **attributes: Any
    ) -> dict[str, Any]:
        """Write a command."""
        message = {
            "specversion": "1.0",
            "id": "1",
            "source": "/signup",
            "type": f"daybook.{name}",
            "book": public_id("book", self.book),
            **attributes,
        }
        if subject is not None:
            message["subject"] = subject
        if data is not None:
            message["data"] = data
        return message

    def apply(
        self,
        command: dict[str, Any],
        *,
        log: Log | None = None,
        context: Context | None = None,
        now: datetime = LATER,
    ) -> Turn:
        """Apply a command at the next offset, and give its turn."""
        context = context or self.acme.live
        turn = Turn(self.read_to)
        apply_command(
            log or self.acme.log,
            context.settings,
            message_of(command, turn.offset, now),
            admitted_to(context, now),
            turn,
        )
        return turn


def chosen_id(prefix: str) -> str:
    """Choose an id, always the same."""
    return public_id(prefix, UUID(int=1, version=4))


ACCOUNT = chosen_id("acc")


def message_of(command: dict[str, Any], offset: int = 0, now: datetime = LATER) -> Message:
    """Make the record of a command."""
    kind = COMMANDS.get(command.get("type", ""))
    return Message(
        feed=FEED,
        topic=kind.topic if kind else "daybook.accounts",
        partition=0,
        offset=offset,
        timestamp=now,
        key=None,
        value=json.dumps(command).encode(),
    )


def admitted_to(context: Context, now: datetime = LATER) -> Admitted:
    """Admit a message to a context's book, in the name of whoever works there."""
    return Admitted(
        book=context.book,
        mode="live",
        actor=replace(context.actor, key=None),
        accepted_at=now,
        cause="kafka",
        stamped=False,
    )


def secret_data(secret: str) -> dict[str, str]:
    return {"secret_sha256": hashlib.sha256(secret.encode()).hexdigest(), "hint": "abcd"}


def a_customer(context: Context, name: str) -> tuple[str, str, str]:
    """Make an account with a key and a subscription, and give their ids."""
    account = str(known(register_account(context, "Ada", None, None).result).account)
    key = issue_key(context, "live", account, "Server", ["read"]).result.stream
    plan = known(create_plan(context, name, "USD", "month", 2900).result).plan
    subscription = subscribe(context, account, plan).result.subscription
    return account, str(known(key).key), str(known(subscription).subscription)


def recorded_of(acme: Acme, after: int, context: Context | None = None) -> list[Recorded]:
    """Read a book's events after a position."""
    book = (context or acme.live).book
    with acme.log.reading(book) as connection:
        rows = connection.execute(
            "SELECT notification_id FROM log.events WHERE notification_id > %s", (after,)
        ).fetchall()
    return acme.log.at_positions(book, [row["notification_id"] for row in rows])
