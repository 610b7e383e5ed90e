"""Setting an event aside over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.identifiers import stream_of
from tests.integration.http_world import ok, refused

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld


def test_an_event_set_aside_is_passed_over_by_every_projection(world: HttpWorld) -> None:
    kept, unwanted = world.operator.new_account("Kept"), world.operator.new_account("Unwanted")
    position = _registered(world, unwanted)
    answer = ok(world.operator.post(f"/v1/events/{position}/set-aside", {"reason": "cannot be applied"}))
    assert answer == {"position": position, "reason": "cannot be applied"}
    world.follow()
    listed = [row["id"] for row in ok(world.operator.get("/v1/accounts"))["data"]]
    assert listed == [kept]


def test_only_an_admin_sets_an_event_of_its_own_book_aside(world: HttpWorld) -> None:
    position = _registered(world, world.operator.new_account())
    refused(world.limited_operator("write").post(f"/v1/events/{position}/set-aside", {}), 403)
    refused(world.stranger.post(f"/v1/events/{position}/set-aside", {}), 404)
    refused(world.operator.post("/v1/events/x/set-aside", {}), 404)
    refused(world.operator.post(f"/v1/events/{2**62}/set-aside", {}), 404)


def _registered(world: HttpWorld, account: str) -> int:
    """Give the position at which an account was registered."""
    return world.log.load(stream_of("book", world.founded.live_book), stream_of("acc", account))[0].position
