"""Working off what is due, in order: a page of jobs, and what they lead to, in its place among them."""

from __future__ import annotations

from datetime import timedelta
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final

from consumers.jobs import Settled
from consumers.read_models import READ_MODELS, ProjectionsBehind, wait_until_read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from consumers.jobs import ContextOf, Handler, Job

__all__ = ["PAGE_JOBS", "READ_MODELS", "ProjectionsBehind", "wait_until_read", "work_off"]

PAGE_JOBS: Final = 500


def work_off(
    page: Sequence[Job],
    through: datetime,
    handlers: Mapping[str, Handler],
    context_of: ContextOf,
    within: timedelta = timedelta(0),
) -> Iterator[Settled]:
    """Do the jobs of a page in order, and what they say follows up to an instant.

    Jobs of one book and kind that come next to one another, no further apart in all than `within`, are handed
    to their handler at once.
    """
    waiting, known = list(page), set(page)
    heapify(waiting)
    while waiting:
        batch = _next_batch(waiting, within)
        for one in _handle(batch, handlers, context_of):
            for following in one.follows:
                if following.due_at <= through and following not in known:
                    known.add(following)
                    heappush(waiting, following)
            yield one


def _next_batch(waiting: list[Job], within: timedelta) -> list[Job]:
    first = heappop(waiting)
    batch = [first]
    while waiting and _goes_with(first, waiting[0], within):
        batch.append(heappop(waiting))
    return batch


def _goes_with(first: Job, job: Job, within: timedelta) -> bool:
    return (job.book, job.kind) == (first.book, first.kind) and job.due_at - first.due_at <= within


def _handle(batch: list[Job], handlers: Mapping[str, Handler], context_of: ContextOf) -> Iterator[Settled]:
    handler = handlers.get(batch[0].kind)
    if handler is None:
        for job in batch:
            yield Settled(job, "unknown_kind", "this version of Daybook does not know what to do")
    else:
        yield from handler(batch, context_of)
