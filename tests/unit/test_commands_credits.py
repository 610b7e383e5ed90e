"""Credit through its commands: what it settles, what comes back, what expires, and what the books say."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.accounts import close_account, register_account
from commands.billing_batch import advance_many
from commands.catalogue import UnknownReference
from commands.credits import WantedCredit, WantedGrant, credit_account, expire_grant, grant_credit
from ledger.errors import AccountClosed, CurrencyConflict, InvoiceNotOpen, NotFound, Refusal
from ledger.events.credit import AccountCreditUsed, CreditGranted, CreditGrantExpired, CreditScope
from ledger.events.invoice import CreditApplied, InvoiceVoided
from ledger.events.journal import JournalEntryPosted
from ledger.identifiers import journal_entry_id
from ledger.streams import credit as credits_of
from ledger.streams.subscribing import Beginning
from tests.credit_world import NOON, CreditWorld, check_credit, credit_world, known
from tests.examples import BOOK, example_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.streams.invoice import Invoice

PROMOTIONAL = "promotional"


@pytest.fixture
def world() -> CreditWorld:
    return credit_world()


def settled_by(invoice: Invoice) -> dict[str | None, int]:
    """Give what credit settled an invoice, by grant; the account's own is of none."""
    return {one.reference: one.amount for one in invoice.credits}


# -- the account's own credit -------------------------------------------------------------------------


def test_credit_by_hand_is_less_revenue_and_is_owed(world: CreditWorld) -> None:
    assert world.credit(1000) == 1000
    assert world.ledger() == {"balance_adjustments": 1000, "customer_credit": -1000}
    assert world.credit(-400) == 600
    check_credit(world)


def test_credit_under_a_reference_is_credited_once(world: CreditWorld) -> None:
    assert world.credit(1000, "ticket-1") == world.credit(1000, "ticket-1") == 1000
    with pytest.raises(credits_of.CreditDiffers):
        world.credit(1001, "ticket-1")
    with pytest.raises(credits_of.CreditDiffers):
        world.credit(1000, "ticket-1", "EUR")
    assert world.credit(1000, "ticket-2") == 2000
    check_credit(world)


def test_an_invoice_takes_the_credit_there_is_as_it_is_finalized(world: CreditWorld) -> None:
    world.credit(4000)
    first, second, third = world.invoiced(2900), world.invoiced(2900), world.invoiced(2900)
    assert [one.amount_credited for one in (first, second, third)] == [2900, 1100, 0]
    assert [one.status for one in (first, second, third)] == ["paid", "partially_paid", "open"]
    assert [one.amount_due for one in (first, second, third)] == [0, 1800, 2900]
    assert world.credits.balance("USD") == 0
    check_credit(world)


def test_what_credit_settles_comes_off_the_receivable(world: CreditWorld) -> None:
    world.credit(1000)
    world.invoiced(2900)
    assert world.ledger() == {
        "balance_adjustments": 1000,
        "receivable": 1900,
        "deferred_revenue": -2900,
    }


def test_credit_of_another_currency_is_left_alone(world: CreditWorld) -> None:
    world.credit(1000, currency="EUR")
    assert world.invoiced(2900).credits == ()
    assert world.credits.balance("EUR") == 1000
    check_credit(world)


def test_an_invoice_for_nothing_takes_nothing(world: CreditWorld) -> None:
    world.credit(1000)
    assert world.invoiced(0).credits == ()
    assert world.credits.balance("USD") == 1000


def test_what_an_invoice_owes_is_credited_and_settles_the_next_one(world: CreditWorld) -> None:
    owed = world.owed(2900)
    assert owed.header is not None
    assert (owed.header.total, owed.credits, world.credits.balance("USD")) == (-2900, (), 2900)
    # It was posted as the invoice was finalized, and is not posted again.
    assert world.ledger()["customer_credit"] == -2900
    assert settled_by(world.invoiced(5000)) == {None: 2900}
    check_credit(world)


def test_a_closed_account_or_one_billed_in_another_currency_is_not_credited(world: CreditWorld) -> None:
    euros = known(register_account(world.context, "Eva", None, "EUR").result).account
    wanted = WantedCredit(amount=1, currency="USD", reason="x")
    grant = WantedGrant(amount=1, currency="USD", kind=PROMOTIONAL)
    for refused in (
        lambda account: credit_account(world.context, account, wanted),
        lambda account: grant_credit(world.context, account, grant),
    ):
        with pytest.raises(CurrencyConflict):
            refused(euros)
        with pytest.raises(NotFound):
            refused(example_id("acc", 99))
    close_account(world.context, world.account, "moved away")
    with pytest.raises(AccountClosed):
        world.credit(1)
    with pytest.raises(AccountClosed):
        world.grant(1)


