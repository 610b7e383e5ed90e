"""The share of bad messages: of the last thousand, once there are a hundred, and only above the share."""

from __future__ import annotations

from decimal import Decimal

import pytest

from consumers.bad_share import FEWEST_MESSAGES, WINDOW_MESSAGES, BadShare

HALF = Decimal("0.5")


def share(*batches: tuple[int, int], most: Decimal = HALF) -> BadShare:
    made = BadShare(most)
    for messages, bad in batches:
        made.add(messages, bad)
    return made


def told(made: BadShare) -> str | None:
    """Ask, as a call: what it says changes as batches are added."""
    return made.exceeded


def test_nothing_is_too_much_of_nothing() -> None:
    assert share().exceeded is None
    assert share((0, 0), most=Decimal(0)).exceeded is None


def test_of_fewer_than_a_hundred_messages_there_is_no_share() -> None:
    assert share((FEWEST_MESSAGES - 1, FEWEST_MESSAGES - 1), most=Decimal(0)).exceeded is None
    assert share((FEWEST_MESSAGES, FEWEST_MESSAGES)).exceeded == "100 of the last 100 messages were bad"


def test_a_hundred_messages_may_come_one_by_one() -> None:
    made = BadShare(HALF)
    for _ in range(FEWEST_MESSAGES - 1):
        made.add(1, 1)
        assert told(made) is None
    made.add(1, 1)
    assert told(made) == "100 of the last 100 messages were bad"


@pytest.mark.parametrize(("bad", "stops"), [(0, False), (99, False), (100, False), (101, True), (200, True)])
def test_exactly_the_share_is_not_too_much(bad: int, *, stops: bool) -> None:
    assert (share((200, bad)).exceeded is not None) is stops


@pytest.mark.parametrize(("bad", "stops"), [(33, False), (34, True)])
def test_the_share_is_exact_although_it_is_no_binary_fraction(bad: int, *, stops: bool) -> None:
    assert (share((110, bad), most=Decimal("0.3")).exceeded is not None) is stops


def test_no_bad_message_at_all_may_be_asked_for() -> None:
    assert share((5_000, 0), most=Decimal(0)).exceeded is None
    assert share((5_000, 1), most=Decimal(0)).exceeded == "1 of the last 5000 messages were bad"


def test_a_share_of_one_never_stops() -> None:
    assert share((5_000, 5_000), most=Decimal(1)).exceeded is None


def test_what_is_more_than_a_thousand_messages_ago_is_forgotten() -> None:
    made = share((400, 400), (599, 0))
    assert told(made) is None
    made.add(400, 400)
    # Without the oldest batch there would be 999, which is not the last thousand: it counts still.
    assert told(made) == "800 of the last 1399 messages were bad"
    made.add(1, 0)
    assert told(made) is None


def test_a_batch_is_kept_until_a_thousand_messages_came_after_it() -> None:
    made = share((100, 100), (WINDOW_MESSAGES - 1, 0), most=Decimal("0.05"))
    assert told(made) == "100 of the last 1099 messages were bad"
    made.add(1, 0)
    assert told(made) is None


def test_a_batch_larger_than_the_window_stands_alone_and_whole() -> None:
    made = share((200, 200), (5_000, 2_500))
    assert told(made) is None
    made.add(1, 1)
    assert told(made) == "2501 of the last 5001 messages were bad"
    made.add(999, 0)
    # A thousand came since, and the large batch is forgotten.
    assert told(made) is None
    made.add(1, 1)
    made.add(998, 998)
    assert told(made) is None


def test_empty_batches_change_nothing() -> None:
    made = share((150, 100))
    before = told(made)
    for _ in range(10):
        made.add(0, 0)
    assert told(made) == before is not None
