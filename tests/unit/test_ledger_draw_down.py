"""How much of each grant settles an invoice."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.draw_down import Draw, Purse, asked_of, draw_down, is_for
from ledger.events.credit import CreditScope
from ledger.events.invoice import LineUsage
from ledger.streams.invoice import totals_of
from tests.examples import example_discount, example_line, example_tax
from tests.strategies import invoice_lines

if TYPE_CHECKING:
    from ledger.events.invoice import InvoiceLine

ANY = CreditScope()
TOKENS = CreditScope(meters=("tokens",))
TEAM = CreditScope(plans=("plan_team",))
PLANS = (None, "plan_team", "plan_pro")
METERS = (None, "tokens", "calls")


def line(amount: int, plan: str | None = "plan_pro", meter: str | None = None) -> InvoiceLine:
    usage = None if meter is None else LineUsage(meter=meter, charge=meter, events=1, quantity=Decimal(1))
    return replace(example_line(amount), plan=plan, usage=usage)


def drawn(lines: list[InvoiceLine], *purses: tuple[int, CreditScope]) -> list[int]:
    """Give what is drawn of each purse."""
    named = [Purse(str(number), balance, scope) for number, (balance, scope) in enumerate(purses)]
    draws = {draw.grant: draw.amount for draw in draw_down(lines, named)}
    return [draws.get(purse.grant, 0) for purse in named]


def test_a_purse_settles_as_much_as_is_in_it_and_no_more_than_is_asked() -> None:
    assert drawn([line(1000)], (300, ANY)) == [300]
    assert drawn([line(1000)], (3000, ANY)) == [1000]
    assert drawn([line(1000)], (300, ANY), (300, ANY), (9000, ANY), (1, ANY)) == [300, 300, 400, 0]


def test_a_draw_names_its_grant_and_an_empty_purse_is_left_out() -> None:
    assert draw_down([line(1000)], [Purse("a", 0, ANY), Purse("b", 5, ANY)]) == [Draw("b", 5)]


def test_a_line_asks_for_what_it_comes_to_net_of_discounts_with_its_tax() -> None:
    taxed = replace(
        line(1000),
        discounts=(example_discount(200),),
        taxes=(example_tax(80), example_tax(50, "inclusive")),
    )
    assert asked_of(taxed) == 880
    assert drawn([taxed, line(5000, meter="tokens")], (9000, CreditScope(plans=("plan_pro",)))) == [5880]


@pytest.mark.parametrize(
    ("scope", "one", "reached"),
    [
        (ANY, line(1), True),
        (TEAM, line(1, "plan_team"), True),
        (TEAM, line(1, "plan_pro"), False),
        (TEAM, line(1, None), False),
        (TOKENS, line(1, meter="tokens"), True),
        (TOKENS, line(1, meter="calls"), False),
        (TOKENS, line(1), False),
        (CreditScope(plans=("plan_team",), meters=("tokens",)), line(1, "plan_pro", "tokens"), False),
        (CreditScope(plans=("plan_team",), meters=("tokens",)), line(1, "plan_team", "tokens"), True),
    ],
)
def test_a_scope_names_plans_and_meters_and_both_must_hold(
    scope: CreditScope, one: InvoiceLine, *, reached: bool
) -> None:
    assert is_for(scope, one) is reached


def test_a_scoped_purse_settles_only_the_share_of_its_lines() -> None:
    lines = [line(1000), line(400, meter="tokens")]
    assert drawn(lines, (9000, TOKENS)) == [400]
    assert drawn(lines, (9000, TEAM)) == [0]
    assert drawn(lines, (300, TOKENS), (300, TOKENS)) == [300, 100]


def test_a_credit_among_the_lines_of_a_scope_lowers_its_share() -> None:
    lines = [line(1000, "plan_team"), line(-300, "plan_team"), line(500)]
    assert drawn(lines, (9000, TEAM)) == [700]
    assert drawn([line(100, "plan_team"), line(-300, "plan_team"), line(500)], (9000, TEAM)) == [0]


def test_a_credit_outside_the_scope_lowers_what_is_asked_in_all() -> None:
    assert drawn([line(1000, "plan_team"), line(-300)], (9000, TEAM)) == [700]


def test_nothing_is_drawn_for_what_owes_the_customer() -> None:
    assert drawn([line(500), line(-800)], (100, ANY), (100, CreditScope(plans=("plan_pro",)))) == [0, 0]


@pytest.mark.parametrize("team_first", [True, False])
def test_a_wide_purse_leaves_to_a_narrow_one_after_it_what_only_that_can_settle(*, team_first: bool) -> None:
    lines = [line(1000, "plan_team"), line(500)]
    lines = lines if team_first else lines[::-1]
    # The wide one settles the other line whole, and only then the team's.
    assert drawn(lines, (800, ANY), (1000, TEAM)) == [800, 700]


def test_what_a_wide_purse_settled_already_is_not_there_for_a_narrow_one() -> None:
    assert drawn([line(1000), line(400, meter="tokens")], (1200, ANY), (9000, TOKENS)) == [1200, 200]


SCOPES = st.builds(
    CreditScope,
    plans=st.sampled_from([(), ("plan_team",), ("plan_team", "plan_pro")]),
    meters=st.sampled_from([(), ("tokens",), ("tokens", "calls")]),
)
PURSES = st.lists(st.tuples(st.integers(0, 10**12), SCOPES), max_size=6)


@st.composite
def scoped_lines(draw: st.DrawFn) -> list[InvoiceLine]:
    """Draw lines with any taxes and discounts, of some plans and meters."""
    return [
        replace(
            one,
            plan=(given := line(0, draw(st.sampled_from(PLANS)), draw(st.sampled_from(METERS)))).plan,
            usage=given.usage,
        )
        for one in draw(invoice_lines())
    ]


@given(scoped_lines(), PURSES)
def test_no_purse_gives_more_than_is_in_it_or_than_its_lines_ask_for(
    lines: list[InvoiceLine], purses: list[tuple[int, CreditScope]]
) -> None:
    amounts = drawn(lines, *purses)
    assert 0 <= sum(amounts) <= max(0, totals_of(tuple(lines)).total)
    for amount, (balance, scope) in zip(amounts, purses, strict=True):
        share = sum(asked_of(one) for one in lines if is_for(scope, one))
        assert 0 <= amount <= min(balance, max(0, share))
    for _, scope in purses:
        # Together, the purses that are for nothing else settle no more than their lines ask for.
        within = [
            amount
            for amount, (_, other) in zip(amounts, purses, strict=True)
            if all(is_for(scope, one) for one in lines if is_for(other, one))
        ]
        share = sum(max(0, asked_of(one)) for one in lines if is_for(scope, one))
        assert sum(within) <= share


@given(scoped_lines(), PURSES)
def test_the_purse_that_goes_first_gives_all_it_can(
    lines: list[InvoiceLine], purses: list[tuple[int, CreditScope]]
) -> None:
    if not purses:
        return
    balance, scope = purses[0]
    share = sum(asked_of(one) for one in lines if is_for(scope, one))
    total = totals_of(tuple(lines)).total
    assert drawn(lines, *purses)[0] == max(0, min(balance, share, total))


@given(scoped_lines(), st.lists(st.integers(0, 10**12), max_size=6))
def test_purses_for_everything_settle_all_there_is_to_settle(
    lines: list[InvoiceLine], balances: list[int]
) -> None:
    total = max(0, totals_of(tuple(lines)).total)
    assert sum(drawn(lines, *((balance, ANY) for balance in balances))) == min(total, sum(balances))
