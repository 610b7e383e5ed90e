"""One plain sentence an event of an account's credit."""

from __future__ import annotations

from typing import assert_never

from ledger.events.credit import (
    AccountCredited,
    AccountCreditGivenBack,
    AccountCreditUsed,
    CreditDrawnDown,
    CreditEvent,
    CreditGranted,
    CreditGrantExpired,
    CreditGrantVoided,
    CreditRestored,
)
from projections.words import instant, money


def credit_sentence(event: CreditEvent) -> str:  # noqa: PLR0911 - one sentence an event
    """Say what happened to an account's credit."""
    amount = money(abs(event.amount), event.currency)
    match event:
        case AccountCredited():
            return _credited(event, amount)
        case AccountCreditUsed():
            return f"{amount} of the account's credit was used for invoice {event.invoice}."
        case AccountCreditGivenBack():
            return f"{amount} of credit came back to the account from invoice {event.invoice}."
        case CreditGranted():
            until = "" if event.expires_at is None else f", until {instant(event.expires_at)}"
            return f"Got {amount} of {event.kind} credit{until} ({event.grant})."
        case CreditDrawnDown():
            return f"{amount} of grant {event.grant} was used for invoice {event.invoice}."
        case CreditRestored():
            return f"{amount} came back to grant {event.grant} from invoice {event.invoice}."
        case CreditGrantExpired():
            return f"Grant {event.grant} expired with {amount} left."
        case CreditGrantVoided():
            return f"Grant {event.grant} of {amount} was taken back unused."
        case _:
            assert_never(event)


def _credited(event: AccountCredited, amount: str) -> str:
    how = f"by hand ({event.credit})" if event.source == "manual" else f"with invoice {event.reference}"
    if event.amount < 0:
        return f"{amount} of the account's credit was taken back {how}."
    return f"The account was credited {amount} {how}."
