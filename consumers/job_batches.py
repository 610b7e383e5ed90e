"""Jobs done many at a time, in one transaction, a context each; what one is refused is no other's matter."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from commands.billing_batch import advance_many, settle_many
from consumers.jobs import (
    HANDLERS,
    OVERTAKEN,
    UNAVAILABLE,
    Settled,
    advance_job,
    after_advance,
    after_settling,
    next_of_invoice,
    next_of_subscription,
    one_by_one,
    settle_job,
)
from ledger.errors import DaybookError
from projections import due
from projections.applier import UNREACHABLE, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from commands.billing_batch import Outcome
    from commands.context import Context, Done
    from commands.subscriptions import Billed
    from consumers.jobs import Command, ContextOf, Handler, Job
    from ledger.streams.base import Stream
    from ledger.streams.invoice import Invoice

# More would hold the log's lock for longer than a batch of usage does.
MAX_TOGETHER: Final = 100

logger = logging.getLogger("daybook.schedule")


def together(
    many: Callable[[Sequence[Context], Sequence[str]], Done[list[Outcome[Any]]]],
    follows: Callable[[Context, Any], Iterable[Job]],
    command: Command,
) -> Handler:
    """Make a handler that does jobs by the hundred; where that fails as a whole, it does them one by one."""
    alone = one_by_one(command)

    def handle(jobs: Sequence[Job], context_of: ContextOf) -> Iterator[Settled]:
        for start in range(0, len(jobs), MAX_TOGETHER):
            chunk = jobs[start : start + MAX_TOGETHER]
            contexts = [context_of(job) for job in chunk]
            try:
                outcomes = many(contexts, [job.subject for job in chunk]).result
            except UNREACHABLE as error:
                yield from (Settled(job, UNAVAILABLE, type(error).__name__) for job in chunk)
            except Exception as error:  # noqa: BLE001 - one by one shows whose it is
                if not isinstance(error, DaybookError):
                    logger.warning("%d jobs are done one by one: %s", len(chunk), describe(error))
                yield from alone(chunk, context_of)
            else:
                told = zip(chunk, contexts, outcomes, strict=True)
                yield from (_settled(*one, follows) for one in told)

    return handle


def _settled(
    job: Job, context: Context, outcome: Outcome[Any], follows: Callable[[Context, Any], Iterable[Job]]
) -> Settled:
    if outcome.refusal is None:
        return Settled(job, follows=tuple(follows(context, outcome.result)))
    if isinstance(outcome.refusal, OVERTAKEN):
        # Somebody else did it, or ended what it was due of, and the projection has not read that yet.
        return Settled(job)
    return Settled(job, outcome.refusal.code, str(outcome.refusal))


def _soon_after_advance(context: Context, billed: Billed) -> Iterator[Job]:
    """Give what is due next of the subscription and its invoice; the rest is found in rows in its time."""
    assert billed.subscription.state is not None, "what was advanced is there"
    yield from next_of_subscription(context.book, billed.subscription.state)
    if billed.invoice is not None and billed.invoice.state is not None:
        yield from next_of_invoice(context.book, billed.invoice.state)


def _soon_after_settling(context: Context, invoice: Stream[Invoice]) -> Iterator[Job]:
    if invoice.state is not None:
        yield from next_of_invoice(context.book, invoice.state)


# For a book whose time passes: notices and steps are due days later, so nobody need be told of them.
BATCH_HANDLERS: Final[Mapping[str, Handler]] = {
    **HANDLERS,
    due.SUBSCRIPTION: together(advance_many, _soon_after_advance, advance_job),
    due.INVOICE: together(settle_many, _soon_after_settling, settle_job),
}
# For a book that is taken through months in one go: all that follows stands in its place among what is due.
CLOCK_HANDLERS: Final[Mapping[str, Handler]] = {
    **HANDLERS,
    due.SUBSCRIPTION: together(advance_many, after_advance, advance_job),
    due.INVOICE: together(settle_many, after_settling, settle_job),
}
