"""The rules of an account's credit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ledger.errors import CurrencyConflict, Invalid, NotFound
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
from ledger.events.invoice import CreditApplied, InvoiceDrafted, InvoiceFinalized
from ledger.grant_terms import UnusableGrant
from ledger.streams import credit as credits_of
from ledger.streams import invoice as invoices
from tests.examples import ADA, BOOK, example_id, example_line
from tests.given_when_then import Rules, folded

if TYPE_CHECKING:
    from ledger.events.credit import CreditEvent
    from ledger.streams.credit import Credits
    from ledger.streams.invoice import Invoice

given = Rules(credits_of.evolve).given
NOON = datetime(2027, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)
INVOICE = example_id("inv")
NAMES: dict[str, Any] = {"account": ADA.account, "currency": "USD"}
CREDITED = AccountCredited(
    **NAMES, amount=1000, credit="credit_1", source="manual", reference=None, reason="sorry"
)
GRANTED = CreditGranted(
    **NAMES,
    amount=500,
    grant="grant_1",
    kind="paid",
    method="bank_transfer",
    priority=50,
    granted_at=NOON,
    expires_at=NOON + 30 * DAY,
    scope=CreditScope(),
)
DRAWN = CreditDrawnDown(**NAMES, amount=500, grant="grant_1", invoice=INVOICE)
EXPIRED = CreditGrantExpired(**NAMES, amount=500, grant="grant_1")
VOIDED = CreditGrantVoided(**NAMES, amount=500, grant="grant_1", reason="a mistake")


def a_grant(number: int, amount: int = 500, **changes: Any) -> CreditGranted:
    return replace(GRANTED, grant=f"grant_{number}", amount=amount, **changes)


def an_invoice(*amounts: int, currency: str = "USD", credits: tuple[invoices.Credit, ...] = ()) -> Invoice:  # noqa: A002 - the word of the books
    lines = tuple(example_line(amount, number) for number, amount in enumerate(amounts, 1))
    names: dict[str, Any] = {"invoice": INVOICE, "account": ADA.account, "currency": currency}
    drafted = InvoiceDrafted(
        **names,
        billing_entity="default",
        payer=ADA.account,
        subscription=None,
        kind="recurring",
        period_start=None,
        period_end=None,
        lines=lines,
        computed_at_position=1,
        managed_by="daybook",
    )
    finalized = InvoiceFinalized(
        **names,
        billing_entity="default",
        series="INV",
        number=1,
        formatted_number="INV-000001",
        issued_on=date(2027, 1, 31),
        due_on=date(2027, 2, 14),
        terms="net 14",
        subtotal=sum(amounts),
        discount_total=0,
        tax_total=0,
        total=sum(amounts),
        seller_name="Acme Inc.",
        seller_tax_id=None,
        buyer_name=None,
        buyer_email=None,
        buyer_tax_id=None,
    )
    return invoices.Invoice(draft=drafted, header=finalized, credits=credits)


def settled(*events: CreditEvent, asks: int = 2900, at: datetime = NOON) -> dict[str | None, int]:
    """Give what settles an invoice, by grant; the account's own credit is of none."""
    state = folded(credits_of.evolve, events)
    applied = [credits_of.applied(one) for one in credits_of.settle(state, an_invoice(asks), at)]
    return {one.reference: one.amount for one in applied if one is not None}


# -- the account's own credit -------------------------------------------------------------------------


def test_an_account_is_credited_and_has_it() -> None:
    state = given().when(lambda state: credits_of.credit(state, CREDITED)).then(CREDITED).state
    assert (state.account, state.balance("USD"), state.balance("EUR")) == (ADA.account, 1000, 0)


def test_what_nothing_has_used_can_be_taken_back_and_no_more() -> None:
    back = replace(CREDITED, amount=-1000, credit="credit_2")
    too_much = replace(back, amount=-1001)
    given(CREDITED).when(lambda state: credits_of.credit(state, back)).then(back)
    given(CREDITED).when(lambda state: credits_of.credit(state, too_much)).refused_with(
        credits_of.InsufficientCredit
    )
    given().when(lambda state: credits_of.credit(state, back)).refused_with(credits_of.InsufficientCredit)


