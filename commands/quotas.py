"""Quotas: what an account may use of each feature in its present periods, and how much it has used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from commands.billing import load_meters, load_priced
from commands.context import Unit
from ledger.identifiers import stream_of
from ledger.measuring import Ask
from ledger.meters import default_meter
from ledger.rating_values import number_text
from ledger.streams import subscription as subscriptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from commands.context import Context
    from ledger.measuring import Measured
    from ledger.streams.subscription import Subscription


@dataclass(frozen=True)
class Quota:
    """What may be used of a feature until it resets; no limit means as much as they like."""

    feature: str
    limit: Decimal | None
    used: Decimal
    hard: bool
    period_from: datetime
    resets_at: datetime
    subscriptions: tuple[str, ...]

    @property
    def remaining(self) -> Decimal | None:
        """What is left; never less than nothing."""
        return None if self.limit is None else max(Decimal(0), self.limit - self.used)


def quotas_of(context: Context, account: str, alive: Iterable[str]) -> list[Quota]:
    """Give the quotas of an account's subscriptions, as their plans and seats are now."""
    return quotas_within(Unit(context), {account: tuple(alive)})[account]


def quotas_within(unit: Unit, alive: Mapping[str, Sequence[str]]) -> dict[str, list[Quota]]:
    """Give the quotas of accounts, each with its subscriptions, measured all at once."""
    unit.prefetch(stream_of("sub", one) for subscribed in alive.values() for one in subscribed)
    granted = {account: _granted_to(unit, subscribed) for account, subscribed in alive.items()}
    return _with_use(unit, granted)


def _granted_to(unit: Unit, subscribed: Iterable[str]) -> list[Quota]:
    """List what the subscriptions of an account grant together, by feature."""
    granted: dict[str, Quota] = {}
    for one in subscribed:
        state = subscriptions.require(unit.load(subscriptions.evolve, stream_of("sub", one)).state)
        for quota in _granted(unit, state):
            granted[quota.feature] = _together(granted.get(quota.feature), quota)
    return [granted[feature] for feature in sorted(granted)]


def _granted(unit: Unit, state: Subscription) -> Iterator[Quota]:
    """List what a subscription's items grant in its present period."""
    if state.period is None or state.status in ("cancelled", "paused"):
        return
    for item in state.items:
        plan = load_priced(unit, item.plan, item.price_version, state.currency)
        for one in plan.terms.entitlements:
            limit = None if one.limit is None else one.limit * (item.quantity if one.per_seat else 1)
            yield Quota(
                feature=one.feature,
                limit=limit,
                used=Decimal(0),
                hard=one.hard,
                period_from=state.period.starts_at,
                resets_at=state.period.ends_at,
                subscriptions=(state.subscription,),
            )


def _together(one: Quota | None, other: Quota) -> Quota:
    """Add up what two items grant of a feature; it is hard only where both are, and resets with the first."""
    if one is None:
        return other
    limit = None if one.limit is None or other.limit is None else one.limit + other.limit
    return Quota(
        feature=one.feature,
        limit=limit,
        used=Decimal(0),
        hard=one.hard and other.hard,
        period_from=max(one.period_from, other.period_from),
        resets_at=min(one.resets_at, other.resets_at),
        subscriptions=tuple(dict.fromkeys((*one.subscriptions, *other.subscriptions))),
    )


def _with_use(unit: Unit, granted: Mapping[str, Sequence[Quota]]) -> dict[str, list[Quota]]:
    """Measure what accounts used of each feature since its period began."""
    meters = load_meters(unit, {quota.feature for quotas in granted.values() for quota in quotas})
    asks = {
        (account, quota.feature): Ask(
            account=account,
            definition=replace(meters.get(quota.feature) or default_meter(quota.feature), group_by=()),
            period_from=quota.period_from,
            period_to=quota.resets_at,
            through_position=unit.head(),
        )
        for account, quotas in granted.items()
        for quota in quotas
    }
    used = dict(zip(asks, unit.measured(list(asks.values())), strict=True))
    return {
        account: [replace(quota, used=_sum(used[account, quota.feature])) for quota in quotas]
        for account, quotas in granted.items()
    }


def _sum(groups: Sequence[Measured]) -> Decimal:
    return Decimal(number_text(sum((Fraction(group.quantity) for group in groups), Fraction())))
