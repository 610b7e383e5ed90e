"""Jobs: what is done of what is due, a kind at a time; rows say what and when, and here is how.

A job names no more than its subject and the instant it was due at. The command it leads to decides from the
log what there is to do, so doing a job twice, or by two schedulers at once, does its thing once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from commands.billing import settle_draft
from commands.coupons import retire_coupon
from commands.credits import expire_grant
from commands.dunning import give_due_notice, next_notice, next_step, take_due_steps
from commands.keys import expire_key
from commands.subscriptions import advance_subscription
from consumers.dunning_reads import DunningReads
from ledger.errors import DaybookError, Refusal, SubscriptionEnded
from ledger.events import Actor
from ledger.streams.subscribing import NothingDue, due_at
from ledger.values import instant_text
from projections import due
from projections.applier import UNREACHABLE, describe

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context
    from commands.subscriptions import Billed
    from ledger.streams.base import Stream
    from ledger.streams.invoice import Invoice
    from ledger.streams.subscription import Subscription

SCHEDULER: Final = Actor(principal="scheduler", kind="scheduler")
UNAVAILABLE: Final = "unavailable"
DEFECT: Final = "defect"
NO_PROGRESS: Final = "no_progress"
# There is nothing to do any more.
OVERTAKEN: Final = (NothingDue, SubscriptionEnded)

logger = logging.getLogger("daybook.schedule")


class Halt(DaybookError):
    """Whoever works must not begin another job; what is left is done later, or by another."""

    code: ClassVar[str] = "halt"


@dataclass(frozen=True, order=True)
class Job:
    """Something that was due at an instant; jobs are done in this order, whatever their book."""

    due_at: datetime
    kind: str
    subject: str
    book: UUID
    account: str | None = field(default=None, compare=False)

    @property
    def cause(self) -> str:
        """What its events name as their cause: the same for whoever does it, and however often."""
        return f"due:{self.kind}:{self.subject}@{instant_text(self.due_at)}"


@dataclass(frozen=True)
class Settled:
    """What became of a job: done when it has no code, else why not; and what is due next because of it.

    What follows need not be told: it is found as soon as the projection has read it. Told, it is done in its
    place among what else is due, without waiting for the projection.
    """

    job: Job
    code: str | None = None
    reason: str = ""
    follows: tuple[Job, ...] = ()

    @property
    def outcome(self) -> str:
        """Say in a word how it ended: done, refused, or failed, which is no fault of the job's."""
        if self.code is None:
            return "done"
        return "failed" if self.code in (UNAVAILABLE, DEFECT) else "refused"


# Gives the context of a job, or raises `Halt`: whoever works asks for one before each thing it does.
ContextOf: TypeAlias = Callable[[Job], "Context"]
# Does jobs of one book and kind, in order, and says of each what became of it as soon as it is settled. One
# whose jobs can share a transaction takes them together, under the context of the first.
Handler: TypeAlias = Callable[[Sequence[Job], ContextOf], Iterable[Settled]]
# Does one job and gives what is due next because of it, as far as it knows.
Command: TypeAlias = Callable[["Context", Job], Iterable[Job]]


def one_by_one(command: Command) -> Handler:
    """Make a handler of a command that does one job: what keeps one from being done is no other's matter."""

    def handle(jobs: Sequence[Job], context_of: ContextOf) -> Iterator[Settled]:
        for job in jobs:
            yield settled(job, context_of(job), command)

    return handle


def settled(job: Job, context: Context, command: Command) -> Settled:
    """Do one job and say what became of it."""
    try:
        return Settled(job, follows=tuple(command(context, job)))
    except OVERTAKEN:
        # Somebody else did it, or ended what it was due of, and the projection has not read that yet.
        return Settled(job)
    except Refusal as refusal:
        return Settled(job, refusal.code, str(refusal))
    except UNREACHABLE as error:
        return Settled(job, UNAVAILABLE, type(error).__name__)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this job's and no other's
        # Not the traceback: it may quote what is in an event.
        logger.error("a defect kept a job from being done: %s: %s", job.cause, describe(error))  # noqa: TRY400
        return Settled(job, DEFECT, describe(error))


