"""Many subscriptions advanced, or drafts settled, in one unit: read, measured and appended together.

One of them that is refused leaves the others as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from commands.billing import settle
from commands.context import execute
from commands.streams import account_stream, stream_or_not_found
from commands.subscriptions import advance
from ledger.errors import Refusal, VersionConflict
from ledger.identifiers import stream_of
from ledger.streams import invoice as invoices
from ledger.streams import subscription as subscriptions
from ledger.streams.credit import credit_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from commands.context import Context, Done, Unit
    from commands.subscriptions import Billed
    from ledger.measuring import Ask, Measured, MeasuredEvent
    from ledger.streams.base import Stream
    from ledger.streams.invoice import Invoice
    from ledger.usage_corrections import Supposed

R = TypeVar("R")


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What became of one of the batch: its result, or why it was refused."""

    result: R | None
    refusal: Refusal | None = None


def advance_many(contexts: Sequence[Context], named: Sequence[str]) -> Done[list[Outcome[Billed]]]:
    """Do what is due next of each subscription, under a context of its own; all of them are of one book."""
    streams = [stream_or_not_found("sub", one) for one in named]

    def one(unit: Unit, number: int) -> Billed:
        return advance(unit, streams[number])

    return _together(contexts, one, lambda unit: _read_subscriptions(unit, streams))


def settle_many(contexts: Sequence[Context], named: Sequence[str]) -> Done[list[Outcome[Stream[Invoice]]]]:
    """Settle drafts whose grace is over, each under a context of its own; all of them are of one book."""
    streams = [stream_or_not_found("inv", one) for one in named]

    def one(unit: Unit, number: int) -> Stream[Invoice]:
        return settle(unit, named[number])

    return _together(contexts, one, lambda unit: _read_invoices(unit, streams))


def _together(
    contexts: Sequence[Context], one: Callable[[Unit, int], R], read: Callable[[Unit], None]
) -> Done[list[Outcome[R]]]:
    """Do each under its context, in one append."""

    def decide(unit: Unit) -> list[Outcome[R]]:
        read(unit)
        measure_ahead(unit, contexts, one)
        outcomes = []
        for number, context in enumerate(contexts):
            unit.context = context
            outcomes.append(_outcome(unit, one, number))
        return outcomes

    return execute(contexts[0], decide)


def _outcome(unit: Unit, one: Callable[[Unit, int], R], number: int) -> Outcome[R]:
    mark = unit.mark()
    try:
        return Outcome(one(unit, number))
    except VersionConflict:
        raise
    except Refusal as refusal:
        unit.back_to(mark)
        return Outcome(None, refusal)


class _AskedError(Exception):
    """What a rehearsal wanted to measure."""

    def __init__(self, asks: Sequence[Ask]) -> None:
        """Keep the asks."""
        super().__init__()
        self.asks = asks


class _Asking:
    """A measure that only tells what it was asked."""

    def reached(self, book: UUID) -> NoReturn:
        raise AssertionError(book)

    def wait_until(self, book: UUID, position: int, seconds: float) -> None:
        """Wait for nothing: nothing is read here."""

    def measure(self, book: UUID, asked: Sequence[Ask]) -> list[list[Measured]]:  # noqa: ARG002 - asked, not answered
        raise _AskedError(asked)

    def digests(self, book: UUID, asked: Sequence[Ask]) -> NoReturn:
        raise AssertionError(book, asked)

    def behind(self, book: UUID, ask: Ask) -> Iterator[MeasuredEvent]:
        raise AssertionError(book, ask)

    def corrected(self, book: UUID, accounts: Sequence[str], through_position: int) -> NoReturn:
        raise AssertionError(book, accounts, through_position)

    def supposing(self, supposed: Sequence[Supposed]) -> NoReturn:
        raise AssertionError(supposed)


def measure_ahead(unit: Unit, contexts: Sequence[Context], one: Callable[[Unit, int], R]) -> None:
    """Find out what each will measure, by a rehearsal, and measure all of it in one query."""
    asks: list[Ask] = []
    for number, context in enumerate(contexts):
        unit.context = context
        try:
            one(unit.rehearsal(_Asking()), number)
        except _AskedError as asked:
            asks += asked.asks
        except Refusal:
            # It will be refused again, and told of then.
            continue
    if asks:
        unit.measured(asks)


def _read_subscriptions(unit: Unit, streams: Sequence[UUID]) -> None:
    """Read in few queries what the subscriptions need: accounts and their credit, plans, invoices before."""
    unit.prefetch([*streams, unit.context.book])
    states = [unit.load(subscriptions.evolve, stream).state for stream in streams]
    wanted = [
        stream
        for state in states
        if state is not None
        for stream in (
            account_stream(state.account),
            credit_stream(unit.context.book, state.account),
            *(stream_of("plan", item.plan) for item in state.items),
            *(() if state.invoice is None else (stream_of("inv", state.invoice),)),
        )
    ]
    unit.prefetch(wanted)
    _read_corrections(unit, streams)


def _read_invoices(unit: Unit, streams: Sequence[UUID]) -> None:
    unit.prefetch([*streams, unit.context.book])
    drafts = [state.draft for one in streams if (state := unit.load(invoices.evolve, one).state) is not None]
    unit.prefetch(account_stream(draft.account) for draft in drafts)
    unit.prefetch(credit_stream(unit.context.book, draft.account) for draft in drafts)
    subscribed = [stream_of("sub", draft.subscription) for draft in drafts if draft.subscription is not None]
    unit.prefetch(subscribed)
    _read_corrections(unit, subscribed)


def _read_corrections(unit: Unit, streams: Sequence[UUID]) -> None:
    """Look in one query where usage was corrected that may have been billed."""
    states = [unit.load(subscriptions.evolve, stream).state for stream in streams]
    unit.prefetch_corrected(state.account for state in states if state is not None and state.usage)
