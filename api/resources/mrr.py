"""Monthly recurring revenue: what it was, day by day or year by year, and each movement with its event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.edge import Call, answer, money, operation, page
from ledger.errors import Invalid
from ledger.events.book import BillingPolicyAdopted
from ledger.mrr_movements import roll, totals
from ledger.mrr_periods import calendar, twelve_months
from ledger.periods import local_date
from ledger.policies import DEFAULT_PRESET, policy_of, written
from ledger.streams import book as books
from ledger.streams.base import fold
from ledger.values import instant_text
from projections.mrr_queries import read_changes
from schemas import requests_mrr, responses_mrr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from flask import Response

    from ledger.events import Recorded
    from ledger.mrr_movements import Change, Roll
    from ledger.mrr_periods import Calendar
    from ledger.policies import MrrPolicy
    from ledger.streams.book import Book
    from projections.mrr_queries import KnownAt


@dataclass(frozen=True)
class _Asked:
    """What a report is asked for: of which book and days, as known when, under which definition."""

    book: Book
    since: date
    until: date
    known_at: KnownAt | None
    preset: str
    policy: MrrPolicy

    def calendar(self, interval: str) -> Calendar:
        """Cut the days where the calendar turns over."""
        return calendar(self.since, self.until, interval, self.book.time_zone)

    def view(self) -> dict[str, Any]:
        """Say what was asked for, with every axis of the definition."""
        known_at = self.known_at
        return {
            "from": self.since.isoformat(),
            "to": self.until.isoformat(),
            "time_zone": self.book.time_zone,
            "known_at": str(known_at) if isinstance(known_at, int) else known_at and instant_text(known_at),
            "preset": self.preset,
            "definition": written(self.policy),
        }


@operation(
    "GET",
    "/v1/mrr",
    scope="read",
    query=requests_mrr.MrrQuery,
    answer=responses_mrr.MrrView,
    description=(
        "One series a currency; currencies are never added up without a recorded rate. Beyond the present the"
        " answer is what is certain already: subscriptions that begin later, losses that are dated later."
    ),
)
def get_mrr(call: Call) -> Response:
    """Show monthly recurring revenue by period, and what moved it."""
    asked = _asked(call)
    cut = asked.calendar(call.query["interval"])
    rolls = roll(_changes(call, asked), cut.boundaries, asked.book.functional_currency)
    periods = len(cut.days) - 1
    data = [
        _period_view(one, cut, number % periods, asked.policy, by_plan=call.query["group_by"] == "plan")
        for number, one in enumerate(rolls)
    ]
    return answer({**asked.view(), "interval": call.query["interval"], "data": data})


@operation(
    "GET",
    "/v1/mrr/movements",
    scope="read",
    query=requests_mrr.MovementsQuery,
    answer=responses_mrr.MovementsView,
)
def get_movements(call: Call) -> Response:
    """List the movements of monthly recurring revenue, each with the event that caused it."""
    asked = _asked(call)
    from_at, *_, to_at = asked.calendar("year").boundaries
    account, after = call.query.get("account"), call.query.get("after")
    limit = call.query["limit"]
    inside = [one for one in _changes(call, asked, account) if from_at <= one.at < to_at and one.kind]
    rest = [one for one in inside if after is None or (one.at, one.position) > after]
    rows, following = page(
        rest[: limit + 1], limit, lambda one: requests_mrr.movement_cursor(one.at, one.position)
    )
    sums = [_totals_view(currency, by_kind) for currency, by_kind in sorted(totals(inside).items())]
    data = [_movement_view(one) for one in rows]
    return answer({**asked.view(), "data": data, "totals": sums, "next": following})


def _asked(call: Call) -> _Asked:
    """Put the book's own answers in the place of what the query leaves open."""
    known_at: KnownAt | None = call.query.get("known_at")
    if isinstance(known_at, int) and known_at > call.log.head():
        message = "there is no such position yet"
        raise Invalid(f"known_at: {message}", {"known_at": [message]})
    recorded = call.log.load(call.book, call.book)
    book = books.require(fold(books.evolve, recorded).state)
    since, until = twelve_months(local_date(call.now, book.time_zone))
    preset, policy = _definition(recorded, known_at, call.query.get("preset"))
    return _Asked(
        book, call.query.get("since", since), call.query.get("until", until), known_at, preset, policy
    )


def _definition(
    recorded: Sequence[Recorded], known_at: KnownAt | None, preset: str | None
) -> tuple[str, MrrPolicy]:
    """Give the definition that is asked for, or the one the book had adopted by then."""
    if preset is not None:
        return preset, policy_of(preset, {}).mrr
    adopted = [
        one.event
        for one in recorded
        if isinstance(one.event, BillingPolicyAdopted) and _was_known(one, known_at)
    ]
    if not adopted:
        return DEFAULT_PRESET, policy_of(DEFAULT_PRESET, {}).mrr
    return adopted[-1].preset, policy_of(adopted[-1].preset, adopted[-1].overrides).mrr


def _was_known(recorded: Recorded, known_at: KnownAt | None) -> bool:
    if known_at is None:
        return True
    if isinstance(known_at, int):
        return recorded.position <= known_at
    return recorded.metadata.booked_at <= known_at


def _changes(call: Call, asked: _Asked, account: str | None = None) -> list[Change]:
    with call.reading() as connection:
        call.wait_for(connection, "mrr")
        return read_changes(connection, asked.policy, account, asked.known_at)


# -- views --------------------------------------------------------------------------------------------


def _period_view(
    one: Roll, cut: Calendar, number: int, policy: MrrPolicy, *, by_plan: bool
) -> dict[str, Any]:
    shows_trials = policy.trials == "separate_figure"
    plans = [{"plan": plan, "mrr": money(amount, one.currency)} for plan, amount in one.by_plan.items()]
    return {
        "from": cut.days[number].isoformat(),
        "to": cut.days[number + 1].isoformat(),
        "from_at": instant_text(one.from_at),
        "to_at": instant_text(one.to_at),
        "opening": money(one.opening_minor, one.currency),
        "movements": _sums_view(one.currency, one.movements),
        "mrr": money(one.closing_minor, one.currency),
        "trial": money(one.trial_minor, one.currency) if shows_trials else None,
        "accounts": one.accounts,
        "by_plan": plans if by_plan else None,
    }


def _movement_view(one: Change) -> dict[str, Any]:
    return {
        "occurred_at": instant_text(one.at),
        "account": one.account,
        "subscription": one.subscription,
        "kind": one.kind,
        "amount": money(one.amount_minor, one.currency),
        "exact": str(one.amount),
        "mrr_after": money(one.after_minor, one.currency),
        "position": one.position,
        "positions": list(one.positions),
        "topic": one.topic,
    }


def _totals_view(currency: str, by_kind: Mapping[str, int]) -> dict[str, Any]:
    net = money(sum(by_kind.values()), currency)
    return {"currency": currency, "movements": _sums_view(currency, by_kind), "net": net}


def _sums_view(currency: str, by_kind: Mapping[str, int]) -> dict[str, Any]:
    return {kind: money(amount, currency) for kind, amount in by_kind.items()}