def advance_job(context: Context, job: Job) -> Iterator[Job]:
    """Do what is due next of a subscription."""
    return after_advance(context, advance_subscription(context, job.subject).result)


def after_advance(context: Context, billed: Billed) -> Iterator[Job]:
    """Give all that is due next because a subscription was advanced."""
    assert billed.subscription.state is not None, "what was advanced is there"
    yield from next_of_subscription(context.book, billed.subscription.state)
    yield from next_of_notice(context, billed.subscription.state)
    if billed.invoice is not None and billed.invoice.state is not None:
        yield from next_of_issued(context, billed.invoice.state)


def settle_job(context: Context, job: Job) -> Iterator[Job]:
    """Finalize a draft whose grace is over."""
    return after_settling(context, settle_draft(context, job.subject).result)


def after_settling(context: Context, invoice: Stream[Invoice]) -> Iterator[Job]:
    """Give all that is due next because a draft was settled."""
    if invoice.state is not None:
        yield from next_of_issued(context, invoice.state)


def _dun(context: Context, job: Job) -> Iterator[Job]:
    """Take the steps that are due about an invoice."""
    stepped = take_due_steps(context, job.subject, DunningReads(context.log)).result
    assert stepped.invoice.state is not None, "a step is of an invoice"
    yield from next_of_issued(context, stepped.invoice.state)
    if stepped.issued is not None and stepped.issued.state is not None:
        yield from next_of_issued(context, stepped.issued.state)


def _give_notice(context: Context, job: Job) -> tuple[Job, ...]:
    give_due_notice(context, job.subject)
    return ()


def _expire_coupon(context: Context, job: Job) -> tuple[Job, ...]:
    retire_coupon(context, job.subject, "expired")
    return ()


def _expire(context: Context, job: Job) -> tuple[Job, ...]:
    expire_key(context, job.subject)
    return ()


def _expire_grant(context: Context, job: Job) -> tuple[Job, ...]:
    assert job.account is not None, "a grant is an account's"
    expire_grant(context, job.account, job.subject)
    return ()


def next_of_subscription(book: UUID, subscription: Subscription) -> Iterator[Job]:
    """Give what is due next of a subscription, if anything is."""
    next_at = due_at(subscription)
    if next_at is not None:
        yield Job(next_at, due.SUBSCRIPTION, subscription.subscription, book, subscription.account)


def next_of_invoice(book: UUID, invoice: Invoice) -> Iterator[Job]:
    """Give when a draft is finalized, if it is one and it is known."""
    draft = invoice.draft
    if invoice.status == "draft" and draft.finalizes_at is not None:
        yield Job(draft.finalizes_at, due.INVOICE, draft.invoice, book, draft.account)


def next_of_issued(context: Context, invoice: Invoice) -> Iterator[Job]:
    """Give what is due next of an invoice: that it is finalized, or a step once it is past due."""
    draft = invoice.draft
    yield from next_of_invoice(context.book, invoice)
    if invoice.header is None:
        return
    step = next_step(context.log, context.book, draft.invoice)
    if step is not None:
        yield Job(step.due_at, due.DUNNING, draft.invoice, context.book, draft.account)


def next_of_notice(context: Context, subscription: Subscription) -> Iterator[Job]:
    """Give when a subscription's account is told of what comes, if it is."""
    notice = next_notice(context.log, context.book, subscription.subscription)
    if notice is not None:
        yield Job(notice.due_at, due.NOTICE, subscription.subscription, context.book, subscription.account)


HANDLERS: Final[Mapping[str, Handler]] = {
    due.SUBSCRIPTION: one_by_one(advance_job),
    due.INVOICE: one_by_one(settle_job),
    due.KEY: one_by_one(_expire),
    due.CREDIT: one_by_one(_expire_grant),
    due.COUPON: one_by_one(_expire_coupon),
    due.DUNNING: one_by_one(_dun),
    due.NOTICE: one_by_one(_give_notice),
}
