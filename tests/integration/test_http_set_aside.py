"""Setting an event aside over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from ledger.identifiers import stream_of
from tests.integration.http_world import ok, refused

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld


def test_an_event_that_stopped_a_projection_is_passed_over_by_all(fresh_world: HttpWorld) -> None:
    world = fresh_world
    kept = world.operator.new_account("Kept")
    world.follow()
    position = _registered(world, world.operator.new_account("Unwanted"))
    with psycopg.connect(world.database.owner_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE daybook.tracking SET failure = 'unreadable', failed_position = %s"
            " WHERE projection = 'accounts'",
            (position,),
        )
    answer = ok(world.operator.post(f"/v1/events/{position}/set-aside", {"reason": "cannot be applied"}))
    assert answer == {"position": position, "reason": "cannot be applied"}
    world.follow()
    assert [row["id"] for row in ok(world.operator.get("/v1/accounts"))["data"]] == [kept]


def test_an_event_that_stopped_nothing_is_not_set_aside(world: HttpWorld) -> None:
    position = _registered(world, world.operator.new_account())
    refused(world.operator.post(f"/v1/events/{position}/set-aside", {}), 409, "conflict")


def test_only_an_admin_sets_an_event_of_its_own_book_aside(world: HttpWorld) -> None:
    position = _registered(world, world.operator.new_account())
    refused(world.limited_operator("write").post(f"/v1/events/{position}/set-aside", {}), 403)
    refused(world.stranger.post(f"/v1/events/{position}/set-aside", {}), 404)
    refused(world.operator.post("/v1/events/x/set-aside", {}), 404)
    refused(world.operator.post(f"/v1/events/{2**62}/set-aside", {}), 404)


def _registered(world: HttpWorld, account: str) -> int:
    """Give the position at which an account was registered."""
    return world.log.load(stream_of("book", world.founded.live_book), stream_of("acc", account))[0].position
