"""What applies a dead letter's message again, for those who have it replayed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from consumers.admission import Admission
from consumers.message_intake import MessageIntake
from consumers.usage_intake import UsageIntake

if TYPE_CHECKING:
    from collections.abc import Callable

    from consumers.replaying import Applier
    from ledger.settings import Settings
    from ledger.store import Log


def applier_of(settings: Settings, log: Log, all_books: Log) -> Applier:
    """Make what applies a message: commands through `log`, usage of any book through `all_books`."""
    _, messages = make_intakes(settings, all_books, log, lambda: datetime.now(UTC))
    return messages.apply


def make_intakes(
    settings: Settings, all_books: Log, log: Log, clock: Callable[[], datetime]
) -> tuple[UsageIntake, MessageIntake]:
    """Make what applies messages: usage as the role that writes every book's, commands as their own."""
    admission = Admission(all_books, settings.master_key)
    usage = UsageIntake(all_books, admission, settings, clock)
    messages = MessageIntake(
        app_log=log,
        ingest_log=all_books,
        admission=admission,
        usage=usage,
        settings=settings,
        clock=clock,
    )
    return usage, messages
