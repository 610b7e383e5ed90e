"""The policy of dunning, and what it makes due of an invoice and of a subscription."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events.dunning import DunningPolicyAdopted, DunningStep
from ledger.events.invoice import CreditApplied, DunningStepTaken, InvoiceVoided, PaymentApplied
from ledger.notices import Coming, DueNotice, coming, due_notice
from ledger.past_due import DueStep, PastDue, coming_steps, due_steps, past_due
from ledger.streams import dunning
from ledger.streams.dunning import ACTIONS, Dunning, DunningTerms, UnusableDunning
from tests.examples import example_id
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from ledger.events import Event

NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
RULES = Rules(dunning.evolve)
STEPS = (
    DunningStep(days_after_due=3, action="remind"),
    DunningStep(days_after_due=5, action="retry"),
    DunningStep(days_after_due=10, action="suspend_keys"),
)
TERMS = DunningTerms(steps=STEPS, renewal_days_before=7, trial_end_days_before=3)
OF_INVOICE: dict[str, str] = {"invoice": example_id("inv"), "account": example_id("acc")}
OWED = PastDue(issued_on=date(2027, 1, 1), due_on=date(2027, 1, 31), booked_at=NOW, owed=2900)


def adopted(number: int = 1, at: datetime = NOW, **more: Any) -> DunningPolicyAdopted:
    told: dict[str, Any] = {"steps": STEPS, "renewal_days_before": 7, "trial_end_days_before": 3, **more}
    return DunningPolicyAdopted(
        policy_version=number, in_force_from=at, time_zone=told.pop("time_zone", "UTC"), **told
    )


def policy(*versions: DunningPolicyAdopted) -> Dunning:
    return Dunning(versions or (adopted(),))


def days(steps: list[DueStep]) -> list[tuple[str, str]]:
    return [(step.due_at.isoformat(), step.action) for step in steps]


def taken(step: DueStep, number: int = 1, outcome: str = "reminded") -> DunningStepTaken:
    return DunningStepTaken(
        **OF_INVOICE, step=number, action=step.action, due_at=step.due_at, outcome=outcome
    )


def paid(amount: int) -> PaymentApplied:
    return PaymentApplied(**OF_INVOICE, payment=example_id("pay"), amount=amount, currency="USD")


def after(state: PastDue, *events: Event, at: datetime = NOW) -> PastDue:
    for event in events:
        following = past_due(state, event, at)
        assert following is not None
        state = following
    return state


# -- adopting ------------------------------------------------------------------------------------------


def test_the_first_policy_is_version_one_and_in_force_from_now() -> None:
    RULES.given().when(lambda state: dunning.adopt(state, TERMS, "UTC", NOW)).then(adopted())


def test_adopting_the_policy_in_force_changes_nothing() -> None:
    RULES.given(adopted()).when(lambda state: dunning.adopt(state, TERMS, "UTC", NOW + DAY)).then()


def test_a_book_without_a_policy_that_adopts_none_stays_without() -> None:
    RULES.given().when(lambda state: dunning.adopt(state, DunningTerms(), "UTC", NOW)).then()


def test_a_later_version_is_never_in_force_before_the_one_it_follows() -> None:
    RULES.given(adopted()).when(lambda state: dunning.adopt(state, DunningTerms(), "UTC", NOW - DAY)).then(
        adopted(2, NOW, steps=(), renewal_days_before=None, trial_end_days_before=None)
    )


@pytest.mark.parametrize(
    ("terms", "path"),
    [
        (DunningTerms(steps=(DunningStep(days_after_due=1, action="shout"),)), "steps.0.action"),
        (DunningTerms(steps=(DunningStep(days_after_due=-1, action="remind"),)), "steps.0.days_after_due"),
        (DunningTerms(steps=(DunningStep(days_after_due=3651, action="remind"),)), "steps.0.days_after_due"),
        (DunningTerms(steps=(STEPS[1], STEPS[0])), "steps.1.days_after_due"),
        (DunningTerms(steps=(STEPS[0], STEPS[0])), "steps.1"),
        (DunningTerms(steps=STEPS[:1] * 51), "steps"),
        (DunningTerms(renewal_days_before=-1), "renewal_days_before"),
        (DunningTerms(trial_end_days_before=3651), "trial_end_days_before"),
    ],
)
def test_terms_that_cannot_be_gone_by_are_refused_by_field(terms: DunningTerms, path: str) -> None:
    with pytest.raises(UnusableDunning) as refused:
        dunning.checked_terms(terms)
    assert path in refused.value.errors


# -- which step is next --------------------------------------------------------------------------------


def test_steps_fall_due_as_local_days_begin_counted_from_the_due_day() -> None:
    zone = adopted(time_zone="America/New_York")
    assert days(coming_steps(policy(zone), OWED)) == [
        ("2027-02-03T05:00:00+00:00", "remind"),
        ("2027-02-05T05:00:00+00:00", "retry"),
        ("2027-02-10T05:00:00+00:00", "suspend_keys"),
    ]


def test_a_step_that_was_taken_is_behind_and_the_next_one_is_due() -> None:
    first = due_steps(policy(), OWED)
    assert [step.action for step in first] == ["remind"]
    assert [step.action for step in due_steps(policy(), after(OWED, taken(first[0])))] == ["retry"]


def test_steps_of_one_day_are_due_together_in_their_order_and_each_once() -> None:
    same = (DunningStep(days_after_due=3, action="retry"), DunningStep(days_after_due=3, action="remind"))
    both = due_steps(policy(adopted(steps=same)), OWED)
    assert [step.action for step in both] == ["retry", "remind"]
    half = due_steps(policy(adopted(steps=same)), after(OWED, taken(both[0])))
    assert half == both[1:]
    assert due_steps(policy(adopted(steps=same)), after(OWED, *map(taken, both))) == []


def test_the_version_in_force_when_a_step_falls_due_decides() -> None:
    gentle = adopted(2, datetime(2027, 2, 4, tzinfo=UTC), steps=(replace(STEPS[0], days_after_due=20),))
    assert days(coming_steps(policy(adopted(), gentle), OWED)) == [
        ("2027-02-03T00:00:00+00:00", "remind"),
        ("2027-02-20T00:00:00+00:00", "remind"),
    ]


def test_a_policy_adopted_late_does_not_make_up_for_what_lies_behind() -> None:
    late = policy(adopted(at=datetime(2027, 2, 5, 0, 0, 1, tzinfo=UTC)))
    assert [step.action for step in coming_steps(late, OWED)] == ["suspend_keys"]
    assert due_steps(Dunning(), OWED) == []


def test_days_are_counted_so_much_later_as_the_invoice_was_written_late() -> None:
    late = replace(OWED, booked_at=NOW + 100 * DAY)
    assert coming_steps(policy(), late)[0].due_at == coming_steps(policy(), OWED)[0].due_at + 100 * DAY
    early = replace(OWED, booked_at=NOW - 5 * DAY)
    assert coming_steps(policy(), early) == coming_steps(policy(), OWED)


def test_what_is_paid_credited_or_void_is_over() -> None:
    credit = CreditApplied(**OF_INVOICE, source="account", reference=None, amount=2800, currency="USD")
    assert due_steps(policy(), after(OWED, credit)) != []
    for events in ([paid(2900)], [credit, paid(100)], [InvoiceVoided(**OF_INVOICE, reason="wrong")]):
        settled = after(OWED, *events)
        assert settled.is_over
        assert due_steps(policy(), settled) == []


@pytest.mark.parametrize("outcome", ["suspended", "suspended_before"])
def test_what_is_settled_while_it_keeps_keys_suspended_has_them_resumed_and_is_then_over(
    outcome: str,
) -> None:
    suspended = after(OWED, taken(coming_steps(policy(), OWED)[2], 3, outcome))
    settled = after(suspended, paid(2900), at=NOW + DAY)
    assert due_steps(policy(), settled) == [DueStep(NOW + DAY, "resume_keys")]
    assert due_steps(Dunning(), settled) == due_steps(policy(), settled), "whatever the policy is by then"
    later = CreditApplied(**OF_INVOICE, source="account", reference=None, amount=1, currency="USD")
    assert due_steps(policy(), after(settled, later, at=NOW + 2 * DAY)) == due_steps(policy(), settled)
    resumed = taken(DueStep(NOW + DAY, "resume_keys"), 4, "resumed")
    assert after(settled, resumed).is_over


def test_where_no_key_was_suspended_none_is_resumed() -> None:
    stepped = after(OWED, taken(coming_steps(policy(), OWED)[2], 1, "no_active_keys"), paid(2900))
    assert stepped.is_over


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(ACTIONS)), max_size=8, unique=True).map(
        lambda steps: sorted(steps, key=lambda step: step[0])
    ),
    st.lists(st.integers(0, 60), max_size=3),
)
def test_every_step_is_taken_once_and_in_order_whatever_versions_follow(
    steps: list[tuple[int, str]], changes: list[int]
) -> None:
    listed = tuple(DunningStep(days_after_due=number, action=action) for number, action in steps)
    versions = [
        adopted(number + 1, NOW + offset * DAY, steps=listed if number % 2 == 0 else listed[::2])
        for number, offset in enumerate([0, *sorted(changes)])
    ]
    dunned = policy(*versions)
    expected = coming_steps(dunned, OWED)
    state, done = OWED, []
    while due := due_steps(dunned, state):
        done.append(due[0])
        state = after(state, taken(due[0], len(done)))
        assert len(done) <= len(expected)
    assert done == expected
    assert len(set(done)) == len(done)


# -- notices -------------------------------------------------------------------------------------------

PERIOD = Coming(zone="UTC", starts_at=NOW, ends_at=datetime(2027, 2, 1, 12, tzinfo=UTC), booked_at=NOW)


def test_notice_of_a_renewal_is_given_as_a_local_day_begins() -> None:
    berlin = replace(PERIOD, zone="Europe/Berlin")
    assert due_notice(policy(), berlin) == DueNotice(
        "renewal", datetime(2027, 1, 24, 23, tzinfo=UTC), datetime(2027, 2, 1, 12, tzinfo=UTC)
    )


def test_notice_that_a_trial_ends_is_given_by_its_own_days() -> None:
    notice = due_notice(policy(), replace(PERIOD, trial=True))
    assert notice is not None
    assert (notice.kind, notice.due_at) == ("trial_end", datetime(2027, 1, 29, tzinfo=UTC))
    assert due_notice(policy(adopted(trial_end_days_before=None)), replace(PERIOD, trial=True)) is None


def test_a_period_shorter_than_the_notice_has_it_given_as_it_begins() -> None:
    notice = due_notice(policy(), replace(PERIOD, ends_at=NOW + 2 * DAY))
    assert notice is not None
    assert notice.due_at == NOW


@pytest.mark.parametrize(
    "change",
    [
        {"paused": True},
        {"ending": True},
        {"told_of": PERIOD.ends_at},
        {"contract_ends_at": PERIOD.ends_at},
        {"booked_at": PERIOD.ends_at},
        {"ends_at": None},
    ],
)
def test_no_notice_is_given_of_what_does_not_come_or_was_told(change: dict[str, Any]) -> None:
    assert due_notice(policy(), PERIOD) is not None
    assert due_notice(policy(), replace(PERIOD, **change)) is None


def test_the_version_in_force_when_a_notice_falls_due_decides() -> None:
    later = adopted(2, datetime(2027, 1, 20, tzinfo=UTC), renewal_days_before=1)
    notice = due_notice(policy(adopted(), later), PERIOD)
    assert notice is not None
    assert notice.due_at == datetime(2027, 1, 31, tzinfo=UTC)
    assert due_notice(policy(adopted(at=NOW + 30 * DAY)), PERIOD) is None


def test_nothing_is_known_of_a_stream_that_has_not_begun() -> None:
    assert past_due(None, paid(1), NOW) is None
    assert coming(None, paid(1), NOW) is None