# -- grants -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "asset"),
    [
        (None, "external_asset"),
        ("bank_transfer", "external_asset"),
        ("stripe", "pending_cash"),
        ("on_account", "receivable"),
    ],
)
def test_a_paid_grant_is_owed_from_the_day_it_is_sold(
    world: CreditWorld, method: str | None, asset: str
) -> None:
    grant = world.grant(500, method=method)
    assert world.ledger() == {asset: 500, "prepaid_credits": -500}
    assert world.credits.grants[grant].granted.method == (method or "bank_transfer")
    check_credit(world)
    world.void_grant(grant)
    assert world.ledger() == {}
    check_credit(world)


def test_a_promotional_grant_is_nothing_before_it_is_used_and_then_less_revenue(world: CreditWorld) -> None:
    grant = world.grant(500, PROMOTIONAL)
    assert world.ledger() == {}
    assert settled_by(world.invoiced(2900)) == {grant: 500}
    assert world.ledger() == {"balance_adjustments": 500, "receivable": 2400, "deferred_revenue": -2900}
    check_credit(world)


def test_a_paid_grant_is_drawn_down_once(world: CreditWorld) -> None:
    grant = world.grant(3000)
    assert settled_by(world.invoiced(2900)) == {grant: 2900}
    assert settled_by(world.invoiced(2900)) == {grant: 100}
    assert world.ledger() == {
        "external_asset": 3000,
        "receivable": 2800,
        "deferred_revenue": -5800,
    }
    check_credit(world)


def test_grants_go_before_the_accounts_own_credit_each_with_its_entry(world: CreditWorld) -> None:
    world.credit(1000)
    paid, gift = world.grant(300), world.grant(200, PROMOTIONAL)
    before = len(world.of(JournalEntryPosted))
    invoice = world.invoiced(2900)
    assert list(settled_by(invoice).items()) == [(gift, 200), (paid, 300), (None, 1000)]
    entries = world.of(JournalEntryPosted)[before:]
    assert [one.rule for one in entries] == [
        "invoice_finalized",
        "prepaid_credit_applied",
        "prepaid_credit_applied",
        "customer_balance_applied",
    ]
    assert {posting.invoice for one in entries for posting in one.postings} == {invoice.draft.invoice}
    check_credit(world)


def test_a_grant_under_a_reference_is_granted_once(world: CreditWorld) -> None:
    grant = world.grant(500, reference="order-1")
    assert world.grant(500, reference="order-1") == grant
    assert world.ledger()["prepaid_credits"] == -500
    with pytest.raises(credits_of.GrantDiffers):
        world.grant(501, reference="order-1")
    assert world.grant(500, reference="order-2") != grant


def test_a_scoped_grant_settles_only_its_plans_lines_net_of_discounts(world: CreditWorld) -> None:
    grant = world.grant(9000, scope=CreditScope(plans=(world.plan(2900),)))
    assert settled_by(world.invoiced(5000)) == {}
    assert settled_by(world.invoiced(2900)) == {grant: 2900}
    check_credit(world)


def test_a_scope_that_names_a_plan_which_is_not_there_is_refused(world: CreditWorld) -> None:
    for plan in (example_id("plan", 99), "plan_x"):
        with pytest.raises(UnknownReference) as refused:
            world.grant(500, scope=CreditScope(plans=(world.plan(2900), plan)))
        assert set(refused.value.errors) == {"scope.plans.1"}
    assert world.ledger() == {}


def test_a_grant_that_expires_unused_is_earned_at_its_instant(world: CreditWorld) -> None:
    end = NOON + timedelta(days=10)
    paid, gift = world.grant(500, expires_at=end), world.grant(700, PROMOTIONAL, expires_at=end)
    world.wait(days=12)
    expired = world.expire(paid)
    assert (expired.balance, expired.status) == (0, "expired")
    world.expire(gift)
    assert world.ledger() == {"external_asset": 500, "breakage_revenue": -500}
    recorded = [one for one in world.log.recorded if isinstance(one.event, CreditGrantExpired)]
    assert [one.metadata.occurred_at for one in recorded] == [end, end]
    assert world.of(JournalEntryPosted)[-1].accounting_date.isoformat() == "2027-02-10"
    assert settled_by(world.invoiced(2900)) == {}
    before = len(world.log.recorded)
    world.expire(paid)
    assert len(world.log.recorded) == before
    check_credit(world)


def test_a_grant_settles_nothing_from_its_expiry_on_though_nobody_recorded_that_yet(
    world: CreditWorld,
) -> None:
    world.grant(500, expires_at=NOON + timedelta(days=1))
    world.wait(hours=23, minutes=59)
    assert world.invoiced(100).amount_credited == 100
    world.wait(minutes=1)
    assert world.invoiced(100).amount_credited == 0
    check_credit(world)


