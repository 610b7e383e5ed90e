"""Commands on subscriptions: subscribe, change, cancel and all else, each with what it makes to bill."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from commands.billing import FINAL, RECURRING, issue, load_priced, settle_before
from commands.chosen import execute_chosen
from commands.context import Done, Unit, execute
from commands.credit_notes import add_notes, plan_notes
from commands.invoicing import load_book
from commands.streams import account_stream, find_coupon, new_id, stream_or_not_found
from ledger.crediting import given_back_of, left_of, of_fee
from ledger.events.subscription import PeriodOpened, SubscriptionCancelled
from ledger.identifiers import stream_of
from ledger.streams import account as accounts
from ledger.streams import add_ons, changes, prorating, subscribing, subscription_life
from ledger.streams import coupon as coupons
from ledger.streams import invoice as invoices
from ledger.streams import plan as plans
from ledger.streams import subscription as subscriptions
from ledger.streams.base import Stream
from ledger.streams.credit_note import OF_CANCELLATION, OF_CHANGE
from ledger.streams.invoice import Header
from ledger.streams.prorating import Held
from ledger.streams.subscribing import Beginning

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context
    from commands.credit_notes import Notes
    from ledger.events.subscription import SubscriptionEvent
    from ledger.streams.account import Account
    from ledger.streams.book import Book
    from ledger.streams.invoice import Invoice
    from ledger.streams.plan import PricedPlan
    from ledger.streams.subscription import Item, Subscription


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A change that is asked for; what is not said stays, or is for the book's policy to say.

    `at_once` bills what the change leaves to be billed now, and not with the next invoice.
    """

    plan: str | None = None
    price_version: int | None = None
    quantity: int | None = None
    at_period_end: bool | None = None
    prorates: bool = True
    at_once: bool | None = None

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Wish:
        """Read what a request asks for."""
        behavior = asked["proration_behavior"]
        return cls(
            plan=asked["plan"],
            price_version=asked["price_version"],
            quantity=asked["quantity"],
            at_period_end=asked["at_period_end"],
            prorates=behavior != "none",
            at_once=None if behavior is None else behavior == "always_invoice",
        )


@dataclass(frozen=True)
class Billed:
    """A subscription and the invoice drafted or issued for it just now, if there was something to bill.

    And the credit notes that gave back what was invoiced before.
    """

    subscription: Stream[Subscription]
    invoice: Stream[Invoice] | None
    credit_notes: Notes = ()


def subscribe(
    context: Context,
    account: str,
    plan: str,
    chosen: str | None = None,
    beginning: Beginning | None = None,
    coupon: str | None = None,
) -> Done[Billed]:
    """Subscribe an open account to a plan on sale; what begins now, or began before, is billed at once.

    The subscription has a new id, or the one that was chosen for it.
    """
    subscription = chosen or new_id(context, "sub")
    stream = stream_of("sub", subscription)
    how = beginning or Beginning(starts_at=context.now)

    def decide(unit: Unit) -> Billed:
        owner = _open_account(unit, account)
        wanted = _plan_on_sale(unit, plan, owner.currency, how.starts_at)
        book = load_book(unit)
        events = subscribing.subscribe(subscription, owner, wanted, book, how, context.now)
        started = unit.add(stream, Stream(), subscriptions.evolve, events, min(how.starts_at, context.now))
        if coupon is not None:
            started = _redeem(unit, stream, started, coupon)
        if subscriptions.require(started.state).period is None:
            return Billed(started, None)
        return _bill(unit, stream, started, owner, book)

    return execute(context, decide) if chosen is None else execute_chosen(context, "sub", chosen, decide)


def change_subscription(context: Context, subscription: str, wish: Wish) -> Done[Billed]:
    """Move a subscription to another plan, price version or number of seats, now or at period end.

    The prorations of a change now wait for the next invoice, or are billed at once.
    """
    stream = stream_or_not_found("sub", subscription)
    return execute(context, lambda unit: change(unit, stream, wish))


