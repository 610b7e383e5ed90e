"""Beginning something under an id that its sender chose, which may be taken: here, or where nobody looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from commands.context import Done, Unit, execute
from commands.streams import stream_or_not_found
from ledger.errors import IdTaken

if TYPE_CHECKING:
    from collections.abc import Callable

    from commands.context import Context

R = TypeVar("R")


def execute_chosen(context: Context, prefix: str, chosen: str, decide: Callable[[Unit], R]) -> Done[R]:
    """Execute what begins the stream of a chosen id, or refuse: the id is taken.

    An id of another book is not seen, but its row is in the way. Whoever loses to a writer of this book finds
    something moved when it looks again; to lose twice with the same plan is to meet what is out of sight.
    """
    stream = stream_or_not_found(prefix, chosen)
    lost: object = None

    def decide_anew(unit: Unit) -> R:
        nonlocal lost
        if context.log.version_of(context.book, stream):
            raise _taken(chosen)
        result = decide(unit)
        plan = ([(new.stream, new.stream_version) for new in unit.events], unit.guards)
        if plan == lost:
            raise _taken(chosen)
        lost = plan
        return result

    return execute(context, decide_anew)


def _taken(chosen: str) -> IdTaken:
    return IdTaken(f"{chosen} is the id of something else already")
