"""The projection of what is due: what it says is what the streams themselves say."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import dict_row

from ledger.errors import Refusal
from ledger.events import Actor, Metadata, Recorded
from ledger.events.api_key import ApiKeyExpired, ApiKeyIssued, ApiKeyRevoked, ApiKeySuspended
from ledger.events.clock import ClockMoved
from ledger.events.invoice import InvoiceDrafted, InvoiceFinalized, InvoiceVoided
from ledger.events.plan import PlanTerms, RecurringFee
from ledger.events.subscription import (
    CancellationScheduled,
    PeriodOpened,
    SubscriptionCancelled,
    SubscriptionPaused,
    SubscriptionReactivated,
    SubscriptionResumed,
    SubscriptionStarted,
)
from ledger.identifiers import public_id
from ledger.streams import book as books
from ledger.streams import subscribing, subscription_life
from ledger.streams import subscription as subscriptions
from ledger.streams.account import Account
from ledger.streams.plan import PricedPlan
from projections import due
from projections.base import fold_rows
from projections.follower import Follower
from projections.rebuild import verify
from projections.registry import PROJECTIONS
from tests.given_when_then import folded
from tests.integration.histories import MASTER_KEY, NOON, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from psycopg import Connection

    from ledger.events import Event
    from ledger.events.subscription import SubscriptionEvent
    from tests.postgres import Database

DAY = timedelta(days=1)
BOOK = UUID(int=1)
ACCOUNT = public_id("acc", UUID(int=2))
SUBSCRIPTION = public_id("sub", UUID(int=3))
INVOICE = public_id("inv", UUID(int=4))
KEY = public_id("key", UUID(int=5))
OF_SUBSCRIPTION: dict[str, Any] = {"subscription": SUBSCRIPTION, "account": ACCOUNT}
OF_INVOICE: dict[str, Any] = {"invoice": INVOICE, "account": ACCOUNT}
OPENED = PeriodOpened(
    **OF_SUBSCRIPTION,
    period="per_1",
    starts_at=NOON,
    ends_at=NOON + 31 * DAY,
    plan="plan_1",
    price_version=1,
    policy_version=1,
)
PAUSED = SubscriptionPaused(**OF_SUBSCRIPTION, paused_at=NOON + DAY, shifts=True)


def started(starts_at: datetime = NOON) -> SubscriptionStarted:
    return SubscriptionStarted(
        **OF_SUBSCRIPTION,
        plan="plan_1",
        price_version=1,
        item="item_1",
        anchor_day=1,
        anchor_month=3,
        anchor_weekday=7,
        anchor_time=NOON.time(),
        time_zone="UTC",
        starts_at=starts_at,
    )


def drafted(finalizes_at: datetime | None, managed_by: str = "daybook") -> InvoiceDrafted:
    return InvoiceDrafted(
        **OF_INVOICE,
        billing_entity="default",
        payer=ACCOUNT,
        subscription=SUBSCRIPTION,
        kind="recurring",
        currency="USD",
        period_start=NOON,
        period_end=NOON + 31 * DAY,
        lines=(),
        computed_at_position=1,
        managed_by=managed_by,
        finalizes_at=finalizes_at,
    )


def issued(owner: str = ACCOUNT, expires_at: datetime | None = NOON + DAY) -> ApiKeyIssued:
    return ApiKeyIssued(
        key=KEY,
        owner=owner,
        name="key",
        scopes=("read",),
        secret_hash="h" * 64,
        pepper_version=1,
        hint="a1b2",
        expires_at=expires_at,
    )


def recorded(number: int, event: Event) -> Recorded:
    metadata = Metadata(
        book=BOOK, occurred_at=NOON, booked_at=NOON, actor=Actor(principal="p", kind="system"), cause="c"
    )
    return Recorded(
        position=number,
        stream=BOOK,
        stream_version=number,
        recorded_at=NOON,
        event=event,
        metadata=metadata,
    )


def row_of(*events: Event) -> due.DueRow | None:
    """Give what is due after these events of one subject; nothing once it is over."""
    changes = due.changes_of(recorded(number, event) for number, event in enumerate(events, 1))
    rows = [row for row in fold_rows({}, changes).values() if row.next_at is not None]
    assert len(rows) <= 1
    return rows[0] if rows else None


def due_at(*events: Event) -> datetime | None:
    row = row_of(*events)
    return None if row is None else row.due_at


# -- what each kind says -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([started(NOON + DAY)], NOON + DAY),
        ([started(), OPENED], NOON + 31 * DAY),
        ([started(), OPENED, CancellationScheduled(**OF_SUBSCRIPTION, cancels_at=NOON)], NOON + 31 * DAY),
        ([started(), OPENED, PAUSED], None),
        (
            [
                started(),
                OPENED,
                PAUSED,
                SubscriptionResumed(
                    **OF_SUBSCRIPTION, resumed_at=NOON + 5 * DAY, period_ends_at=NOON + 35 * DAY
                ),
            ],
            NOON + 35 * DAY,
        ),
        (
            [started(), OPENED, PAUSED, SubscriptionResumed(**OF_SUBSCRIPTION, resumed_at=NOON + 40 * DAY)],
            NOON + 40 * DAY,
        ),
        ([started(), OPENED, SubscriptionCancelled(**OF_SUBSCRIPTION, ended_at=NOON)], None),
    ],
    ids=["begins", "period", "set to end", "paused", "shifted", "pause outlasted the period", "ended"],
)
def test_a_subscription_is_due_when_its_next_step_is(events: list[Event], expected: datetime | None) -> None:
    assert due_at(*events) == expected


def test_a_subscription_that_ended_has_no_row_and_one_that_begins_again_has_one() -> None:
    ended = [started(), OPENED, SubscriptionCancelled(**OF_SUBSCRIPTION, ended_at=NOON)]
    assert row_of(*ended) is None
    anchor = subscribing.anchor_at(NOON, "UTC")
    again = SubscriptionReactivated(**OF_SUBSCRIPTION, reactivated_at=NOON + 9 * DAY, anchor=anchor)
    row = row_of(*ended, again)
    assert row is not None
    assert (row.due_at, row.account, row.position) == (NOON + 9 * DAY, ACCOUNT, 4)


def test_a_draft_is_due_when_its_grace_is_over_and_not_any_more_once_it_is_finalized() -> None:
    assert due_at(drafted(NOON + DAY)) == NOON + DAY
    assert due_at(drafted(NOON + DAY), drafted(NOON + 2 * DAY)) == NOON + 2 * DAY
    assert row_of(drafted(NOON + DAY), InvoiceVoided(**OF_INVOICE, reason="mistaken")) is None
    assert row_of(drafted(NOON + DAY), finalized()) is None


def test_a_draft_that_is_nobodys_to_finalize_has_no_row() -> None:
    assert row_of(drafted(None)) is None
    assert row_of(drafted(NOON, managed_by="stripe")) is None
    assert row_of(drafted(None), finalized()) is None


def test_a_key_is_due_when_it_expires_unless_it_was_ended_before() -> None:
    row = row_of(issued())
    assert row is not None
    assert (row.kind, row.subject, row.account, row.due_at) == ("key", KEY, ACCOUNT, NOON + DAY)
    of_key = {"key": KEY, "owner": ACCOUNT}
    assert due_at(issued(), ApiKeySuspended(**of_key, reason="leaked")) == NOON + DAY
    assert row_of(issued(), ApiKeyRevoked(**of_key, reason="leaked")) is None
    assert row_of(issued(), ApiKeyExpired(**of_key)) is None
    assert row_of(issued(expires_at=None)) is None


def test_an_operators_key_is_of_no_account() -> None:
    row = row_of(issued("prn_1"))
    assert row is not None
    assert row.account is None


def finalized() -> InvoiceFinalized:
    return InvoiceFinalized(
        **OF_INVOICE,
        billing_entity="default",
        series="INV",
        number=1,
        formatted_number="INV-000001",
        issued_on=NOON.date(),
        due_on=NOON.date(),
        terms="net 30",
        currency="USD",
        subtotal=0,
        discount_total=0,
        tax_total=0,
        total=0,
        seller_name="Seller",
        seller_tax_id=None,
        buyer_name="Ada",
        buyer_email=None,
        buyer_tax_id=None,
    )


# -- the same as the stream says -----------------------------------------------------------------------

ADA = Account(
    account=ACCOUNT, name="Ada", email=None, currency="USD", time_zone="UTC", status="open", origin=None
)
PRO = PricedPlan(
    plan="plan_1",
    product="prod_1",
    name="Pro",
    price_version=1,
    currency="USD",
    terms=PlanTerms(
        interval="month", fees=(RecurringFee(code="fee", name="Pro", amounts={"USD": 2900}),), trial_days=3
    ),
)
STEPS = st.tuples(
    st.sampled_from(["advance", "pause", "shift", "resume", "end", "cancel", "reactivate"]),
    st.timedeltas(timedelta(0), 50 * DAY),
)


def the_book() -> books.Book:
    events = books.open_book(public_id("book", BOOK), public_id("org", BOOK), "Acme", "live", "USD", "UTC")
    book = folded(books.evolve, events)
    assert book is not None
    return book


def step(state: subscriptions.Subscription, what: str, now: datetime) -> Sequence[SubscriptionEvent]:
    match what:
        case "advance":
            return subscribing.advance(state, ADA, PRO, PRO, the_book(), now)
        case "pause" | "shift":
            return subscription_life.pause(state, now, shifts=what == "shift")
        case "resume":
            return subscription_life.resume(state, now)
        case "end" | "cancel":
            return subscription_life.cancel(state, now, at_period_end=what == "end")
        case _:
            return subscription_life.reactivate(state, now)


@given(begins_in=st.timedeltas(-40 * DAY, 40 * DAY), steps=st.lists(STEPS, max_size=14))
def test_whatever_happens_to_a_subscription_the_row_says_what_its_stream_says(
    begins_in: timedelta, steps: list[tuple[str, timedelta]]
) -> None:
    now = NOON
    beginning = subscribing.Beginning(starts_at=now + begins_in)
    events = subscribing.subscribe(SUBSCRIPTION, ADA, PRO, the_book(), beginning, now)
    for what, later in steps:
        now += later
        state = folded(subscriptions.evolve, events)
        assert state is not None
        try:
            events = [*events, *step(state, what, now)]
        except Refusal:
            continue
        state = folded(subscriptions.evolve, events)
        assert state is not None
        assert due_at(*events) == subscribing.due_at(state)


# -- on the database -----------------------------------------------------------------------------------


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    with closing(Writer(database)) as one:
        yield one


@pytest.fixture
def projected(database: Database, writer: Writer) -> Iterator[Callable[[], Connection[Any]]]:
    """Give a function that projects what was written and lends a connection bound to the book."""
    follower = Follower(database.follower_url, MASTER_KEY, PROJECTIONS.values(), batch_rows=2)
    with (
        closing(follower),
        psycopg.connect(database.app_url, autocommit=True, row_factory=dict_row) as connection,
    ):
        connection.execute("SELECT set_config('daybook.book', %s, false)", (str(writer.book),))

        def project() -> Connection[Any]:
            follower.catch_up()
            return connection

        yield project


def test_what_is_due_is_found_in_order_until_an_instant_but_for_what_is_left_out(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    writer.write("subscription", started(), OPENED)
    writer.write("invoice", drafted(NOON + 31 * DAY))
    writer.write("key", issued())
    connection = projected()
    found = due.due_until(connection, NOON + 31 * DAY, 10)
    assert [(row["kind"], row["subject"]) for row in found] == [
        ("key", KEY),
        ("invoice", INVOICE),
        ("subscription", SUBSCRIPTION),
    ]
    assert [row["kind"] for row in due.due_until(connection, NOON + 31 * DAY, 2)] == ["key", "invoice"]
    assert [row["kind"] for row in due.due_until(connection, NOON + 30 * DAY, 10)] == ["key"]
    but = [("key", KEY, NOON + DAY), ("invoice", INVOICE, NOON)]
    assert [row["kind"] for row in due.due_until(connection, NOON + 31 * DAY, 1, but)] == ["invoice"]


def test_what_is_over_leaves_no_row_whether_it_ends_in_the_batch_it_began_in_or_later(
    database: Database, writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    writer.write("invoice", drafted(NOON + DAY), finalized())
    writer.write("subscription", started(), OPENED)
    writer.write("key", issued())
    projected()
    writer.write("subscription", SubscriptionCancelled(**OF_SUBSCRIPTION, ended_at=NOON))
    writer.write("key", ApiKeyExpired(key=KEY, owner=ACCOUNT))
    projected()
    with psycopg.connect(database.follower_url) as connection:
        assert connection.execute("SELECT * FROM due.due").fetchall() == []


def test_a_paused_subscription_keeps_what_it_goes_on_with(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    writer.write("subscription", started(), OPENED, PAUSED)
    assert due.due_until(projected(), datetime(2199, 1, 1, tzinfo=UTC), 10) == []
    resumed_at = NOON + 3 * DAY
    writer.write("subscription", SubscriptionResumed(**OF_SUBSCRIPTION, resumed_at=resumed_at))
    (row,) = due.due_until(projected(), NOON + 31 * DAY, 10)
    assert row["due_at"] == NOON + 31 * DAY


def test_the_clocks_of_books_stand_beside_and_all_of_it_is_what_a_rebuild_makes(
    database: Database, writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    writer.write("clock", ClockMoved(from_at=NOON, to_at=NOON + DAY))
    last = writer.write("clock", ClockMoved(from_at=NOON + DAY, to_at=NOON + 2 * DAY))
    writer.write("subscription", started(), OPENED, PAUSED)
    writer.write("invoice", drafted(NOON + DAY), drafted(NOON + 2 * DAY))
    projected()
    with psycopg.connect(database.follower_url) as connection:
        rows = connection.execute("SELECT book, now_at, position FROM due.clocks").fetchall()
    assert rows == [(writer.book, NOON + 2 * DAY, last)]
    (comparison,) = verify(database.owner_url, database.follower_url, MASTER_KEY, ["due"])
    assert (comparison.equal, comparison.rows) == (True, 4)


def test_what_is_due_of_a_book_is_found_by_index_among_many(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    writer.write("key", issued())
    connection = projected()
    connection.execute("SET enable_seqscan = off")
    query = "EXPLAIN " + due.QUERIES["until"]
    parameters = {
        "until": NOON,
        "limit": 10,
        "but_kinds": [],
        "but_subjects": [],
        "but_due": [],
    }
    plan = "\n".join(row["QUERY PLAN"] for row in connection.execute(query, parameters))
    assert "due_next" in plan
    assert "Sort" not in plan