def test_a_credit_told_of_again_changes_nothing_unless_it_differs() -> None:
    given(CREDITED).when(lambda state: credits_of.credit(state, CREDITED)).then_nothing()
    other = replace(CREDITED, amount=999)
    given(CREDITED).when(lambda state: credits_of.credit(state, other)).refused_with(credits_of.CreditDiffers)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": 10**18}, "amount"),
        ({"currency": "usd"}, "currency"),
        ({"reason": ""}, "reason"),
        ({"reason": None}, "reason"),
        ({"reason": "x" * 1001}, "reason"),
        ({"reference": ""}, "reference"),
    ],
)
def test_a_credit_that_cannot_be_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    outcome = given().when(lambda state: credits_of.credit(state, replace(CREDITED, **changes)))
    assert isinstance(outcome.refusal, Invalid)
    assert set(outcome.refusal.errors) == {field}


def test_credit_never_grows_beyond_what_an_amount_may_be() -> None:
    most = replace(CREDITED, amount=10**18 - 1)
    one_more = replace(CREDITED, amount=1, credit="credit_2")
    outcome = given(most).when(lambda state: credits_of.credit(state, one_more))
    assert isinstance(outcome.refusal, Invalid)


def test_an_account_billed_in_one_currency_takes_no_credit_in_another() -> None:
    credits_of.require_currency("USD", None)
    credits_of.require_currency("USD", "USD")
    with pytest.raises(CurrencyConflict, match="billed in EUR"):
        credits_of.require_currency("USD", "EUR")


def test_an_invoice_of_a_negative_total_credits_what_it_owes_once() -> None:
    invoice = an_invoice(500, -1200)
    outcome = given().when(lambda state: credits_of.credit_owed(state, invoice))
    assert outcome.state.balance("USD") == 700
    (event,) = outcome.events
    assert isinstance(event, AccountCredited)
    assert (event.source, event.reference) == ("invoice", INVOICE)
    taken = given(event).when(lambda state: credits_of.take_back_owed(state, invoice))
    assert taken.state.balance("USD") == 0


def test_what_others_have_used_is_not_taken_back_with_its_invoice() -> None:
    invoice = an_invoice(-700)
    (owed,) = credits_of.credit_owed(None, invoice)
    used = AccountCreditUsed(**NAMES, amount=1, invoice="inv_2")
    given(owed, used).when(lambda state: credits_of.take_back_owed(state, invoice)).refused_with(
        credits_of.InsufficientCredit
    )


def test_an_invoice_of_before_credit_was_kept_here_takes_nothing_back() -> None:
    given().when(lambda state: credits_of.take_back_owed(state, an_invoice(-700))).then_nothing()
    given(CREDITED).when(lambda state: credits_of.take_back_owed(state, an_invoice(-700))).then_nothing()


# -- grants -------------------------------------------------------------------------------------------


def test_a_grant_is_given_and_nothing_of_it_is_used() -> None:
    state = given().when(lambda state: credits_of.grant(state, GRANTED)).then(GRANTED).state
    assert state.grants["grant_1"] == credits_of.Grant(GRANTED, 500, "active")


def test_a_grant_told_of_again_changes_nothing() -> None:
    again = replace(GRANTED, priority=3, granted_at=NOON + DAY)
    given(GRANTED, DRAWN).when(lambda state: credits_of.grant(state, again)).then_nothing()


@pytest.mark.parametrize("changes", [{"amount": 501}, {"currency": "EUR"}, {"kind": "promotional"}])
def test_another_grant_of_the_same_reference_is_refused(changes: dict[str, Any]) -> None:
    other = replace(GRANTED, **changes)
    given(GRANTED).when(lambda state: credits_of.grant(state, other)).refused_with(credits_of.GrantDiffers)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"kind": "gift"}, "kind", "paid, promotional"),
        ({"kind": "promotional"}, "method", "leave it out"),
        ({"method": ""}, "method", "must not be empty"),
        ({"amount": 0}, "amount", "greater than 0"),
        ({"amount": -5}, "amount", "greater than 0"),
        ({"amount": 10**18}, "amount", "18 digits"),
        ({"currency": "usd"}, "currency", "ISO 4217"),
        ({"priority": -1}, "priority", "from 0 to 100"),
        ({"priority": 101}, "priority", "from 0 to 100"),
        ({"expires_at": NOON}, "expires_at", "must be later than 2027-01-31T12:00:00Z"),
        ({"name": "x" * 201}, "name", "200"),
        ({"reference": "x" * 256}, "reference", "255"),
        ({"scope": CreditScope(plans=("plan_1", "plan_1"))}, "scope.plans", "only once"),
        ({"scope": CreditScope(meters=tuple(map(str, range(101))))}, "scope.meters", "at most 100"),
        ({"scope": CreditScope(meters=("calls", ""))}, "scope.meters.1", "must not be empty"),
    ],
)
def test_a_grant_that_cannot_be_is_refused_by_field(changes: dict[str, Any], field: str, words: str) -> None:
    outcome = given().when(lambda state: credits_of.grant(state, replace(GRANTED, **changes)))
    outcome.refused_with(UnusableGrant, field)
    assert words in str(outcome.refusal)


