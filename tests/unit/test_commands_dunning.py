"""Commands of dunning on a log in memory: each step is taken once, with all that it does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from commands.dunning import (
    CollectedTwice,
    adopt_dunning,
    give_due_notice,
    next_notice,
    next_step,
    take_due_steps,
)
from commands.invoicing import mark_uncollectible, pay_invoice, void_invoice
from commands.keys import issue_key, resume_key, revoke_key, suspend_key
from commands.ports import Collection, Demand
from consumers.jobs import SCHEDULER
from ledger.events.api_key import ApiKeyResumed, ApiKeySuspended
from ledger.events.dunning import DunningStep
from ledger.events.invoice import DunningStepTaken, InvoiceMarkedUncollectible, PaymentApplied
from ledger.events.journal import JournalEntryPosted
from ledger.events.plan import RecurringFee
from ledger.events.subscription import NoticeGiven, SubscriptionCancelled
from ledger.identifiers import stream_of
from ledger.settings import Settings
from ledger.streams import api_key as keys
from ledger.streams.base import fold
from ledger.streams.dunning import DunningTerms
from ledger.streams.subscribing import NothingDue
from tests.acme import known
from tests.examples import BOOK, charge
from tests.memory_shop import Shop, open_shop

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from commands.dunning import Stepped
    from ledger.streams.invoice import Invoice

DAY = timedelta(days=1)
SETTINGS = Settings(peppers=((1, b"p" * 32),))
FEE = (RecurringFee(code="base", name="Base", amounts={"USD": 2900}),)


@dataclass
class Reads:
    """What the models say of an account: these keys, and whether another invoice holds them."""

    keys: list[str] = field(default_factory=list)
    held: bool = False

    def keys_of(self, book: UUID, account: str) -> Sequence[str]:
        assert (book, account[:4]) == (BOOK, "acc_")
        return self.keys

    def others_hold(self, book: UUID, account: str, invoice: str) -> bool:
        assert (book, account[:4], invoice[:4]) == (BOOK, "acc_", "inv_")
        return self.held


@dataclass
class Gateway:
    """A gateway that answers as it is told to, and keeps what it was asked."""

    answers: list[Collection]
    asked: list[Demand] = field(default_factory=list)

    def collect(self, demand: Demand) -> Collection:
        self.asked.append(demand)
        return self.answers[len(self.asked) - 1]


def dunned(*steps: tuple[int, str], **terms: Any) -> tuple[Shop, Invoice]:
    """Open a shop that goes after what is past due, with an account that owes for a month."""
    shop = open_shop()
    shop.context = replace(shop.context, settings=SETTINGS)
    listed = tuple(DunningStep(days_after_due=days, action=action) for days, action in steps)
    adopt_dunning(shop.context, DunningTerms(steps=listed, **terms))
    shop.subscribe(shop.plan(fees=FEE))
    return shop, shop.invoices()[0]


def dun(shop: Shop, invoice: Invoice, days: int, reads: Reads | None = None, **context: Any) -> Stepped:
    """Take what is due so many days after the due day, as the scheduler would."""
    assert invoice.header is not None
    at = datetime.combine(invoice.header.due_on, datetime.min.time(), UTC) + days * DAY
    shop.at(max(at, shop.now))
    acting = replace(shop.context, actor=SCHEDULER, **context)
    return take_due_steps(acting, invoice.draft.invoice, reads or Reads()).result


def outcomes(shop: Shop) -> list[tuple[str, str]]:
    return [(one.action, one.outcome) for one in shop.of(DunningStepTaken)]


def new_key(shop: Shop) -> str:
    return str(known(issue_key(shop.context, "test", shop.account, "key", ["read"]).result.stream).key)


def key_status(shop: Shop, key: str) -> str:
    return str(known(fold(keys.evolve, shop.log.load(BOOK, stream_of("key", key)))).status)


def pay(shop: Shop, invoice: Invoice) -> None:
    pay_invoice(shop.context, invoice.draft.invoice, 2900, "USD", "bank")


# -- when ----------------------------------------------------------------------------------------------


def test_nothing_is_done_before_its_day_or_twice() -> None:
    shop, invoice = dunned((3, "remind"))
    with pytest.raises(NothingDue):
        dun(shop, invoice, 2)
    dun(shop, invoice, 3)
    with pytest.raises(NothingDue):
        dun(shop, invoice, 4)
    assert outcomes(shop) == [("remind", "reminded")]


def test_a_late_run_takes_the_steps_in_order_each_with_the_instant_it_was_due_at() -> None:
    shop, invoice = dunned((3, "remind"), (5, "retry"), (10, "remind"))
    for number in range(3):
        step = next_step(shop.log.as_log(), BOOK, invoice.draft.invoice)
        assert step is not None
        dun(shop, invoice, 100)
        assert shop.of(DunningStepTaken)[-1].due_at == step.due_at
        assert shop.of(DunningStepTaken)[-1].step == number + 1
    assert [one.action for one in shop.of(DunningStepTaken)] == ["remind", "retry", "remind"]


def test_steps_of_one_day_are_taken_together_until_nothing_is_left() -> None:
    shop, invoice = dunned((3, "remind"), (3, "retry"), (3, "suspend_keys"))
    gateway = Gateway([Collection(outcome="collected", reference="ch_1")])
    dun(shop, invoice, 3, gateway=gateway)
    assert outcomes(shop) == [("remind", "reminded"), ("retry", "collected")]
    assert shop.invoice(invoice.draft.invoice).status == "paid"


@pytest.mark.parametrize("settle", ["pay", "void"])
def test_nothing_is_done_about_what_was_settled(settle: str) -> None:
    shop, invoice = dunned((3, "remind"))
    if settle == "pay":
        pay(shop, invoice)
    else:
        void_invoice(shop.context, invoice.draft.invoice, "an error")
    with pytest.raises(NothingDue):
        dun(shop, invoice, 30)


def test_what_is_paid_in_part_is_still_asked_for() -> None:
    shop, invoice = dunned((3, "remind"))
    pay_invoice(shop.context, invoice.draft.invoice, 2899, "USD", "bank")
    dun(shop, invoice, 3)
    assert outcomes(shop) == [("remind", "reminded")]


def test_a_policy_that_was_given_up_before_the_day_does_nothing() -> None:
    shop, invoice = dunned((3, "remind"))
    adopt_dunning(shop.at(shop.now + DAY).context, DunningTerms())
    with pytest.raises(NothingDue):
        dun(shop, invoice, 3)


# -- collecting ----------------------------------------------------------------------------------------


def test_a_retry_without_a_gateway_says_so() -> None:
    shop, invoice = dunned((5, "retry"))
    dun(shop, invoice, 5)
    assert outcomes(shop) == [("retry", "no_gateway")]


def test_a_retry_that_is_declined_is_recorded_and_the_next_one_is_another_try() -> None:
    shop, invoice = dunned((5, "retry"), (7, "retry"))
    gateway = Gateway(
        [Collection(outcome="declined"), Collection(outcome="collected", method="card", reference="ch_2")]
    )
    dun(shop, invoice, 5, gateway=gateway)
    assert shop.invoice(invoice.draft.invoice).status == "open"
    dun(shop, invoice, 7, gateway=gateway)
    assert outcomes(shop) == [("retry", "declined"), ("retry", "collected")]
    assert [one.amount for one in shop.of(PaymentApplied)] == [2900]
    assert {one.attempt for one in gateway.asked} == {f"{invoice.draft.invoice}:{n}" for n in (1, 2)}
    assert {(one.amount, one.currency, one.account) for one in gateway.asked} == {(2900, "USD", shop.account)}


def test_a_retry_asks_for_what_is_left_only() -> None:
    shop, invoice = dunned((5, "retry"))
    pay_invoice(shop.context, invoice.draft.invoice, 900, "USD", "bank")
    gateway = Gateway([Collection(outcome="collected", reference="ch_1")])
    dun(shop, invoice, 5, gateway=gateway)
    assert [one.amount for one in gateway.asked] == [2000]
    assert shop.invoice(invoice.draft.invoice).amount_due == 0


def test_what_is_collected_of_an_invoice_that_was_paid_meanwhile_is_not_passed_over_in_silence() -> None:
    shop, invoice = dunned((5, "retry"))

    class Slow(Gateway):
        """One that the customer is faster than."""

        def collect(self, demand: Demand) -> Collection:
            pay(shop, invoice)
            return super().collect(demand)

    with pytest.raises(CollectedTwice, match="ch_1"):
        dun(shop, invoice, 5, gateway=Slow([Collection(outcome="collected", reference="ch_1")]))
    assert outcomes(shop) == []
    assert len(shop.of(PaymentApplied)) == 1


# -- keys ----------------------------------------------------------------------------------------------


def test_active_keys_are_suspended_with_the_step_and_come_back_once_it_is_paid() -> None:
    shop, invoice = dunned((10, "suspend_keys"), (20, "cancel_subscription"))
    reads = Reads([new_key(shop), new_key(shop)])
    dun(shop, invoice, 10, reads)
    assert outcomes(shop) == [("suspend_keys", "suspended")]
    assert [key_status(shop, key) for key in reads.keys] == ["suspended", "suspended"]
    assert {one.reason for one in shop.of(ApiKeySuspended)} == {f"past due: {invoice.draft.invoice}"}
    pay(shop.at(shop.now + DAY), invoice)
    step = next_step(shop.log.as_log(), BOOK, invoice.draft.invoice)
    assert step is not None
    assert (step.action, step.due_at) == ("resume_keys", shop.now)
    dun(shop, invoice, 12, reads)
    assert [key_status(shop, key) for key in reads.keys] == ["active", "active"]
    with pytest.raises(NothingDue):
        dun(shop, invoice, 100, reads)


def test_keys_that_do_not_open_are_left_alone() -> None:
    shop, invoice = dunned((10, "suspend_keys"))
    by_hand, revoked = new_key(shop), new_key(shop)
    suspend_key(shop.context, by_hand, "past due: says who")
    revoke_key(shop.context, revoked, "lost")
    dun(shop, invoice, 10, Reads([by_hand, revoked]))
    assert outcomes(shop) == [("suspend_keys", "no_active_keys")]
    assert len(shop.of(ApiKeySuspended)) == 1


def test_only_keys_that_dunning_suspended_are_resumed() -> None:
    shop, invoice = dunned((10, "suspend_keys"))
    ours, by_hand, later_by_hand = new_key(shop), new_key(shop), new_key(shop)
    suspend_key(shop.context, by_hand, "past due: says who")
    reads = Reads([ours, by_hand, later_by_hand])
    dun(shop, invoice, 10, reads)
    resume_key(shop.context, later_by_hand)
    suspend_key(shop.context, later_by_hand, "leaked")
    pay(shop, invoice)
    dun(shop, invoice, 10, reads)
    assert [key_status(shop, key) for key in reads.keys] == ["active", "suspended", "suspended"]


def test_keys_that_another_invoice_holds_are_not_resumed() -> None:
    shop, invoice = dunned((10, "suspend_keys"))
    reads = Reads([new_key(shop)])
    dun(shop, invoice, 10, reads)
    pay(shop, invoice)
    reads.held = True
    dun(shop, invoice, 10, reads)
    assert outcomes(shop)[-1] == ("resume_keys", "others_past_due")
    assert shop.of(ApiKeyResumed) == []


# -- giving up -----------------------------------------------------------------------------------------


def test_what_is_given_up_is_written_off_and_dunning_goes_on() -> None:
    shop, invoice = dunned((30, "mark_uncollectible"), (45, "cancel_subscription"))
    dun(shop, invoice, 30)
    assert outcomes(shop) == [("mark_uncollectible", "marked")]
    assert [one.amount for one in shop.of(InvoiceMarkedUncollectible)] == [2900]
    assert shop.of(JournalEntryPosted)[-1].economic_object == invoice.draft.invoice
    shop.advance_to(datetime(2027, 2, 28, tzinfo=UTC))
    dun(shop, invoice, 45)
    assert outcomes(shop)[-1] == ("cancel_subscription", "cancelled")


def test_what_was_given_up_by_hand_is_not_given_up_again() -> None:
    shop, invoice = dunned((30, "mark_uncollectible"))
    mark_uncollectible(shop.context, invoice.draft.invoice, "bankrupt")
    dun(shop, invoice, 30)
    assert outcomes(shop) == [("mark_uncollectible", "marked_before")]
    assert len(shop.of(InvoiceMarkedUncollectible)) == 1


def test_a_cancellation_is_now_without_credit_and_gives_the_last_invoice() -> None:
    shop = open_shop(grace_hours="0")
    listed = (DunningStep(days_after_due=0, action="cancel_subscription"),)
    adopt_dunning(shop.context, DunningTerms(steps=listed))
    shop.meter("api_calls")
    shop.subscribe(shop.plan(fees=FEE, charges=(charge(2),)))
    invoice = shop.invoices()[0]
    shop.at(shop.now + DAY).use(5)
    stepped = dun(shop, invoice, 0)
    assert outcomes(shop) == [("cancel_subscription", "cancelled")]
    assert [one.ended_at for one in shop.of(SubscriptionCancelled)] == [shop.now]
    assert stepped.issued is not None
    assert [line.amount for line in known(stepped.issued).draft.lines] == [10], "no credit of the fee"


def test_a_cancellation_as_the_period_ends_leaves_no_other_to_begin() -> None:
    shop, invoice = dunned((17, "cancel_subscription"))
    assert shop.state.period is not None
    dun(shop, invoice, 17)
    assert shop.now == shop.state.period.ends_at
    assert outcomes(shop) == [("cancel_subscription", "cancelled")]
    assert [one.ended_at for one in shop.of(SubscriptionCancelled)] == [shop.now]
    assert len(shop.invoices()) == 1, "nothing is left to bill"


def test_a_subscription_that_ended_before_is_not_ended_again() -> None:
    shop, invoice = dunned((45, "cancel_subscription"))
    shop.cancel(credit=False)
    dun(shop, invoice, 45)
    assert outcomes(shop) == [("cancel_subscription", "ended_before")]


# -- notices -------------------------------------------------------------------------------------------


def test_notice_is_given_once_a_period_and_happened_when_it_was_due() -> None:
    shop, _ = dunned(renewal_days_before=7)
    with pytest.raises(NothingDue):
        give_due_notice(shop.context, shop.subscription)
    notice = next_notice(shop.log.as_log(), BOOK, shop.subscription)
    assert notice is not None
    give_due_notice(shop.at(notice.due_at + DAY).context, shop.subscription)
    assert [(one.kind, one.due_at) for one in shop.of(NoticeGiven)] == [("renewal", notice.happens_at)]
    assert shop.log.recorded[-1].metadata.occurred_at == notice.due_at
    with pytest.raises(NothingDue):
        give_due_notice(shop.context, shop.subscription)
    shop.advance_to(notice.happens_at)
    following = next_notice(shop.log.as_log(), BOOK, shop.subscription)
    assert following is not None
    assert following.happens_at > notice.happens_at


def test_the_end_of_a_trial_is_told_and_not_its_renewal() -> None:
    shop = open_shop()
    adopt_dunning(shop.context, DunningTerms(renewal_days_before=7, trial_end_days_before=3))
    shop.subscribe(shop.plan(fees=FEE), trial_days=14)
    notice = next_notice(shop.log.as_log(), BOOK, shop.subscription)
    assert notice is not None
    assert (notice.kind, notice.happens_at) == ("trial_end", shop.now + 14 * DAY)
    give_due_notice(shop.at(notice.due_at).context, shop.subscription)
    assert next_notice(shop.log.as_log(), BOOK, shop.subscription) is None


def test_who_cancels_is_told_nothing_more() -> None:
    shop, _ = dunned(renewal_days_before=7)
    shop.cancel(at_period_end=True)
    assert next_notice(shop.log.as_log(), BOOK, shop.subscription) is None
    shop.reactivate()
    assert next_notice(shop.log.as_log(), BOOK, shop.subscription) is not None
    shop.pause()
    assert next_notice(shop.log.as_log(), BOOK, shop.subscription) is None
