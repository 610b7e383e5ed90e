"""The row that says how far the log is published: one publisher moves it, from where it stands."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from consumers.published import Fenced, Published, Standing
from consumers.published_event import Epoch

if TYPE_CHECKING:
    from psycopg import Connection


@pytest.fixture
def published(follower: Connection[Any]) -> Published:
    """Claim a feed that was never published to."""
    one = Published(follower, "cluster/topic", "first")
    one.claim()
    return one


def test_a_feed_begins_before_the_first_event(published: Published) -> None:
    assert published.standing() == Standing(1, 0, Epoch(1, 0))


def test_it_is_moved_by_the_publisher_that_claimed_it(published: Published) -> None:
    assert published.move(published.standing(), 7) == published.standing() == Standing(1, 7, Epoch(1, 0))


def test_a_publisher_whose_place_was_taken_can_neither_read_nor_move_it(
    published: Published, follower: Connection[Any]
) -> None:
    standing = published.move(published.standing(), 7)
    newer = Published(follower, "cluster/topic", "second")
    newer.claim()
    with pytest.raises(Fenced):
        published.standing()
    with pytest.raises(Fenced):
        published.move(standing, 9)
    assert newer.standing() == standing


@pytest.mark.parametrize("changes", [{"position": 6}, {"row_epoch": 2}])
def test_it_is_moved_only_from_where_it_stands(published: Published, changes: dict[str, Any]) -> None:
    standing = published.move(published.standing(), 7)
    with pytest.raises(Fenced):
        published.move(replace(standing, **changes), 9)
    assert published.standing() == standing


def test_a_raised_epoch_voids_what_older_ones_published_behind_its_beginning(
    published: Published, owner: Connection[Any]
) -> None:
    published.move(published.standing(), 7)
    owner.execute("INSERT INTO daybook.log_epochs (epoch, reason) VALUES (2, 'restored')")
    assert published.standing() == Standing(1, 7, Epoch(2, 7))
    assert published.move(published.standing(), 9) == published.standing() == Standing(2, 9, Epoch(2, 7))


def test_feeds_are_published_to_each_by_itself(published: Published, follower: Connection[Any]) -> None:
    other = Published(follower, "cluster/another", "first")
    other.claim()
    other.move(other.standing(), 7)
    assert published.standing().position == 0
