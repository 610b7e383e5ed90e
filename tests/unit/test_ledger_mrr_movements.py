"""How an account's subscriptions add up, how the sum is rounded and shared out, and what a period shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from ledger.mrr_movements import Change, changes, roll, rounded, totals
from ledger.mrr_rates import NoRate, Rate, converted
from ledger.mrr_values import History, Step
from ledger.policies import MrrPolicy, policy_of
from tests.mrr_story import Story

if TYPE_CHECKING:
    from collections.abc import Mapping

STRIPE = MrrPolicy()
CHARTMOGUL = policy_of("chartmogul", {}).mrr
NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


def history(
    subscription: str, *values: tuple[int, int, Mapping[str, Fraction | int]], **more: str
) -> History:
    """Give the history of a subscription from (minute, position, value by plan)."""
    return History(
        subscription=subscription,
        account=more.get("account", "acme"),
        currency=more.get("currency", "USD"),
        steps=tuple(
            Step(
                at=at(minutes),
                position=position,
                topic="topic",
                by_plan={plan: Fraction(value) for plan, value in by_plan.items()},
            )
            for minutes, position, by_plan in values
        ),
    )


def shown(found: list[Change]) -> list[tuple[str | None, int, tuple[int, ...]]]:
    return [(one.kind, one.amount_minor, one.positions) for one in found]


@pytest.mark.parametrize(
    ("value", "minor"), [(Fraction(0), 0), (Fraction(1, 2), 1), (Fraction(5, 2), 3), (Fraction(49, 100), 0)]
)
def test_revenue_is_rounded_half_up(value: Fraction, minor: int) -> None:
    assert rounded(value) == minor


def test_movements_are_differences_of_what_is_shown() -> None:
    third = Fraction(100, 3)
    found = changes(
        [
            history("a", (0, 1, {"p": third})),
            history("b", (100, 2, {"p": third})),
            history("c", (200, 3, {"p": third})),
        ],
        STRIPE,
    )
    assert [(one.amount_minor, one.after_minor) for one in found] == [(33, 33), (34, 67), (33, 100)]
    assert [one.amount for one in found] == [third] * 3


def test_plans_add_up_to_the_whole_by_largest_remainder() -> None:
    parts = {"a": Fraction(1, 3), "b": Fraction(4, 3), "c": Fraction(4, 3), "d": Fraction(5, 3)}
    (found,) = changes([history("a", (0, 1, parts))], STRIPE)
    # 14/3 is shown as 5: one unit for the largest remainder, and of the equal ones the first is next.
    assert (found.after_minor, found.by_plan) == (5, {"a": 1, "b": 1, "c": 1, "d": 2})


def test_a_move_between_plans_of_one_price_is_no_movement() -> None:
    found = changes([history("a", (0, 1, {"old": 100}), (9, 2, {"new": 100}))], STRIPE)
    assert shown(found) == [("new", 100, (1,)), (None, 0, (2,))]
    assert roll(found, [at(-1), at(5), at(10)], "USD")[1].by_plan == {"new": 100}


def test_two_currencies_of_an_account_are_apart() -> None:
    found = changes(
        [history("a", (0, 1, {"p": 100})), history("b", (5, 2, {"p": 100}), currency="EUR")], STRIPE
    )
    assert [(one.currency, one.kind) for one in found] == [("USD", "new"), ("EUR", "new")]
    assert {currency: sums["new"] for currency, sums in totals(found).items()} == {"USD": 100, "EUR": 100}


def test_at_one_instant_positions_decide() -> None:
    found = changes([history("b", (0, 2, {"p": 100})), history("a", (0, 1, {"p": 50}))], STRIPE)
    assert shown(found) == [("new", 50, (1,)), ("expansion", 100, (2,))]


# -- grouping -----------------------------------------------------------------------------------------


def test_changes_within_60_minutes_of_the_first_are_one() -> None:
    lives = [
        history("a", (0, 1, {"p": 100}), (60, 3, {"p": 300}), (61, 4, {"p": 250})),
        history("b", (30, 2, {"p": 10})),
        history("c", (30, 5, {"p": 10}), account="another"),
    ]
    assert shown(changes(lives, CHARTMOGUL)) == [
        ("new", 10, (5,)),
        ("new", 310, (1, 2, 3)),
        ("contraction", -50, (4,)),
    ]


def test_changes_that_cancel_out_within_a_group_are_no_movement() -> None:
    found = changes([history("a", (0, 1, {"p": 100}), (30, 2, {}))], CHARTMOGUL)
    assert shown(found) == [(None, 0, (1, 2))]
    (again,) = changes([history("a", (90, 3, {"p": 100}))], CHARTMOGUL)
    assert again.kind == "new"


# -- periods ------------------------------------------------------------------------------------------


def test_a_change_at_a_boundary_is_the_later_periods() -> None:
    found = changes([history("a", (0, 1, {"p": 100}))], STRIPE)
    before, after = roll(found, [at(-10), at(0), at(10)], "USD")
    assert (before.closing_minor, after.opening_minor, after.movements["new"]) == (0, 0, 100)
    assert (before.accounts, after.accounts) == (0, 1)


def test_where_nothing_happened_there_is_nothing_in_the_default_currency() -> None:
    (one,) = roll([], [at(0), at(1)], "EUR")
    assert (one.currency, one.opening_minor, one.closing_minor, one.by_plan) == ("EUR", 0, 0, {})


def test_an_account_is_counted_once_and_no_more_when_it_is_gone() -> None:
    found = changes(
        [history("a", (0, 1, {"p": 100}), (20, 3, {})), history("b", (10, 2, {"q": 100}), (30, 4, {}))],
        STRIPE,
    )
    counted = roll(found, [at(0), at(5), at(15), at(25), at(35)], "USD")
    assert [one.accounts for one in counted] == [1, 1, 1, 0]
    assert [one.by_plan for one in counted] == [{"p": 100}, {"p": 100, "q": 100}, {"q": 100}, {}]


# -- one currency -------------------------------------------------------------------------------------


def rate(minutes: int, value: str) -> Rate:
    return Rate(currency="EUR", at=at(minutes), rate=Fraction(value), position=90 + minutes, topic="rate")


def test_a_rate_moves_what_there_is_and_nothing_else() -> None:
    rates = [rate(-10, "1"), rate(5, "1.5"), rate(15, "2"), rate(25, "3")]
    in_euro = history("a", (0, 1, {"p": 100}), (10, 2, {"p": 200}), (20, 3, {}), currency="EUR")
    found = changes(converted([in_euro], rates, "USD", STRIPE), STRIPE)
    assert shown(found) == [
        ("new", 100, (1,)),
        ("fx", 50, (95,)),
        ("expansion", 150, (2,)),
        ("fx", 100, (105,)),
        ("churn", -400, (3,)),
    ]


def test_rates_are_never_grouped_with_what_customers_do() -> None:
    policy = policy_of("chartmogul", {"mrr.currency_changes": "separate_movement"}).mrr
    in_euro = history("a", (0, 1, {"p": 100}), (7, 2, {"p": 200}), currency="EUR")
    found = changes(converted([in_euro], [rate(-10, "1"), rate(5, "2")], "USD", policy), policy)
    assert shown(found) == [("new", 100, (1,)), ("fx", 100, (95,)), ("expansion", 200, (2,))]


def test_what_begins_before_the_first_rate_is_told_at_it() -> None:
    found = changes(
        converted([history("a", (0, 1, {"p": 100}), currency="EUR")], [rate(5, "2")], "USD", STRIPE), STRIPE
    )
    assert shown(found) == [("new", 200, (1,))]


def test_without_a_rate_nothing_is_converted() -> None:
    with pytest.raises(NoRate):
        converted([history("a", (0, 1, {"p": 100}), currency="EUR")], [], "USD", STRIPE)


def test_several_accounts_in_order_of_what_happened() -> None:
    story = Story()
    story.add_plan("monthly", "month", {"USD": 100})
    for minutes, name in ((0, "a"), (10, "b"), (20, "c")):
        story.start(at(minutes), name, name, "monthly")
    assert [one.account for one in story.changes(STRIPE)] == ["a", "b", "c"]
