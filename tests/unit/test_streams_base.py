"""Folding: a stream's events in order, and nothing of a stream of another kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ledger.events import Actor, Event, Metadata, Recorded
from ledger.events.account import AccountRegistered, AccountRenamed
from ledger.events.plan import PlanCreated, PlanRetired
from ledger.streams import account as accounts
from ledger.streams import api_key as keys
from ledger.streams import book as books
from ledger.streams import clock as clocks
from ledger.streams import coupon as coupons
from ledger.streams import invoice as invoices
from ledger.streams import meter as meters
from ledger.streams import plan as plans
from ledger.streams import product as products
from ledger.streams import source as sources
from ledger.streams import subscription as subscriptions
from ledger.streams import tax_rate as tax_rates
from ledger.streams.base import Stream, fold

NOON = datetime(2027, 1, 31, 12, tzinfo=UTC)
PLAN = (
    PlanCreated(
        plan="plan_1",
        product="prod_1",
        name="Pro",
        price_version=1,
        terms=plans.one_fee("Pro", "USD", "month", 2900),
    ),
    PlanRetired(plan="plan_1", reason="replaced"),
)
ACCOUNT = (
    AccountRegistered(account="acc_1", name="Ada", email=None, currency="USD", time_zone="UTC"),
    AccountRenamed(account="acc_1", name="Grace"),
)


def recorded(*events: Event) -> list[Recorded]:
    """Give events as the log would, an hour apart."""
    return [
        Recorded(
            position=10 * number,
            stream=UUID(int=1),
            stream_version=number,
            event=event,
            metadata=Metadata(
                book=UUID(int=2),
                occurred_at=NOON + timedelta(hours=number),
                booked_at=NOON,
                actor=Actor(principal="prn_1", kind="person"),
                cause="test",
            ),
            recorded_at=NOON,
        )
        for number, event in enumerate(events, 1)
    ]


def test_a_stream_knows_its_state_and_when_and_where_it_came_about() -> None:
    stream = fold(accounts.evolve, recorded(*ACCOUNT))
    assert stream.state is not None
    assert stream.state.name == "Grace"
    assert (stream.version, stream.position) == (2, 20)
    assert (stream.created_at, stream.changed_at) == (NOON + timedelta(hours=1), NOON + timedelta(hours=2))


def test_a_stream_of_no_events_has_no_state() -> None:
    assert fold(accounts.evolve, []) == Stream()


@pytest.mark.parametrize(
    "kind",
    [
        accounts,
        books,
        clocks,
        coupons,
        invoices,
        keys,
        meters,
        products,
        sources,
        subscriptions,
        tax_rates,
    ],
)
def test_a_stream_of_another_kind_is_as_if_it_were_not_there(kind: object) -> None:
    assert fold(getattr(kind, "evolve"), recorded(*PLAN)) == Stream()  # noqa: B009 - modules of one shape


def test_an_account_is_no_plan() -> None:
    assert fold(plans.evolve, recorded(*ACCOUNT)) == Stream()


def test_another_kind_s_event_within_a_stream_is_a_defect_that_shows() -> None:
    with pytest.raises(AssertionError):
        fold(accounts.evolve, recorded(ACCOUNT[0], PLAN[1]))
