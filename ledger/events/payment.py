"""Events of a payment: money received, whatever it is applied to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class PaymentReceived(Event):
    """An account paid an amount, through a processor or outside it; `reference` is the processor's own id.

    It may come again in the payment's stream, told more fully (a later capture, its payer): the last holds.
    """

    topic: ClassVar[str] = "payment.received"

    payment: str
    # None when the processor named no customer: the money waits in suspense.
    account: str | None
    amount: int
    currency: str
    method: str
    reference: str | None
    received_at: datetime
