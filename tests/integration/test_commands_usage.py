"""Usage from command to log: counted once, never for an account that may not be billed for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from commands.accounts import change_account, close_account
from commands.usage import Rejection, UsageResult, record_usage
from ledger.events.usage import UsageRecorded
from ledger.identifiers import usage_stream
from ledger.usage_row import UsageFact, facts_digest
from tests.acme import NOON, Acme, acme_on, an_account, at
from tests.examples import example_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database) as founded:
        yield founded


def used(account: str, number: int = 0, **changes: Any) -> UsageFact:
    fact = UsageFact(
        event_id=f"event {number}",
        source="gateway",
        meter="api_calls",
        account=account,
        quantity=Decimal(1),
        occurred_at=NOON,
        properties={"region": "eu"},
    )
    return msgspec.structs.replace(fact, **changes)


def told(result: UsageResult) -> list[tuple[int, int]]:
    """Give which facts were in conflict, and with what stands at which position."""
    return [(conflict.index, conflict.position) for conflict in result.conflicts]


def test_usage_is_recorded_with_who_sent_it_and_when_it_happened(acme: Acme) -> None:
    account = an_account(acme.live)
    an_hour_ago = NOON - timedelta(hours=1)
    result = record_usage(acme.live, [used(account, quantity=Decimal("0.250"), occurred_at=an_hour_ago)])
    assert result == UsageResult(1, 0, (), (), result.position)
    assert result.position is not None
    (recorded,) = acme.log.at_positions(acme.live.book, [result.position])
    event = recorded.event
    assert isinstance(event, UsageRecorded)
    assert (event.account, event.meter, event.quantity) == (account, "api_calls", Decimal("0.25"))
    assert (event.accepted_at, recorded.metadata.occurred_at) == (NOON, an_hour_ago)
    assert (recorded.metadata.actor, recorded.metadata.booked_at) == (acme.live.actor, NOON)
    assert recorded.stream == usage_stream(acme.live.book, "gateway", "event 0")


def test_nothing_to_record_reaches_no_position(acme: Acme) -> None:
    assert record_usage(acme.live, []) == UsageResult(0, 0, (), (), None)


def test_usage_told_of_twice_is_counted_once_and_keeps_its_position(acme: Acme) -> None:
    account = an_account(acme.live)
    first = record_usage(acme.live, [used(account), used(account, 1)])
    again = record_usage(
        at(acme.live, NOON + timedelta(days=300), "retry"), [used(account), used(account, 1)]
    )
    assert (again.accepted, again.duplicates, again.position) == (0, 2, first.position)
    within = record_usage(acme.live, [used(account, 2), used(account, 3, event_id="event 2")])
    assert (within.accepted, within.duplicates, within.conflicts) == (1, 1, ())


def test_the_time_is_no_fact_that_a_duplicate_must_share(acme: Acme) -> None:
    account = an_account(acme.live)
    later = used(account, occurred_at=NOON + timedelta(minutes=1), quantity=Decimal("1.0"))
    record_usage(acme.live, [used(account)])
    assert record_usage(acme.live, [later]).duplicates == 1
    assert facts_digest(later) == facts_digest(used(account))


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": Decimal(2)},
        {"meter": "tokens"},
        {"properties": {"region": "us"}},
        {"properties": {"region": "eu", "zone": "a"}},
    ],
)
def test_a_known_identity_with_other_facts_is_a_conflict(acme: Acme, changes: dict[str, Any]) -> None:
    account = an_account(acme.live)
    first = record_usage(acme.live, [used(account)])
    result = record_usage(acme.live, [used(account, 6), used(account, **changes)])
    assert first.position is not None
    assert (result.accepted, result.duplicates) == (1, 0)
    assert told(result) == [(1, first.position)]


def test_another_account_s_fact_under_a_known_identity_is_a_conflict(acme: Acme) -> None:
    ada, grace = an_account(acme.live), an_account(acme.live, "Grace")
    result = record_usage(acme.live, [used(ada), used(grace, 1, event_id="event 0")])
    assert result.position is not None
    assert (result.accepted, told(result)) == (1, [(1, result.position)])


def test_another_source_s_event_of_the_same_id_is_another_event(acme: Acme) -> None:
    account = an_account(acme.live)
    result = record_usage(acme.live, [used(account), used(account, 1, event_id="event 0", source="batch")])
    assert result.accepted == 2


def test_the_order_of_properties_does_not_matter() -> None:
    one = used(example_id("acc"), properties={"a": 1, "b": [1, {"c": None, "d": "x"}]})
    other = used(example_id("acc"), properties={"b": [1, {"d": "x", "c": None}], "a": 1})
    assert facts_digest(one) == facts_digest(other)


@pytest.mark.parametrize("account", [example_id("acc", 404), "acc_?", "", "sub_01h455vb4pex5vsknk084sn02q"])
def test_usage_of_an_account_that_is_not_there_is_rejected_alone(acme: Acme, account: str) -> None:
    result = record_usage(acme.live, [used(an_account(acme.live)), used(account, 1)])
    assert result.accepted == 1
    assert result.rejected == (Rejection(1, "unknown_account", f"there is no account {account}"),)


def test_usage_of_another_book_s_account_is_rejected(acme: Acme) -> None:
    result = record_usage(acme.test, [used(an_account(acme.live))])
    assert [rejection.code for rejection in result.rejected] == ["unknown_account"]


def test_usage_is_judged_by_when_it_happened_and_not_by_when_the_account_closed(acme: Acme) -> None:
    account = an_account(acme.live)
    change_account(acme.live, account, {"name": "Ada L."})
    close_account(acme.live, account, "moved away")
    a_moment = timedelta(microseconds=1)
    facts = [
        used(account, 0, occurred_at=NOON - a_moment),
        used(account, 1, occurred_at=NOON),
        used(account, 2, occurred_at=NOON + a_moment),
    ]
    result = record_usage(at(acme.live, NOON + timedelta(days=1)), facts)
    assert result.accepted == 1
    assert [(rejection.index, rejection.code) for rejection in result.rejected] == [
        (1, "account_closed"),
        (2, "account_closed"),
    ]


def test_a_batch_of_which_nothing_is_admitted_reaches_no_position(acme: Acme) -> None:
    assert record_usage(acme.live, [used("acc_?")]).position is None


def test_twelve_thousand_events_are_recorded_in_chunks(acme: Acme) -> None:
    account = an_account(acme.live)
    facts = [used(account, index) for index in range(12_000)]
    # Repeats far apart, so that they fall into different chunks: one a duplicate, one a conflict.
    facts.append(used(account, 12_000, event_id="event 0"))
    facts.append(used(account, 12_001, event_id="event 1", quantity=Decimal(7)))
    result = record_usage(acme.live, facts)
    assert (result.accepted, result.duplicates, len(result.conflicts)) == (12_000, 1, 1)
    assert result.conflicts[0].index == 12_001
    assert result.position is not None
    (last,) = acme.log.at_positions(acme.live.book, [result.position])
    assert isinstance(last.event, UsageRecorded)
    assert last.event.event_id == "event 11999"
    again = record_usage(replace(acme.live, cause="again"), facts[:12_000])
    assert (again.accepted, again.duplicates, again.position) == (0, 12_000, result.position)


def test_an_index_is_a_place_in_what_was_given_whatever_of_it_is_rejected(acme: Acme) -> None:
    account = an_account(acme.live)
    record_usage(acme.live, [used(account)])
    facts = [used("acc_?", 1), used(account, 2), used("acc_?", 3), used(account, meter="tokens")]
    result = record_usage(acme.live, facts)
    assert [rejection.index for rejection in result.rejected] == [0, 2]
    assert [conflict.index for conflict in result.conflicts] == [3]