def test_a_grant_is_voided_only_of_its_own_account(world: CreditWorld) -> None:
    grant = world.grant(500)
    other = known(register_account(world.context, "Eva", None, None).result).account
    with pytest.raises(NotFound):
        expire_grant(world.context, other, grant)
    for malformed in ("grant_x", example_id("acc"), example_id("grant", 99)):
        with pytest.raises(NotFound):
            world.void_grant(malformed)


def test_an_invoice_dated_back_is_settled_when_the_credit_was_there(world: CreditWorld) -> None:
    world.credit(1000)
    begun = NOON - timedelta(days=5)
    assert world.invoiced(2900, beginning=Beginning(starts_at=begun)).amount_credited == 1000
    (applied,) = [one for one in world.log.recorded if isinstance(one.event, CreditApplied)]
    assert applied.metadata.occurred_at == NOON
    (used,) = [one for one in world.log.recorded if isinstance(one.event, AccountCreditUsed)]
    assert used.metadata.occurred_at == NOON
    check_credit(world)


# -- giving back --------------------------------------------------------------------------------------


def test_what_settled_a_void_invoice_comes_back_with_reversing_entries(world: CreditWorld) -> None:
    world.credit(1000)
    paid, gift = world.grant(300), world.grant(200, PROMOTIONAL)
    before = world.ledger()
    invoice = world.invoiced(2900)
    voided = world.void(invoice)
    assert (voided.status, voided.amount_due, voided.amount_credited) == ("void", 0, 0)
    assert (world.credits.balance("USD"), world.balance(paid), world.balance(gift)) == (1000, 300, 200)
    assert world.ledger() == before
    entries = {one.kind: one for one in world.of(JournalEntryPosted)}
    applied_to = invoice.draft.invoice
    assert entries["customer_balance_given_back"].reverses == journal_entry_id(
        BOOK, applied_to, "customer_balance_applied"
    )
    posted = {one.entry for one in world.of(JournalEntryPosted)}
    assert all(one.reverses in posted for one in entries.values() if one.kind.endswith("_given_back"))
    check_credit(world)
    assert world.void(invoice) == voided
    check_credit(world)


def test_an_invoice_is_void_only_after_its_credit_came_back(world: CreditWorld) -> None:
    world.credit(100)
    world.void(world.invoiced(2900))
    topics = [event for event in world.log.events() if isinstance(event, CreditApplied | InvoiceVoided)]
    assert [type(one) for one in topics] == [CreditApplied, CreditApplied, InvoiceVoided]


def test_an_invoice_that_credit_alone_has_paid_can_be_made_void(world: CreditWorld) -> None:
    world.credit(2900)
    invoice = world.invoiced(2900)
    assert invoice.status == "paid"
    assert world.void(invoice).status == "void"
    assert world.credits.balance("USD") == 2900
    check_credit(world)


def test_an_invoice_that_a_payment_settled_too_is_not_made_void(world: CreditWorld) -> None:
    world.credit(1000)
    invoice = world.invoiced(2900)
    assert world.pay(invoice, 1900).status == "paid"
    with pytest.raises(InvoiceNotOpen):
        world.void(invoice)
    assert world.credits.balance("USD") == 0
    check_credit(world)


def test_what_comes_back_to_a_grant_that_has_expired_is_earned_at_once(world: CreditWorld) -> None:
    grant = world.grant(300, expires_at=NOON + timedelta(days=1))
    invoices = [world.invoiced(100), world.invoiced(100)]
    world.wait(days=2)
    world.expire(grant)
    assert world.ledger()["breakage_revenue"] == -100
    for invoice in invoices:
        world.void(invoice)
    assert world.balance(grant) == 0
    assert world.ledger() == {"external_asset": 300, "breakage_revenue": -300}
    check_credit(world)


def test_what_comes_back_to_a_promotional_grant_that_has_expired_is_nothing(world: CreditWorld) -> None:
    grant = world.grant(300, PROMOTIONAL, expires_at=NOON + timedelta(days=1))
    invoice = world.invoiced(100)
    world.wait(days=2)
    world.expire(grant)
    world.void(invoice)
    assert world.balance(grant) == 0
    assert world.ledger() == {}
    check_credit(world)


def test_what_comes_back_before_the_expiry_is_recorded_expires_with_the_rest(world: CreditWorld) -> None:
    grant = world.grant(300, expires_at=NOON + timedelta(days=1))
    invoice = world.invoiced(100)
    world.wait(days=2)
    world.void(invoice)
    assert world.balance(grant) == 300
    assert world.expire(grant).balance == 0
    assert world.ledger() == {"external_asset": 300, "breakage_revenue": -300}
    check_credit(world)


def test_what_an_invoice_owed_is_taken_back_with_it_unless_it_was_used(world: CreditWorld) -> None:
    owed = world.owed(2900)
    world.void(owed)
    assert world.credits.balance("USD") == 0
    check_credit(world)
    again = world.owed(2900)
    world.invoiced(1)
    with pytest.raises(credits_of.InsufficientCredit):
        world.void(again)
    check_credit(world)


