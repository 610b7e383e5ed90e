"""Explaining an invoice: it is put together again from the log as it was, and compared line by line."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

from commands.billing import bill_of, put_together, state_before
from commands.context import Unit
from commands.invoicing import load_book
from commands.streams import stream_or_not_found
from ledger.identifiers import stream_of
from ledger.measuring import Ask
from ledger.meters import MeterFilter, default_meter
from ledger.streams import invoice as invoices

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from commands.context import Context
    from ledger.assembly import Bill
    from ledger.events.invoice import InvoiceDrafted, InvoiceLine
    from ledger.streams.base import Stream
    from ledger.streams.invoice import Invoice

_CHANGE: Final = "change:"


@dataclass(frozen=True)
class Recomputed:
    """An invoice, what it was put together from, and in what it differs from being put together again.

    `bill` is none where the invoice was not put together by us: a manual one, or one of a processor.
    """

    invoice: Stream[Invoice]
    bill: Bill | None
    differences: tuple[str, ...]

    @property
    def equal(self) -> bool | None:
        """Whether the log gives the same invoice again; none where it is not put together from the log."""
        return None if self.bill is None else not self.differences


def recompute(context: Context, invoice: str) -> Recomputed:
    """Put an invoice together again from the log as it was when it was computed, and compare."""
    stream = stream_or_not_found("inv", invoice)
    loaded = Unit(context).load(invoices.evolve, stream)
    draft = invoices.require(loaded.state).draft
    if draft.subscription is None or draft.due_at is None:
        return Recomputed(loaded, None, ())
    unit = Unit(context, through_position=draft.computed_at_position)
    bill = _bill_again(unit, context, draft)
    again = put_together(unit, bill)
    return Recomputed(loaded, bill, tuple(_differences(draft.lines, again.lines)))


def _bill_again(unit: Unit, context: Context, draft: InvoiceDrafted) -> Bill:
    """Give what the invoice was put together from: the subscription just before, all else at its position."""
    assert draft.subscription is not None, "what is put together is of a subscription"
    assert draft.due_at is not None, "and bills an instant"
    recorded = context.log.load(context.book, stream_of("sub", draft.subscription))
    subscription = state_before(recorded, draft.invoice)
    waiting_only = draft.kind.startswith(_CHANGE)
    bill = bill_of(unit, subscription, load_book(unit), draft.due_at, waiting_only=waiting_only)
    return replace(
        bill,
        through_position=draft.computed_at_position,
        policy_version=draft.policy_version or bill.policy_version,
        late_since=draft.late_since or bill.late_since,
    )


def _differences(issued: Sequence[InvoiceLine], again: Sequence[InvoiceLine]) -> Iterator[str]:
    before, after = {line.line: line for line in issued}, {line.line: line for line in again}
    for name, line in before.items():
        if name not in after:
            yield f"{name} ({line.description}): on the invoice, but the log does not give it"
        else:
            yield from _changes(line, after[name])
    for name in after.keys() - before.keys():
        yield f"{name} ({after[name].description}): the log gives it, but it is not on the invoice"


def _changes(issued: InvoiceLine, again: InvoiceLine) -> Iterator[str]:
    for field in fields(issued):
        was, now = getattr(issued, field.name), getattr(again, field.name)
        if was != now:
            yield f"{issued.line} ({issued.description}): {field.name} is {was}, the log gives {now}"


def line_of(state: Invoice, line: str) -> InvoiceLine:
    """Give a line of an invoice, or refuse: it has no such line."""
    for one in state.draft.lines:
        if one.line == line:
            return one
    message = f"the invoice has no line {line}"
    raise invoices.UnknownLine(message)


def ask_behind(line: InvoiceLine, account: str, bill: Bill | None) -> Ask | None:
    """Say which usage events are behind a line: its meter's, of its group, in its time and positions."""
    if line.usage is None or line.service_from is None or line.service_to is None:
        return None
    if line.usage_through_position is None:
        return None
    meters = {} if bill is None else bill.meters
    definition = meters.get(line.usage.meter) or default_meter(line.usage.meter)
    if line.usage.group:
        of_group = zip(definition.group_by, line.usage.group, strict=True)
        # A property that an event lacks is in a group of its own, which no filter can ask for.
        wanted = tuple(MeterFilter(property=name, values=(value,)) for name, value in of_group if value)
        definition = replace(definition, filters=(*definition.filters, *wanted), group_by=())
    return Ask(
        account=account,
        definition=definition,
        period_from=line.service_from,
        period_to=line.service_to,
        after_position=line.usage_after_position or 0,
        through_position=line.usage_through_position,
    )
