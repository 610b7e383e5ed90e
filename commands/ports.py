"""What commands need beyond the log, as protocols; whoever runs a command hands them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from ledger.measuring import Ask, Measured, MeasuredEvent
    from ledger.usage_corrections import CorrectedUse, Supposed


COLLECTED: Final = "collected"


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What is to be collected; `attempt` names the try, so that asking again never collects twice."""

    invoice: str
    account: str
    amount: int
    currency: str
    attempt: str


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What came of a try: `collected`, or in a word why not, as `declined` or `pending`.

    A payment that came has the method and the reference by which it is recorded, once.
    """

    outcome: str
    method: str = "gateway"
    reference: str | None = None
    # What was asked for; dunning fills it in.
    amount: int = 0


class PaymentGateway(Protocol):
    """Who can collect what an invoice asks for, by what the customer gave it to pay with."""

    def collect(self, demand: Demand) -> Collection:
        """Try to collect the whole amount; for an attempt it knows, give what came of it."""


class AccountReads(Protocol):
    """What dunning asks about an account, read from models that trail the log no further than they say."""

    def keys_of(self, book: UUID, account: str) -> Sequence[str]:
        """Give the account's keys, whatever their status."""

    def others_hold(self, book: UUID, account: str, invoice: str) -> bool:
        """Say whether another invoice past due keeps the account's keys suspended."""


class Measure(Protocol):
    """How much of a meter accounts used, read from a model that trails the log.

    Asked beyond what the model has read of a book it raises Unavailable, so that nothing is billed too low:
    whoever bills takes a position, waits until the model is there, and asks up to it.
    """

    def reached(self, book: UUID) -> int:
        """Give the position up to which usage of a book can be measured."""

    def wait_until(self, book: UUID, position: int, seconds: float) -> None:
        """Wait until usage of a book can be measured up to a position, or raise Unavailable."""

    def measure(self, book: UUID, asked: Sequence[Ask]) -> list[list[Measured]]:
        """Measure what was asked, each ask by its groups, in the order of the asks: hundreds a call."""

    def digests(self, book: UUID, asked: Sequence[Ask]) -> list[str]:
        """Give, for each ask, the SHA-256 of the events behind it and of their corrections.

        It reads them all, which takes time.
        """

    def behind(self, book: UUID, ask: Ask) -> Iterator[MeasuredEvent]:
        """Read the events behind an ask, as they are once corrected, in log order, as a stream."""

    def corrected(
        self, book: UUID, accounts: Sequence[str], through_position: int
    ) -> Mapping[str, Sequence[CorrectedUse]]:
        """Give where the usage of accounts was corrected, at positions up to one."""

    def supposing(self, supposed: Sequence[Supposed]) -> Measure:
        """Measure as if corrections were in the log that are not."""
