"""The rules of a coupon."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from ledger.errors import Conflict, Invalid, NotFound
from ledger.events.coupon import CouponCreated, CouponRedeemed, CouponRetired, CouponTerms
from ledger.streams import coupon as coupons
from ledger.streams.coupon import UnusableCoupon
from tests.examples import BOOK
from tests.given_when_then import Rules, folded

if TYPE_CHECKING:
    from ledger.events.coupon import CouponEvent

given = Rules(coupons.evolve).given
NOON = datetime(2027, 1, 31, 12, tzinfo=UTC)
TENTH = CouponTerms(percent_off=Decimal(10))
CREATED = CouponCreated(coupon="coup_1", code="WELCOME", name="Welcome", terms=TENTH)
REDEEMED = CouponRedeemed(coupon="coup_1", subscription="sub_1", account="acc_1", redemption=1)
RETIRED = CouponRetired(coupon="coup_1", reason="over")


def create(code: str = "WELCOME", name: str = "Welcome", **terms: Any) -> list[CouponEvent]:
    return coupons.create("coup_1", code, name, replace(TENTH, **terms))


def redeem(
    state: coupons.Coupon | None, subscription: str = "sub_1", now: datetime = NOON
) -> list[CouponEvent]:
    return coupons.redeem(state, subscription, "acc_1", now)


def limited(**terms: Any) -> CouponCreated:
    return replace(CREATED, terms=replace(TENTH, **terms))


# -- creating -----------------------------------------------------------------------------------------


def test_a_coupon_is_created() -> None:
    state = given().when(lambda _: create()).then(CREATED).state
    assert (state.code, state.status, state.redemptions) == ("WELCOME", "active", ())


@pytest.mark.parametrize(
    "terms",
    [
        CouponTerms(percent_off=Decimal(100), duration="forever"),
        CouponTerms(percent_off=Decimal("0.000001")),
        CouponTerms(amounts_off={"USD": 1, "EUR": 10**18 - 1}, duration="repeating", periods=3),
        CouponTerms(amounts_off={"JPY": 500}, plans=("plan_1",), meters=("api_calls",), max_redemptions=1),
    ],
)
def test_what_can_be_taken_off_is_taken(terms: CouponTerms) -> None:
    assert coupons.checked_terms(terms) is terms


@pytest.mark.parametrize(
    ("terms", "field", "words"),
    [
        ({"percent_off": None}, "percent_off", "or else amounts_off"),
        ({"amounts_off": {"USD": 1}}, "percent_off", "not both"),
        ({"percent_off": Decimal(0)}, "percent_off", "greater than 0"),
        ({"percent_off": Decimal("100.1")}, "percent_off", "from 0 to 100"),
        ({"percent_off": Decimal(-5)}, "percent_off", "negative"),
        ({"percent_off": None, "amounts_off": {"USD": 0}}, "amounts_off.USD", "greater than 0"),
        ({"percent_off": None, "amounts_off": {"USD": 10**18}}, "amounts_off.USD", "18 digits"),
        ({"percent_off": None, "amounts_off": {"usd": 5}}, "amounts_off.usd", "ISO 4217"),
        ({"duration": "twice"}, "duration", "once, repeating, forever"),
        ({"duration": "repeating"}, "periods", "must be given"),
        ({"duration": "repeating", "periods": 0}, "periods", "from 1"),
        ({"duration": "repeating", "periods": 1201}, "periods", "1200"),
        ({"periods": 3}, "periods", "leave it out"),
        ({"duration": "forever", "periods": 3}, "periods", "leave it out"),
        ({"max_redemptions": 0}, "max_redemptions", "from 1"),
        ({"plans": ("plan_1", "plan_1")}, "plans", "only once"),
        ({"plans": tuple(f"plan_{number}" for number in range(101))}, "plans", "at most 100"),
        ({"meters": ("calls", "calls")}, "meters", "only once"),
        ({"meters": ("",)}, "meters.0", "must not be empty"),
        ({"redeem_by": datetime(1999, 1, 1, tzinfo=UTC)}, "redeem_by", "2000"),
    ],
)
def test_a_coupon_that_cannot_be_taken_off_is_refused_by_field(
    terms: dict[str, Any], field: str, words: str
) -> None:
    outcome = given().when(lambda _: create(**terms))
    outcome.refused_with(UnusableCoupon, field)
    assert words in str(outcome.refusal)


@pytest.mark.parametrize("code", ["", "two words", "x" * 101, "50%", "coup_1"])
def test_a_code_is_for_typing_and_looks_like_no_id(code: str) -> None:
    given().when(lambda _: create(code)).refused_with(Invalid, "code")


def test_a_coupon_needs_a_name() -> None:
    given().when(lambda _: create(name="")).refused_with(Invalid, "name")


# -- redeeming ----------------------------------------------------------------------------------------


def test_a_subscription_redeems_a_coupon() -> None:
    state = given(CREATED).when(redeem).then(REDEEMED).state
    assert state.redemptions == (coupons.Redemption("sub_1", "acc_1"),)


def test_a_subscription_redeems_a_coupon_only_once() -> None:
    given(CREATED, REDEEMED).when(redeem).refused_with(coupons.CouponTwice)


def test_a_retired_coupon_is_redeemed_no_more() -> None:
    given(CREATED, RETIRED).when(redeem).refused_with(coupons.CouponIsRetired)


def test_a_coupon_is_redeemed_before_its_time_is_over() -> None:
    timed = given(limited(redeem_by=NOON))
    assert timed.when(lambda state: redeem(state, now=NOON - timedelta(microseconds=1))).events
    timed.when(redeem).refused_with(coupons.CouponExpired)


def test_a_coupon_is_redeemed_up_to_its_limit() -> None:
    once = limited(max_redemptions=1)
    given(once).when(redeem).then(REDEEMED)
    given(once, REDEEMED).when(lambda state: redeem(state, "sub_2")).refused_with(coupons.CouponUsedUp)


def test_who_has_a_used_up_coupon_hears_that_they_have_it() -> None:
    given(limited(max_redemptions=1), REDEEMED).when(redeem).refused_with(coupons.CouponTwice)


def test_a_coupon_that_there_is_not_is_not_found() -> None:
    given().when(redeem).refused_with(NotFound)
    given().when(lambda state: coupons.retire(state, "why")).refused_with(NotFound)


def test_an_amount_is_taken_off_in_its_own_currency_and_a_share_in_any() -> None:
    fixed = given(limited(percent_off=None, amounts_off={"USD": 500})).state
    coupons.require_currency(fixed, "USD")
    with pytest.raises(coupons.NoAmountInCurrency, match="takes off USD, not EUR"):
        coupons.require_currency(fixed, "EUR")
    coupons.require_currency(given(CREATED).state, "EUR")


def test_a_coupon_is_retired_once_and_for_a_reason() -> None:
    given(CREATED).when(lambda state: coupons.retire(state, "over")).then(RETIRED)
    given(CREATED, RETIRED).when(lambda state: coupons.retire(state, "again")).then_nothing()
    given(CREATED).when(lambda state: coupons.retire(state, "")).refused_with(Invalid, "reason")


def test_a_code_names_one_coupon_of_its_book() -> None:
    assert coupons.coupon_id(BOOK, "WELCOME") == coupons.coupon_id(BOOK, "WELCOME")
    assert len({coupons.coupon_id(BOOK, "welcome"), coupons.coupon_id(UUID(int=1), "WELCOME")}) == 2


@hypothesis_given(st.integers(1, 5), st.lists(st.integers(1, 8), max_size=20))
def test_whoever_comes_a_coupon_is_redeemed_at_most_as_often_as_it_may_be(
    limit: int, wanted: list[int]
) -> None:
    events: list[CouponEvent] = [limited(max_redemptions=limit)]
    for number in wanted:
        try:
            events += redeem(folded(coupons.evolve, events), f"sub_{number}")
        except Conflict:
            continue
    state = folded(coupons.evolve, events)
    assert state is not None
    took = [one.subscription for one in state.redemptions]
    assert took == list(dict.fromkeys(f"sub_{number}" for number in wanted))[:limit]
    numbers = [event.redemption for event in events if isinstance(event, CouponRedeemed)]
    assert numbers == list(range(1, len(took) + 1))