# -- several invoices of one account in one unit --------------------------------------------------------


def test_invoices_finalized_in_one_unit_do_not_take_the_same_credit(world: CreditWorld) -> None:
    subscriptions = [str(world.invoiced(2900).draft.subscription) for _ in range(3)]
    grant = world.grant(1000)
    world.credit(4000)
    world.wait(days=28)
    head = world.log.head()
    done = advance_many([world.context] * 3, subscriptions).result
    billed = [known(one.result.invoice) for one in done if one.result is not None]
    assert [one.amount_credited for one in billed] == [2900, 2100, 0]
    assert [settled_by(one).get(grant, 0) for one in billed] == [1000, 0, 0]
    assert world.log.head() > head
    check_credit(world)


def test_what_one_of_a_batch_would_have_used_is_there_when_it_is_refused(world: CreditWorld) -> None:
    subscriptions = [str(world.invoiced(2900).draft.subscription) for _ in range(2)]
    world.credit(2900)
    # The first of them is not due: what it did to the unit is taken back.
    early = replace(world.context, now=NOON + timedelta(days=1))
    late = replace(world.context, now=NOON + timedelta(days=28))
    world.context = late
    first, second = advance_many([early, late], subscriptions).result
    assert first.refusal is not None
    assert second.result is not None
    assert known(second.result.invoice).amount_credited == 2900
    check_credit(world)


# -- whatever happens ---------------------------------------------------------------------------------

grants = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["paid", PROMOTIONAL]),
        "priority": st.integers(49, 51),
        "days": st.sampled_from([None, 1, 20, 40]),
        "scope": st.sampled_from([None, 900]),
        "on_account": st.booleans(),
    }
)
steps = st.one_of(
    st.tuples(st.just("credit"), st.integers(-2000, 4000), st.none()),
    st.tuples(st.just("grant"), st.integers(1, 4000), grants),
    st.tuples(st.just("invoice"), st.sampled_from([900, 2900]), st.none()),
    st.tuples(st.just("owe"), st.sampled_from([900, 2900]), st.none()),
    st.tuples(st.just("void"), st.integers(0, 4), st.none()),
    st.tuples(st.just("pay"), st.integers(0, 4), st.integers(1, 900)),
    st.tuples(st.just("void_grant"), st.integers(0, 2), st.none()),
    # Whether what expires meanwhile is recorded as it does, or later.
    st.tuples(st.just("wait"), st.sampled_from([1, 19, 30]), st.booleans()),
)
# An account begins with grants: without them, most of what may happen is refused.
histories = st.builds(
    lambda first, rest: [*first, *rest],
    st.tuples(*(st.tuples(st.just("grant"), st.integers(1, 4000), grants) for _ in range(2))),
    st.lists(steps, min_size=5, max_size=20),
)


def do(world: CreditWorld, kind: str, number: int, more: Any) -> None:
    """Do a step; being refused is an answer too."""
    issued, granted = world.invoices(), held(world)
    try:
        match kind:
            case "credit":
                world.credit(number)
            case "grant":
                give(world, number, more)
            case "invoice":
                world.invoiced(number)
            case "owe":
                world.owed(number)
            case "void" if issued:
                world.void(issued[number % len(issued)])
            case "pay" if issued:
                world.pay(issued[number % len(issued)], more)
            case "void_grant" if granted:
                world.void_grant(granted[number % len(granted)])
            case "wait":
                world.wait(days=number)
                expire_due(world, granted if more else ())
            case _:
                return
    except Refusal:
        return


def expire_due(world: CreditWorld, granted: Iterable[str]) -> None:
    """Let expire what is due to."""
    for grant in granted:
        found = world.credits.grants[grant]
        if credits_of.status_at(found, world.context.now) == "expired":
            world.expire(grant)


def held(world: CreditWorld) -> list[str]:
    """Name the grants the account was given."""
    return [event.grant for event in world.of(CreditGranted)]


def give(world: CreditWorld, amount: int, more: dict[str, Any]) -> None:
    """Give the account a grant that was drawn."""
    ends = None if more["days"] is None else world.context.now + timedelta(days=more["days"])
    scope = CreditScope() if more["scope"] is None else CreditScope(plans=(world.plan(more["scope"]),))
    method = "on_account" if more["on_account"] and more["kind"] == "paid" else None
    world.grant(amount, more["kind"], priority=more["priority"], expires_at=ends, scope=scope, method=method)


@settings(max_examples=300)
@given(histories)
def test_whatever_happens_no_credit_is_used_twice_and_the_books_agree(
    history: list[tuple[str, int, Any]],
) -> None:
    world = credit_world()
    for step in history:
        do(world, *step)
        check_credit(world)