def change(unit: Unit, stream: UUID, wish: Wish) -> Billed:
    """Do a change within a unit; a preview does the same and appends nothing."""
    loaded = unit.load(subscriptions.evolve, stream)
    state = subscriptions.require_changeable(loaded.state)
    account = _open_account(unit, state.account)
    book = load_book(unit)
    old, held = _present(unit, state), _held(unit, state, state.first)
    asked = changes.Change(
        old=old,
        new=_wanted(unit, wish, state, old),
        quantity=wish.quantity,
        book=book,
        now=unit.context.now,
        at_period_end=wish.at_period_end,
        prorates=wish.prorates,
        charged=held.charged,
        fee_is_void=held.is_void,
        fee_credited=held.credited,
        keeps_plan=wish.plan is None and wish.price_version is None,
    )
    events = changes.change(state, asked)
    if any(isinstance(one, PeriodOpened) for one in events):
        loaded = settle_before(unit, stream, loaded, unit.context.now)
        changed, notes = _noted(unit, stream, loaded, events, book, OF_CHANGE)
        return _and(notes, _bill(unit, stream, changed, account, book))
    return _changed(unit, stream, loaded, events, account, book, at_once=wish.at_once)


def _changed(
    unit: Unit,
    stream: UUID,
    loaded: Stream[Subscription],
    events: list[SubscriptionEvent],
    account: Account,
    book: Book,
    *,
    at_once: bool | None = None,
) -> Billed:
    """Add what a change makes, and bill what it leaves to be billed at once if asked, or as the book says."""
    changed, notes = _noted(unit, stream, loaded, events, book, OF_CHANGE)
    wanted = book.policy.billing.change_invoice == "immediate" if at_once is None else at_once
    added = subscriptions.require(changed.state).pending[len(subscriptions.require(loaded.state).pending) :]
    if wanted and added:
        return _and(notes, _bill_change(unit, stream, changed, account, book))
    return Billed(changed, None, notes)


def _and(notes: Notes, billed: Billed) -> Billed:
    """Give the credit notes of a change before those of what was billed with it."""
    return replace(billed, credit_notes=(*notes, *billed.credit_notes))


def _noted(
    unit: Unit,
    stream: UUID,
    loaded: Stream[Subscription],
    events: list[SubscriptionEvent],
    book: Book,
    kind: str,
) -> tuple[Stream[Subscription], Notes]:
    """Add what a change makes, its credits as credit notes where the book says so."""
    noted, planned = plan_notes(unit, subscriptions.require(loaded.state), events, book, kind)
    changed = unit.add(stream, loaded, subscriptions.evolve, noted)
    return changed, add_notes(unit, planned, book)


def cancel_subscription(
    context: Context, subscription: str, *, at_period_end: bool = True, credit: bool = True
) -> Done[Billed]:
    """End a subscription with its present period, or now; what is left of the fee is credited if asked for.

    What waited for an invoice is billed as it ends.
    """
    stream = stream_or_not_found("sub", subscription)
    return execute(context, lambda unit: cancel(unit, stream, at_period_end=at_period_end, credit=credit))


def cancel(unit: Unit, stream: UUID, *, at_period_end: bool, credit: bool) -> Billed:
    """End a subscription within a unit."""
    loaded = unit.standing(stream, unit.load(subscriptions.evolve, stream), subscriptions.evolve)
    state = subscriptions.require_alive(loaded.state)
    events = subscription_life.cancel(state, unit.context.now, at_period_end=at_period_end)
    book = load_book(unit)
    ended_at = next((one.ended_at for one in events if isinstance(one, SubscriptionCancelled)), None)
    if ended_at is None:
        return Billed(unit.add(stream, loaded, subscriptions.evolve, events), None)
    if credit and not at_period_end:
        held = [_held(unit, state, item) for item in state.items]
        events = [*prorating.credits_of_the_rest(state, held, book, ended_at), *events]
    settled = settle_before(unit, stream, loaded, ended_at)
    ended, notes = _noted(unit, stream, settled, events, book, OF_CANCELLATION)
    return _and(notes, _bill(unit, stream, ended, _known_account(unit, state.account), book))


def pause_subscription(context: Context, subscription: str, *, shifts: bool = False) -> Done[Billed]:
    """Bill nothing from now on; with `shifts` the time paid for is kept for afterwards."""
    return _happen(
        context, subscription, lambda state: subscription_life.pause(state, context.now, shifts=shifts)
    )


def resume_subscription(context: Context, subscription: str) -> Done[Billed]:
    """Go on billing."""
    return _happen(context, subscription, lambda state: subscription_life.resume(state, context.now))