def test_every_trouble_with_a_grant_is_told_at_once() -> None:
    wrong = replace(GRANTED, priority=-1, amount=0, name="")
    outcome = given().when(lambda state: credits_of.grant(state, wrong))
    assert isinstance(outcome.refusal, UnusableGrant)
    assert set(outcome.refusal.errors) == {"priority", "amount", "name"}


def test_a_grant_of_which_nothing_was_used_is_taken_back() -> None:
    state = given(GRANTED).when(lambda state: credits_of.void_grant(state, "grant_1", "a mistake"))
    assert state.then(VOIDED).state.grants["grant_1"] == credits_of.Grant(GRANTED, 0, "voided")
    given(GRANTED, VOIDED).when(lambda state: credits_of.void_grant(state, "grant_1", "x")).then_nothing()


def test_a_grant_that_was_used_or_has_expired_is_not_taken_back() -> None:
    used = given(GRANTED, replace(DRAWN, amount=1))
    used.when(lambda state: credits_of.void_grant(state, "grant_1", "x")).refused_with(credits_of.GrantUsed)
    restored = CreditRestored(**NAMES, amount=1, grant="grant_1", invoice=INVOICE)
    given(GRANTED, replace(DRAWN, amount=1), restored).when(
        lambda state: credits_of.void_grant(state, "grant_1", "a mistake")
    ).then(VOIDED)
    given(GRANTED, EXPIRED).when(lambda state: credits_of.void_grant(state, "grant_1", "x")).refused_with(
        credits_of.GrantNotActive
    )
    given(GRANTED).when(lambda state: credits_of.void_grant(state, "grant_1", "")).refused_with(
        Invalid, "reason"
    )


def test_a_grant_expires_at_its_instant_with_what_is_left_of_it() -> None:
    end = NOON + 30 * DAY
    early = end - timedelta(microseconds=1)
    given(GRANTED).when(lambda state: credits_of.expire_grant(state, "grant_1", early)).refused_with(
        credits_of.GrantNotActive
    )
    given(GRANTED, replace(DRAWN, amount=200)).when(
        lambda state: credits_of.expire_grant(state, "grant_1", end)
    ).then(replace(EXPIRED, amount=300))
    given(GRANTED, DRAWN).when(lambda state: credits_of.expire_grant(state, "grant_1", end)).then(
        replace(EXPIRED, amount=0)
    )


def test_what_is_over_does_not_expire_again_and_what_has_no_end_never_does() -> None:
    end = NOON + 30 * DAY
    for over in (EXPIRED, VOIDED):
        given(GRANTED, over).when(lambda state: credits_of.expire_grant(state, "grant_1", end)).then_nothing()
    endless = replace(GRANTED, expires_at=None)
    given(endless).when(lambda state: credits_of.expire_grant(state, "grant_1", end)).refused_with(
        credits_of.GrantNotActive
    )


def test_a_grant_that_the_account_has_not_is_not_there() -> None:
    given().when(lambda state: credits_of.void_grant(state, "grant_1", "x")).refused_with(NotFound)
    given(GRANTED).when(lambda state: credits_of.expire_grant(state, "grant_2", NOON)).refused_with(NotFound)


def test_an_expiry_holds_from_its_instant_on_recorded_or_not() -> None:
    end = NOON + 30 * DAY
    state = given(GRANTED).state
    assert credits_of.status_at(state.grants["grant_1"], end - DAY) == "active"
    assert credits_of.status_at(state.grants["grant_1"], end) == "expired"
    assert settled(GRANTED, at=end - DAY) == {"grant_1": 500}
    assert settled(GRANTED, at=end) == {}


# -- settling -----------------------------------------------------------------------------------------


