"""What happens to an account's credit, in histories to try projections on."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ledger.events.credit import (
    AccountCredited,
    AccountCreditGivenBack,
    AccountCreditUsed,
    CreditDrawnDown,
    CreditGranted,
    CreditGrantExpired,
    CreditGrantVoided,
    CreditRestored,
    CreditScope,
)

if TYPE_CHECKING:
    from tests.integration.histories import Writer

STREAM = "credit"


def write_credit(writer: Writer, account: str) -> int:
    """Credit an account, give it a grant of either kind, and use some of all that."""
    credited(writer, account, 1000)
    granted(writer, account, "paid")
    granted(writer, account, "promotional")
    drawn(writer, account, "paid", 100)
    return used(writer, account, 300)


def credited(writer: Writer, account: str, amount: int, currency: str = "USD") -> int:
    """Credit an account by hand, or take some of it back."""
    return writer.write(
        STREAM,
        AccountCredited(
            account=account,
            currency=currency,
            amount=amount,
            credit=writer.id_of("credit", f"{writer.at}"),
            source="manual",
            reference=None,
            reason="an outage",
        ),
    )


def used(writer: Writer, account: str, amount: int) -> int:
    """Use some of an account's own credit."""
    return writer.write(STREAM, AccountCreditUsed(**of(account, amount), invoice="inv_1"))


def given_back(writer: Writer, account: str, amount: int) -> int:
    """Give some of an account's own credit back."""
    return writer.write(STREAM, AccountCreditGivenBack(**of(account, amount), invoice="inv_1"))


def granted(writer: Writer, account: str, kind: str, name: str | None = None) -> str:
    """Give an account a grant of 500, and give its id."""
    grant = writer.id_of("grant", name or kind)
    scope = CreditScope(plans=(writer.id_of("plan", "pro"),), meters=("tokens",))
    event = CreditGranted(
        **of(account, 500),
        grant=grant,
        kind=kind,
        method="bank_transfer" if kind == "paid" else None,
        priority=50,
        granted_at=writer.at,
        expires_at=writer.at + timedelta(days=30),
        scope=scope if kind == "paid" else CreditScope(),
        name="Pack",
        reference=name,
    )
    writer.write(STREAM, event)
    return grant


def drawn(writer: Writer, account: str, name: str, amount: int) -> int:
    """Draw some of a grant down."""
    grant = writer.id_of("grant", name)
    return writer.write(STREAM, CreditDrawnDown(**of(account, amount), grant=grant, invoice="inv_1"))


def restored(writer: Writer, account: str, name: str, amount: int) -> int:
    """Give some back to a grant."""
    grant = writer.id_of("grant", name)
    return writer.write(STREAM, CreditRestored(**of(account, amount), grant=grant, invoice="inv_1"))


def expired(writer: Writer, account: str, name: str, amount: int) -> int:
    """Let a grant expire with what is left of it."""
    return writer.write(STREAM, CreditGrantExpired(**of(account, amount), grant=writer.id_of("grant", name)))


def voided(writer: Writer, account: str, name: str) -> int:
    """Take a grant back."""
    return writer.write(
        STREAM,
        CreditGrantVoided(**of(account, 500), grant=writer.id_of("grant", name), reason="a mistake"),
    )


def change_credit(writer: Writer, step: int, number: int, name: str = "ada") -> int:
    """Change one thing or another of a name's account, as a number says; `step` grows with each change."""
    account = writer.id_of("acc", name)
    match number % 6:
        case 0:
            return credited(writer, account, number, "EUR" if number % 4 else "USD")
        case 1:
            return used(writer, account, number)
        case 2:
            return given_back(writer, account, number)
        case 3:
            return drawn(writer, account, "promotional", number)
        case 4:
            return restored(writer, account, "paid", number)
        case _:
            return end_grant(writer, account, f"grant {step}", expires=bool(number % 4))


def end_grant(writer: Writer, account: str, name: str, *, expires: bool) -> int:
    """Give an account a grant that ends unused."""
    granted(writer, account, "paid", name)
    return expired(writer, account, name, 500) if expires else voided(writer, account, name)


def of(account: str, amount: int) -> dict[str, Any]:
    """Give what every event of credit says."""
    return {"account": account, "currency": "USD", "amount": amount}
