"""Whatever happened and whatever counts: movements sum to the change, and the change is what was so."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.mrr_movements import (
    CHURN,
    CONTRACTION,
    EXPANSION,
    KINDS,
    NEW,
    REACTIVATION,
    roll,
    rounded,
    totals,
)
from ledger.policies import policy_of
from tests.mrr_events import BEGINNING
from tests.mrr_random import MRR_PRESETS, mrr_policies, stories, worth_before

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.mrr_movements import Change
    from ledger.policies import MrrPolicy
    from tests.mrr_story import Story

END = BEGINNING + timedelta(days=1_500)
INSTANTS = st.integers(-1_000, 800_000).map(lambda minutes: BEGINNING + timedelta(minutes=minutes))


def between(changes: Iterable[Change], since: datetime, until: datetime) -> dict[tuple[str, str], int]:
    """Sum movements by account and currency."""
    sums: dict[tuple[str, str], int] = {}
    for one in changes:
        if one.kind and since <= one.at < until:
            key = (one.account, one.currency)
            sums[key] = sums.get(key, 0) + one.amount_minor
    return sums


def shown_before(story: Story, at: datetime, policy: MrrPolicy) -> dict[tuple[str, str], int]:
    return {key: rounded(value) for key, value in worth_before(story, at, policy).items()}


def settled(changes: Iterable[Change], at: datetime, policy: MrrPolicy) -> bool:
    """Say whether nothing before an instant can still be part of a change that is not complete."""
    if policy.grouping == "none":
        return True
    return not any(at - timedelta(minutes=60) <= one.at <= at + timedelta(minutes=60) for one in changes)


@pytest.mark.parametrize("preset", MRR_PRESETS)
@given(data=st.data())
def test_movements_between_any_two_instants_sum_to_the_change(preset: str, data: st.DataObject) -> None:
    check_sums(data, policy_of(preset, {}).mrr)


@given(data=st.data())
def test_movements_sum_to_the_change_under_any_definition(data: st.DataObject) -> None:
    check_sums(data, data.draw(mrr_policies()))


def check_sums(data: st.DataObject, policy: MrrPolicy) -> None:
    story = data.draw(stories())
    changes = story.changes(policy)
    instants = [*(one.at for one in changes), *(one.at + timedelta(seconds=1) for one in changes)]
    instant = st.sampled_from(instants) | INSTANTS if instants else INSTANTS
    since, until = sorted([data.draw(instant), data.draw(instant)])
    sums = between(changes, since, until)
    if settled(changes, since, policy) and settled(changes, until, policy):
        before, after = shown_before(story, since, policy), shown_before(story, until, policy)
        expected = {key: after.get(key, 0) - before.get(key, 0) for key in before.keys() | after.keys()}
        assert {key: value for key, value in sums.items() if value} == {
            key: value for key, value in expected.items() if value
        }
    for rolled in roll(changes, [since, until], "USD") if since < until else ():
        assert rolled.opening_minor + sum(rolled.movements.values()) == rolled.closing_minor
        of_currency = [value for (_, currency), value in sums.items() if currency == rolled.currency]
        assert sum(rolled.movements.values()) == sum(of_currency)


@given(story=stories(), policy=mrr_policies())
def test_all_movements_sum_to_what_is_left(story: Story, policy: MrrPolicy) -> None:
    changes = story.changes(policy)
    left = shown_before(story, END, policy)
    sums = between(changes, datetime.min.replace(tzinfo=BEGINNING.tzinfo), END)
    assert {key: value for key, value in sums.items() if value} == {
        key: value for key, value in left.items() if value
    }
    by_currency = {currency: sum(by_kind.values()) for currency, by_kind in totals(changes).items()}
    rolls = roll(changes, [BEGINNING - timedelta(days=1), END], "USD")
    assert by_currency == {one.currency: one.closing_minor for one in rolls if changes}


@given(story=stories(), policy=mrr_policies())
def test_each_movement_is_of_its_kind_and_of_an_event_of_its_subscription(
    story: Story, policy: MrrPolicy
) -> None:
    paying: dict[tuple[str, str], bool] = {}
    for one in story.changes(policy):
        before, after = one.before, one.after
        if one.kind is None:
            assert before == after
        elif one.kind in (NEW, EXPANSION):
            assert after > before
        elif one.kind == CONTRACTION:
            assert 0 < after < before
        elif one.kind == CHURN:
            assert after < before
            assert not after or policy.second_subscription == "expansion"
        key = (one.account, one.currency)
        if not before and after:
            assert one.kind == (REACTIVATION if paying.get(key) else NEW)
        paying[key] = paying.get(key, False) or bool(after)
        assert one.kind is None or one.kind in KINDS
        assert sum(one.by_plan.values()) == one.after_minor
        caused_by = story.recorded[one.position - 1].event
        assert caused_by.topic == one.topic
        # An event of an invoice names its subscription only when it is drafted.
        assert getattr(caused_by, "subscription", one.subscription) == one.subscription
        assert one.positions[-1] == one.position


@given(story=stories(), policy=mrr_policies(), cuts=st.lists(INSTANTS, min_size=2, max_size=6, unique=True))
def test_periods_lie_end_to_end(story: Story, policy: MrrPolicy, cuts: list[datetime]) -> None:
    changes = story.changes(policy)
    boundaries = sorted(cuts)
    rolls = roll(changes, boundaries, "USD")
    whole = {one.currency: one for one in roll(changes, [boundaries[0], boundaries[-1]], "USD")}
    for currency, over_all in whole.items():
        parts = [one for one in rolls if one.currency == currency]
        assert [one.from_at for one in parts] == boundaries[:-1]
        openings = [one.opening_minor for one in parts]
        assert openings == [over_all.opening_minor, *(one.closing_minor for one in parts[:-1])]
        assert parts[-1].by_plan == over_all.by_plan
        assert parts[-1].accounts == over_all.accounts
        for kind in KINDS:
            assert sum(one.movements[kind] for one in parts) == over_all.movements[kind]


@given(story=stories(), policy=mrr_policies(), step=st.integers(1, 20))
def test_rates_that_move_are_a_movement_of_their_own(story: Story, policy: MrrPolicy, step: int) -> None:
    story.rate(BEGINNING, "EUR", "1.1")
    for number, later in enumerate(("1.2", "0.9", "1.05")):
        story.rate(BEGINNING + timedelta(days=step * (number + 1)), "EUR", later)
    changes = story.changes(policy, "USD")
    if policy.currency_changes == "per_currency":
        assert changes == story.changes(policy)
        return
    assert {one.currency for one in changes} <= {"USD"}
    left: dict[str, Fraction] = {}
    for (account, currency), value in worth_before(story, END, policy).items():
        rate = Fraction("1.05") if currency == "EUR" else Fraction(1)
        left[account] = left.get(account, Fraction()) + value * rate
    newest = {one.account: one.after for one in changes}
    assert {key: value for key, value in newest.items() if value} == {
        key: value for key, value in left.items() if value
    }
    if policy.currency_changes == "no_movement":
        assert all(one.kind != "fx" for one in changes)