def test_grants_settle_an_invoice_before_the_accounts_own_credit() -> None:
    assert settled(CREDITED, GRANTED, asks=2900) == {"grant_1": 500, None: 1000}
    assert settled(CREDITED, GRANTED, asks=700) == {"grant_1": 500, None: 200}
    assert settled(CREDITED, GRANTED, asks=300) == {"grant_1": 300}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"priority": 0}, {"priority": 1, "expires_at": NOON + DAY, "kind": "promotional"}),
        ({"expires_at": NOON + DAY}, {"expires_at": NOON + 2 * DAY, "kind": "promotional"}),
        ({"expires_at": NOON + DAY}, {"expires_at": None, "kind": "promotional"}),
        ({"kind": "promotional", "method": None}, {"kind": "paid"}),
        ({}, {}),
    ],
)
def test_grants_go_by_priority_then_expiry_then_promotional_ones_then_age(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert settled(a_grant(1, **first), a_grant(2, **second), asks=500) == {"grant_1": 500}
    if first != second:
        assert settled(a_grant(2, **second), a_grant(1, **first), asks=500) == {"grant_1": 500}


def test_what_is_used_up_over_or_of_another_currency_settles_nothing() -> None:
    assert settled(GRANTED, DRAWN) == settled(GRANTED, EXPIRED) == settled(GRANTED, VOIDED) == {}
    assert settled(replace(GRANTED, currency="EUR")) == {}
    assert settled(replace(CREDITED, currency="EUR")) == {}
    assert settled() == {}


def test_what_is_used_is_gone() -> None:
    state = given(CREDITED, GRANTED).when(lambda state: credits_of.settle(state, an_invoice(800), NOON)).state
    assert (state.balance("USD"), state.grants["grant_1"].balance) == (700, 0)


def test_credit_that_settles_is_told_in_the_invoice_by_where_it_is_from() -> None:
    names = {"invoice": INVOICE, "account": ADA.account, "currency": "USD"}
    used = AccountCreditUsed(**NAMES, amount=7, invoice=INVOICE)
    back = AccountCreditGivenBack(**NAMES, amount=7, invoice=INVOICE)
    restored = CreditRestored(**NAMES, amount=500, grant="grant_1", invoice=INVOICE)
    own = CreditApplied(**names, source="account_credit", reference=None, amount=7)
    prepaid = CreditApplied(**names, source="prepaid_credit", reference="grant_1", amount=500)
    assert credits_of.applied(used) == own
    assert credits_of.applied(back) == replace(own, amount=-7)
    assert credits_of.applied(DRAWN) == prepaid
    assert credits_of.applied(restored) == replace(prepaid, amount=-500)
    for event in (CREDITED, GRANTED, EXPIRED, VOIDED):
        assert credits_of.applied(event) is None


# -- giving back --------------------------------------------------------------------------------------

TAKEN = (
    invoices.Credit("prepaid_credit", "grant_1", 500),
    invoices.Credit("account_credit", None, 1000),
    invoices.Credit("credit_note", "cn_1", 50),
)


def test_what_an_invoice_took_comes_back_to_where_it_is_from() -> None:
    used = AccountCreditUsed(**NAMES, amount=1000, invoice=INVOICE)
    outcome = given(CREDITED, GRANTED, DRAWN, used).when(
        lambda state: credits_of.give_back(state, an_invoice(2900, credits=TAKEN))
    )
    outcome.then(
        CreditRestored(**NAMES, amount=500, grant="grant_1", invoice=INVOICE),
        AccountCreditGivenBack(**NAMES, amount=1000, invoice=INVOICE),
    )
    assert (outcome.state.balance("USD"), outcome.state.grants["grant_1"].balance) == (1000, 500)


def test_what_came_back_already_does_not_come_back_again() -> None:
    back = tuple(replace(one, amount=-one.amount) for one in TAKEN)
    given(CREDITED, GRANTED).when(
        lambda state: credits_of.give_back(state, an_invoice(2900, credits=TAKEN + back))
    ).then_nothing()
    given().when(lambda state: credits_of.give_back(state, an_invoice(2900))).then_nothing()


def test_what_comes_back_to_a_grant_that_has_expired_expires_at_once() -> None:
    outcome = given(GRANTED, DRAWN, replace(EXPIRED, amount=0)).when(
        lambda state: credits_of.give_back(state, an_invoice(2900, credits=TAKEN[:1]))
    )
    outcome.then(
        CreditRestored(**NAMES, amount=500, grant="grant_1", invoice=INVOICE),
        replace(EXPIRED, invoice=INVOICE),
    )
    assert outcome.state.grants["grant_1"] == credits_of.Grant(GRANTED, 0, "expired")


# -- identities ---------------------------------------------------------------------------------------


def test_ids_of_one_account_and_reference_are_no_others() -> None:
    of: dict[str, Credits | None] = {}
    for account in (example_id("acc", 1), example_id("acc", 2)):
        for reference in ("a", "b"):
            of[credits_of.grant_id(BOOK, account, reference)] = None
            of[credits_of.credit_id(BOOK, account, reference)] = None
    assert len(of) == 8
    assert credits_of.credit_stream(BOOK, example_id("acc", 1)) != credits_of.credit_stream(
        BOOK, example_id("acc", 2)
    )