def reactivate_subscription(context: Context, subscription: str) -> Done[Billed]:
    """Let a subscription go on that was to end, or begin one again, from now, that has ended."""
    stream = stream_or_not_found("sub", subscription)

    def decide(unit: Unit) -> Billed:
        loaded = unit.load(subscriptions.evolve, stream)
        state = subscriptions.require(loaded.state)
        account = _open_account(unit, state.account)
        events = subscription_life.reactivate(state, context.now)
        if state.status != "cancelled":
            return Billed(unit.add(stream, loaded, subscriptions.evolve, events), None)
        settled = settle_before(unit, stream, loaded, context.now)
        again = unit.add(stream, settled, subscriptions.evolve, events)
        present, book = subscriptions.require(again.state), load_book(unit)
        plan = _present(unit, present)
        opened = subscribing.advance(present, account, plan, plan, book, max(context.now, present.starts_at))
        begun = unit.add(stream, again, subscriptions.evolve, opened)
        return _bill(unit, stream, begun, account, book)

    return execute(context, decide)


def redeem_coupon(context: Context, subscription: str, coupon: str) -> Done[Billed]:
    """Take a coupon, named by its code or id, off the subscription's invoices to come."""
    stream = stream_or_not_found("sub", subscription)

    def decide(unit: Unit) -> Billed:
        loaded = unit.load(subscriptions.evolve, stream)
        subscriptions.require_alive(loaded.state)
        return Billed(_redeem(unit, stream, loaded, coupon), None)

    return execute(context, decide)


def add_plan(context: Context, subscription: str, plan: str, quantity: int = 1) -> Done[Billed]:
    """Add a plan beside the subscription's own, from now, in the same periods."""
    stream = stream_or_not_found("sub", subscription)
    item = new_id(context, "item")

    def decide(unit: Unit) -> Billed:
        loaded = unit.load(subscriptions.evolve, stream)
        state = subscriptions.require_changeable(loaded.state)
        account, book = _open_account(unit, state.account), load_book(unit)
        wanted = _plan_on_sale(unit, plan, state.currency, context.now)
        events = add_ons.add(state, _present(unit, state), wanted, item, quantity, book, context.now)
        return _changed(unit, stream, loaded, events, account, book)

    return execute(context, decide)


def remove_plan(context: Context, subscription: str, item: str) -> Done[Billed]:
    """Take an added plan away from now on; what is left of its fee is credited."""
    stream = stream_or_not_found("sub", subscription)

    def decide(unit: Unit) -> Billed:
        loaded = unit.load(subscriptions.evolve, stream)
        state = subscriptions.require_changeable(loaded.state)
        book = load_book(unit)
        held = _held(unit, state, subscriptions.item_of(state, item))
        events = add_ons.remove(state, held, book, context.now)
        return _changed(unit, stream, loaded, events, _known_account(unit, state.account), book)

    return execute(context, decide)


def advance_subscription(context: Context, subscription: str) -> Done[Billed]:
    """Do the one thing that is due next: open a period and bill it, or end the subscription.

    What is written happened when it was due, however late this runs.
    """
    stream = stream_or_not_found("sub", subscription)
    return execute(context, lambda unit: advance(unit, stream))


def advance(unit: Unit, stream: UUID) -> Billed:
    """Do within a unit what is due next of a subscription; a draft before the next one is settled first."""
    loaded = unit.load(subscriptions.evolve, stream)
    state = subscriptions.require(loaded.state)
    due_at = subscribing.due_at(state)
    if due_at is not None and due_at <= unit.context.now:
        loaded = settle_before(unit, stream, loaded, due_at)
    owner = unit.load(accounts.evolve, account_stream(state.account))
    unit.guard(account_stream(state.account), owner.version)
    account = accounts.require(owner.state)
    old = _present(unit, state)
    new = old if state.next_plan is None else _next(unit, state)
    book = load_book(unit)
    events = subscribing.advance(loaded.state, account, old, new, book, unit.context.now)
    advanced = unit.add(stream, loaded, subscriptions.evolve, events, due_at)
    return _bill(unit, stream, advanced, account, book)


def _bill(unit: Unit, stream: UUID, loaded: Stream[Subscription], account: Account, book: Book) -> Billed:
    """Bill the period that began, or all that is left where the subscription ended."""
    state = subscriptions.require(loaded.state)
    if state.period is None:
        return Billed(loaded, None)
    ended = state.status == "cancelled"
    kind, end = (FINAL, state.ended_at) if ended else (RECURRING, state.period.ends_at)
    assert end is not None, "what is cancelled has ended"
    return Billed(*issue(unit, stream, loaded, account, book, Header.of(state, kind, end)))


