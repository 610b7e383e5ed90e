"""Payments that Stripe tells of: many deliveries tell of one, some of a part of it, some without its payer.

The money is posted as far as it is known of. While nobody is known to have paid it, it waits in suspense,
until a later delivery, or the invoice it pays, names the payer. So every order ends in the same balances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from commands.context import Done, Unit, execute
from commands.stripe_books import (
    METHOD,
    Desk,
    Told,
    account_of,
    invoice_object,
    invoice_stream,
    linked,
    payment_id_of,
)
from ledger import posting
from ledger.errors import CurrencyConflict
from ledger.events.payment import PaymentReceived
from ledger.identifiers import stream_of
from ledger.streams import stripe as seen

if TYPE_CHECKING:
    from commands.context import Context
    from ledger.events.journal import JournalEntryPosted
    from ledger.streams.base import Stream

_WHOLE: Final = "payment_received"


@dataclass(frozen=True, kw_only=True)
class PaymentTold:
    """Money that moved inside Stripe; `key` is the payment's one identity.

    `invoice` is the Stripe invoice it pays, where that is told. Unless it is told `whole`, `amount` is only
    what of it was applied to that invoice.
    """

    key: str
    amount: int
    currency: str
    invoice: str | None = None
    whole: bool = True


def receive_payment(context: Context, told: Told, payment: PaymentTold) -> Done[str]:
    """Record a payment as far as it is known of, and post it: to its payer's receivable, or to suspense."""
    payment_id = payment_id_of(context.book, told, payment.key)
    stream = stream_of("pay", payment_id)

    def decide(unit: Unit) -> str:
        desk = Desk.of(unit, told)
        loaded = unit.load(seen.evolve_payment, stream)
        _require_currency(loaded.state, payment)
        account = loaded.state.account if loaded.state else None
        if account is None:
            account = _payer(unit, told, payment)
            loaded = _attributed(desk, loaded, account)
        more = _amount_not_posted(desk, payment_id, payment, loaded.state)
        if more > 0:
            received = _restated(told, payment, payment_id, account, loaded.state, more)
            unit.add(stream, loaded, seen.evolve_payment, [received], told.happened_at)
            desk.post_once(_entry(desk, payment_id, payment, account, more))
        return payment_id

    return execute(context, decide)


def attribute_awaiting(desk: Desk, stripe_invoice: str, account: str) -> None:
    """Take out of suspense the payments that came before the invoice they pay was known."""
    for payment_id in dict.fromkeys(_awaiting(desk, stripe_invoice)):
        loaded = desk.unit.load(seen.evolve_payment, stream_of("pay", payment_id))
        _attributed(desk, loaded, account)


def _payer(unit: Unit, told: Told, payment: PaymentTold) -> str | None:
    """Find who paid: the customer, or whoever the invoice is for; nobody while neither is known."""
    if told.customer is not None:
        return account_of(linked(unit, told)[1])
    if payment.invoice is None:
        return None
    stream = invoice_stream(unit.context.book, told, payment.invoice)
    invoice = unit.load(seen.evolve_invoice, stream)
    if invoice.state is None:
        # The invoice would look for this payment in vain if it came between this look and the append.
        unit.guard(stream, 0)
        return None
    return invoice.state.account


def _attributed(desk: Desk, loaded: Stream[PaymentReceived], account: str | None) -> Stream[PaymentReceived]:
    """Move a payment that waits in suspense to its payer, if both are there."""
    waiting = loaded.state
    if waiting is None or waiting.account is not None or account is None:
        return loaded
    payment, amount = waiting.payment, waiting.amount
    out = desk.fact(None, waiting.currency, payment, "payment_taken_from_suspense")
    desk.post_once(posting.payment_received(out, -amount, through_processor=True))
    back = desk.fact(account, waiting.currency, payment, "payment_attributed")
    desk.post_once(posting.payment_received(back, amount, through_processor=True))
    restated = replace(waiting, account=account)
    stream = stream_of("pay", payment)
    return desk.unit.add(stream, loaded, seen.evolve_payment, [restated], desk.told.happened_at)


def _amount_not_posted(
    desk: Desk, payment_id: str, payment: PaymentTold, known: PaymentReceived | None
) -> int:
    """Give what this delivery adds: parts add up, and the whole holds them all."""
    if known is None:
        return payment.amount
    if payment.whole or payment.invoice is None:
        return max(0, payment.amount - known.amount)
    told_before = (
        desk.entry(payment_id, _WHOLE) is not None
        or desk.entry(payment_id, _part(payment.invoice)) is not None
        or payment_id in _awaiting(desk, payment.invoice)
    )
    return 0 if told_before else payment.amount


def _entry(
    desk: Desk, payment_id: str, payment: PaymentTold, account: str | None, more: int
) -> JournalEntryPosted | None:
    if account is None and payment.invoice is not None:
        return _entry_awaiting(desk, payment_id, payment, more)
    kind = _WHOLE
    if not payment.whole and payment.invoice is not None:
        kind = _part(payment.invoice)
    elif desk.entry(payment_id, _WHOLE) is not None:
        # More of it was captured: the entries add up to what is known of it.
        kind = f"payment_received_through:{payment.amount}"
    fact = desk.fact(account, payment.currency, payment_id, kind)
    return posting.payment_received(fact, more, through_processor=True)


def _entry_awaiting(
    desk: Desk, payment_id: str, payment: PaymentTold, more: int
) -> JournalEntryPosted | None:
    """Post to suspense under the invoice's name, where the invoice will look for the payment."""
    assert payment.invoice is not None
    number = len(_awaiting(desk, payment.invoice)) + 1
    object_name = invoice_object(desk.told, payment.invoice)
    fact = desk.fact(None, payment.currency, object_name, _awaiting_kind(number))
    entry = posting.payment_received(fact, more, through_processor=True)
    assert entry is not None, "there is more to post"
    return replace(
        entry, postings=tuple(replace(posting_, source_object=payment_id) for posting_ in entry.postings)
    )


def _awaiting(desk: Desk, stripe_invoice: str) -> list[str]:
    """List the payments that came before this invoice, in order; one may be there more than once."""
    found: list[str] = []
    object_name = invoice_object(desk.told, stripe_invoice)
    while entry := desk.entry(object_name, _awaiting_kind(len(found) + 1)):
        payment_id = entry.postings[0].source_object
        assert payment_id is not None, "the entry names its payment"
        found.append(payment_id)
    return found


def _awaiting_kind(number: int) -> str:
    return f"payment_awaiting_invoice:{number}"


def _part(stripe_invoice: str) -> str:
    return f"payment_received:{stripe_invoice}"


def _restated(
    told: Told,
    payment: PaymentTold,
    payment_id: str,
    account: str | None,
    known: PaymentReceived | None,
    more: int,
) -> PaymentReceived:
    if known is not None:
        return replace(known, amount=known.amount + more)
    return PaymentReceived(
        payment=payment_id,
        account=account,
        amount=more,
        currency=payment.currency,
        method=METHOD,
        reference=payment.key,
        received_at=told.happened_at,
    )


def _require_currency(known: PaymentReceived | None, payment: PaymentTold) -> None:
    if known is not None and known.currency != payment.currency:
        message = f"payment {payment.key} was told in {known.currency} and in {payment.currency}"
        raise CurrencyConflict(message)