def _bill_change(
    unit: Unit, stream: UUID, loaded: Stream[Subscription], account: Account, book: Book
) -> Billed:
    """Bill what a change left to be billed, at once."""
    state = subscriptions.require(loaded.state)
    period = subscriptions.last_period(state)
    header = Header.of(state, f"change:{state.prorations}", period.ends_at)
    return Billed(*issue(unit, stream, loaded, account, book, header, waiting_only=True))


def _happen(
    context: Context, subscription: str, decide: Callable[[Subscription | None], list[SubscriptionEvent]]
) -> Done[Billed]:
    stream = stream_or_not_found("sub", subscription)

    def within(unit: Unit) -> Billed:
        loaded = unit.load(subscriptions.evolve, stream)
        return Billed(unit.add(stream, loaded, subscriptions.evolve, decide(loaded.state)), None)

    return execute(context, within)


def _redeem(unit: Unit, stream: UUID, loaded: Stream[Subscription], coupon: str) -> Stream[Subscription]:
    """Redeem a coupon in its own stream, so that its limit holds, and apply it."""
    state = subscriptions.require(loaded.state)
    coupon_stream = find_coupon(unit.context.book, coupon)
    known = unit.load(coupons.evolve, coupon_stream)
    held = coupons.require(known.state)
    if state.currency is not None:
        coupons.require_currency(held, state.currency)
    redeemed = coupons.redeem(held, state.subscription, state.account, unit.context.now)
    unit.add(coupon_stream, known, coupons.evolve, redeemed)
    events = subscription_life.apply_coupon(state, held.coupon, held.name, held.terms)
    return unit.add(stream, loaded, subscriptions.evolve, events)


def _held(unit: Unit, state: Subscription, item: Item) -> Held:
    """Give an item with its plan, what it was last charged as, and what of that was taken back or given back.

    The invoice stays as it is until the append.
    """
    plan, charged = load_priced(unit, item.plan, item.price_version, state.currency), item.charged
    if charged is None:
        return Held(item, plan)
    charged_as = load_priced(unit, charged.plan, charged.price_version, state.currency)
    if charged.invoice is None:
        return Held(item, plan, charged_as)
    stream = stream_of("inv", charged.invoice)
    loaded = unit.load(invoices.evolve, stream)
    unit.guard(stream, loaded.version)
    on_it = invoices.require(loaded.state)
    credited = given_back_of(of_fee(left_of(on_it), charged.line))
    return Held(item, plan, charged_as, is_void=on_it.status == "void", credited=credited)


def _known_account(unit: Unit, account: str) -> Account:
    return accounts.require(unit.load(accounts.evolve, account_stream(account)).state)


def _open_account(unit: Unit, account: str) -> Account:
    """Give the account, which must be open and stay as it is until the append."""
    loaded = unit.load(accounts.evolve, account_stream(account))
    unit.guard(account_stream(account), loaded.version)
    return accounts.require_open(loaded.state)


def _plan_on_sale(unit: Unit, plan: str, currency: str | None, at: datetime) -> PricedPlan:
    """Give the plan as it is sold at an instant, which must stay so until the append."""
    stream = stream_or_not_found("plan", plan)
    loaded = unit.load(plans.evolve, stream)
    unit.guard(stream, loaded.version)
    on_sale = plans.require_on_sale(loaded.state)
    return plans.priced(on_sale, plans.in_force(on_sale, at), currency)


def _wanted(unit: Unit, wish: Wish, state: Subscription, old: PricedPlan) -> PricedPlan:
    """Give the plan that is asked for: the held one as it is held, unless another price version is named."""
    if wish.plan is None and wish.price_version is None:
        return old
    stream = stream_or_not_found("plan", wish.plan or state.plan)
    loaded = unit.load(plans.evolve, stream)
    unit.guard(stream, loaded.version)
    known = plans.require(loaded.state)
    if wish.price_version is not None:
        plans.require_on_sale(known)
        return plans.priced(known, plans.version_of(known, wish.price_version), old.currency)
    if wish.plan == state.plan:
        return old
    return plans.priced(plans.require_on_sale(known), plans.in_force(known, unit.context.now), old.currency)


def _present(unit: Unit, state: Subscription) -> PricedPlan:
    return load_priced(unit, state.plan, state.price_version, state.currency)


def _next(unit: Unit, state: Subscription) -> PricedPlan:
    assert state.next_plan is not None, "a change is scheduled"
    assert state.next_price_version is not None, "to a price version"
    return load_priced(unit, state.next_plan, state.next_price_version, state.currency)
