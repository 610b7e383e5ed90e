"""The door for Stripe's webhooks: what is refused, what is kept, where, and how it is sealed."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from stripe import WebhookSignature

from commands.stripe_intake import keep_event
from consumers.stripe_intake import find_endpoint
from ledger.errors import NotFound, PayloadRefused, SignatureRefused
from ledger.events import FORGOTTEN
from ledger.events.stripe import StripeCustomerObserved, StripeEventReceived
from tests.integration.stripe_world import NOW, make_world
from tests.unit.stripe_bodies import EVENT_FILES, RECORDINGS, event, recorded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from consumers.stripe_intake import Received
    from ledger.events import Recorded
    from tests.integration.stripe_world import World
    from tests.postgres import Database

CUSTOMER = {"id": "cus_1", "object": "customer", "name": "Ada Lovelace", "email": "ada@example.com"}
CUSTOMER_CREATED = event("customer.created", CUSTOMER)
BODY = json.dumps(CUSTOMER_CREATED)

needs_recordings = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="the recorded Stripe payloads are not on this machine"
)


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    made = make_world(database)
    yield made
    made.log.close()


def deliveries(world: World) -> list[StripeEventReceived]:
    return world.events(StripeEventReceived)


# -- signatures -----------------------------------------------------------------------------------------


def test_a_signed_delivery_is_kept_as_it_came(world: World) -> None:
    text = json.dumps(CUSTOMER_CREATED, indent=3) + "\n"
    received = world.deliver(text)
    assert received.new
    (kept,) = (one for one in world.recorded() if isinstance(one.event, StripeEventReceived))
    assert kept.position == received.position
    assert kept.metadata.cause == "stripe:evt_1"
    assert (kept.metadata.actor.principal, kept.metadata.actor.kind) == ("stripe", "stripe")
    assert kept.metadata.occurred_at.timestamp() == CUSTOMER_CREATED["created"]
    assert kept.metadata.booked_at == NOW
    assert isinstance(kept.event, StripeEventReceived)
    assert (kept.event.body, kept.event.type, kept.event.customer, kept.event.variant) == (
        text,
        "customer.created",
        "cus_1",
        False,
    )


def signature_of(world: World, secret: str | None = None, at: datetime | None = None) -> str:
    return world.signed(BODY, secret, at)


def test_a_signature_under_another_secret_is_refused(world: World) -> None:
    with pytest.raises(SignatureRefused):
        world.receive(BODY.encode(), signature_of(world, secret="whsec_other"))
    assert deliveries(world) == []


@pytest.mark.parametrize("seconds", [-301, 301, -86_400, 86_400, 10**20])
def test_a_signature_made_too_far_from_now_is_refused(world: World, seconds: int) -> None:
    signed_at = int(NOW.timestamp()) + seconds
    header = WebhookSignature.generate_signature_header(BODY, world.founded.webhook_secret, signed_at)
    with pytest.raises(SignatureRefused, match="too far from now"):
        world.receive(BODY.encode(), header)
    assert deliveries(world) == []


def test_the_time_of_a_signature_cannot_be_changed(world: World) -> None:
    old = signature_of(world, at=NOW - timedelta(days=1))
    header = old.replace(str(int(NOW.timestamp()) - 86_400), str(int(NOW.timestamp())))
    assert header != old
    with pytest.raises(SignatureRefused, match="does not hold"):
        world.receive(BODY.encode(), header)


@pytest.mark.parametrize("seconds", [-300, -1, 0, 1, 300])
def test_a_signature_made_near_enough_to_now_holds(world: World, seconds: int) -> None:
    header = signature_of(world, at=NOW + timedelta(seconds=seconds))
    assert world.receive(BODY.encode(), header).new


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "garbage",
        "t=,v1=",
        "t=1,v1",
        "v1=abc",
        "t=abc,v1=abc",
        "t=1800000000",
        "t=1800000000,v0=abc",
        "t=1800000000,v1=\u00e9",
        "t=" + "9" * 5000 + ",v1=abc",
    ],
)
def test_a_missing_or_garbage_header_is_refused(world: World, header: str | None) -> None:
    with pytest.raises(SignatureRefused):
        world.receive(BODY.encode(), header)


def test_a_body_changed_after_signing_is_refused(world: World) -> None:
    header = signature_of(world)
    for changed in (BODY.replace("Ada", "Eve"), BODY + " ", BODY[:-1]):
        with pytest.raises(SignatureRefused):
            world.receive(changed.encode(), header)


def test_one_of_several_signatures_is_enough_while_a_secret_is_rolled(world: World) -> None:
    assert world.receive(BODY.encode(), signature_of(world) + ",v1=" + "0" * 64).new


def test_the_signature_is_judged_before_the_body(world: World) -> None:
    with pytest.raises(SignatureRefused):
        world.receive(b"no JSON", signature_of(world))


# -- bodies ---------------------------------------------------------------------------------------------


def test_a_body_that_is_not_utf_8_is_refused(world: World) -> None:
    with pytest.raises(PayloadRefused, match="UTF-8"):
        world.receive(BODY.encode("utf-16"), signature_of(world))


def _with(**changes: object) -> str:
    content = {**CUSTOMER_CREATED, **changes}
    return json.dumps({name: value for name, value in content.items() if value is not ...})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "[]",
        '"text"',
        "{}",
        '{"id": NaN}',
        BODY + "x",
        "\ufeff" + BODY,
        BODY.replace("Ada", "A\x00da"),
        "[" * 100_000,
        _with(id=...),
        _with(id=7),
        _with(id=""),
        _with(id="evt_\x00"),
        _with(id="\ud800"),
        _with(id="e" * 256),
        _with(type=None),
        _with(type="customer.\x00"),
        _with(livemode=...),
        _with(livemode="false"),
        _with(account="\x00"),
        _with(object="list"),
        _with(data=None),
        _with(data={}),
        _with(data={"object": []}),
    ],
)
def test_a_signed_body_that_is_no_event_is_refused(world: World, text: str) -> None:
    with pytest.raises(PayloadRefused):
        world.deliver(text)
    assert deliveries(world) == []


@needs_recordings
def test_a_recorded_object_without_an_envelope_is_refused(world: World) -> None:
    bodies = [
        str(path.relative_to(RECORDINGS))
        for path in sorted(RECORDINGS.glob("*/*.json"))
        if str(path.relative_to(RECORDINGS)) not in EVENT_FILES
    ]
    assert len(bodies) > 10
    for name in bodies:
        with pytest.raises(PayloadRefused):
            world.deliver(recorded(name))
    assert deliveries(world) == []


def test_escaped_nul_and_lone_surrogates_inside_the_object_are_kept_as_they_came(world: World) -> None:
    text = json.dumps(event("customer.created", {**CUSTOMER, "name": "A\x00da \ud800"}))
    assert "\\u0000" in text
    assert world.deliver(text).new
    assert deliveries(world)[0].body == text
    world.process()
    (seen,) = world.events(StripeCustomerObserved)
    assert seen.name == "A\ufffdda \ufffd"


# -- once -----------------------------------------------------------------------------------------------


def test_a_redelivery_is_a_duplicate(world: World) -> None:
    first = world.deliver(CUSTOMER_CREATED)
    # Stripe counts its attempts in the envelope: the facts are the same.
    again = world.deliver({**CUSTOMER_CREATED, "pending_webhooks": 7})
    assert (again.new, again.position) == (False, first.position)
    assert len(deliveries(world)) == 1


def test_other_facts_under_a_known_id_are_kept_beside_the_first(world: World) -> None:
    other = event("customer.updated", {**CUSTOMER, "name": "Ada King"})
    third = event("customer.updated", {**CUSTOMER, "name": "Ada Byron"})
    received = [world.deliver(content) for content in (CUSTOMER_CREATED, other, third)]
    again = [world.deliver(content) for content in (third, CUSTOMER_CREATED, other)]
    assert [one.new for one in received] == [True, True, True]
    assert [one.new for one in again] == [False, False, False]
    assert {one.position for one in again} == {one.position for one in received}
    assert [kept.variant for kept in deliveries(world)] == [False, True, True]


@needs_recordings
def test_every_recorded_event_is_accepted_and_kept_once(world: World) -> None:
    for name in EVENT_FILES:
        text = (RECORDINGS / name).read_text(encoding="utf-8")
        assert world.deliver(text).new, name
        assert not world.deliver(text).new, name
    bodies = [kept.body for kept in deliveries(world)]
    assert bodies == [(RECORDINGS / name).read_text(encoding="utf-8") for name in EVENT_FILES]
    shared = len(EVENT_FILES) - len({kept.event_id for kept in deliveries(world)})
    assert sum(kept.variant for kept in deliveries(world)) == shared


def test_deliveries_at_the_same_moment_are_kept_once_each(world: World) -> None:
    contents = [event("customer.updated", {**CUSTOMER, "name": f"Name {number % 4}"}) for number in range(16)]
    received: list[Received] = []
    threads = [
        threading.Thread(target=lambda content=content: received.append(world.deliver(content)))
        for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(received) == 16
    assert sum(one.new for one in received) == 4
    assert sorted(json.loads(kept.body)["data"]["object"]["name"] for kept in deliveries(world)) == [
        f"Name {number}" for number in range(4)
    ]


def test_a_connected_account_has_events_of_its_own(world: World) -> None:
    assert world.deliver(CUSTOMER_CREATED).new
    assert world.deliver({**CUSTOMER_CREATED, "account": "acct_1"}).new
    assert world.deliver({**CUSTOMER_CREATED, "account": "acct_2"}).new
    assert not any(kept.variant for kept in deliveries(world))


@pytest.mark.parametrize("cause", ["stripe:evt_1", "another"])
def test_a_delivery_that_loses_a_race_is_compared_with_the_winner(
    world: World, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    # Its first look at the log still finds nothing; the winner may even have had the same cause.
    world.deliver(CUSTOMER_CREATED)
    (winner,) = deliveries(world)
    for digest, new in (("other", True), ("other", False), (winner.digest, False)):
        genuine, looks = world.log.load, iter(range(1))

        def load(*asked: Any, looks: Iterator[int] = looks) -> list[Recorded]:
            return genuine(*asked) if next(looks, None) is None else []  # noqa: B023 - called in this turn

        monkeypatch.setattr(world.log, "load", load)
        context = replace(world.context(), cause=cause)
        assert keep_event(context, replace(winner, digest=digest), NOW).result is new
        monkeypatch.undo()
    assert [kept.digest for kept in deliveries(world)] == [winner.digest, "other"]


# -- where ----------------------------------------------------------------------------------------------


def test_livemode_chooses_the_live_book(world: World) -> None:
    live = world.deliver({**CUSTOMER_CREATED, "livemode": True})
    assert (live.new, live.book) == (True, world.live_book)
    test = world.deliver(CUSTOMER_CREATED)
    assert (test.new, test.book) == (True, world.test_book)
    assert [kept.livemode for kept in world.events(StripeEventReceived, world.live_book)] == [True]
    assert [kept.livemode for kept in deliveries(world)] == [False]


def test_no_name_means_the_default_endpoint(world: World) -> None:
    assert world.deliver(CUSTOMER_CREATED, endpoint="").new
    assert not world.deliver(CUSTOMER_CREATED).new


@pytest.mark.parametrize("name", ["whe_unknown", "x" * 10_000, "a\x00b", " ", "\ud800"])
def test_an_unknown_endpoint_is_not_found(world: World, name: str) -> None:
    with pytest.raises(NotFound):
        world.deliver(CUSTOMER_CREATED, endpoint=name)


def test_another_organisations_secret_does_not_open_this_endpoint(world: World) -> None:
    other = world.with_another_organisation()
    with pytest.raises(SignatureRefused):
        world.receive(BODY.encode(), other.signed(BODY))
    assert other.receive(BODY.encode(), other.signed(BODY)).book == other.test_book
    assert deliveries(world) == []


def test_an_endpoint_does_not_show_its_secret(world: World) -> None:
    endpoint = find_endpoint(world.log, world.founded.endpoint)
    assert endpoint.secret == world.founded.webhook_secret
    assert endpoint.secret not in repr(endpoint)


# -- personal data and secrets --------------------------------------------------------------------------


def stored_bytes(world: World) -> bytes:
    with psycopg.connect(world.database.owner_url) as connection:
        return b"\n".join(bytes(row[0]) for row in connection.execute("SELECT state FROM log.events"))


def destroy_data_key(world: World, subject: str) -> None:
    with psycopg.connect(world.database.owner_url) as connection:
        destroyed = connection.execute(
            "UPDATE daybook.data_keys SET wrapped = NULL, destroyed_at = now() WHERE subject = %s", (subject,)
        )
        assert destroyed.rowcount == 1


def test_what_is_personal_cannot_be_read_in_the_log(world: World) -> None:
    world.happen(CUSTOMER_CREATED)
    stored = stored_bytes(world)
    assert b"evt_1" in stored
    assert b"ada@example.com" not in stored
    assert b"Lovelace" not in stored


def test_a_body_reads_as_forgotten_once_its_data_key_is_destroyed(world: World) -> None:
    world.deliver(CUSTOMER_CREATED)
    (kept,) = deliveries(world)
    destroy_data_key(world, kept.subject())
    assert [one.body for one in deliveries(world)] == [FORGOTTEN]
    assert not world.deliver(CUSTOMER_CREATED).new


def test_what_a_forgotten_customer_still_does_is_kept_under_a_key_of_its_own(world: World) -> None:
    world.deliver(CUSTOMER_CREATED)
    destroy_data_key(world, deliveries(world)[0].subject())
    charge: dict[str, Any] = {
        "id": "ch_1",
        "object": "charge",
        "customer": "cus_1",
        "status": "succeeded",
        "amount": 1000,
        "currency": "usd",
    }
    paid = {**event("charge.succeeded", charge), "id": "evt_2"}
    assert world.deliver(paid).new
    assert not world.deliver(paid).new
    kept = deliveries(world)[1]
    assert (kept.body, kept.customer) == (json.dumps(paid), None)


def test_a_delivery_that_was_forgotten_itself_is_not_written_down_in_other_words(world: World) -> None:
    anonymous = event("payout.paid", {"id": "po_1", "object": "payout", "amount": 1})
    world.deliver(anonymous)
    destroy_data_key(world, deliveries(world)[0].subject())
    with pytest.raises(NotFound):
        world.deliver(event("payout.paid", {"id": "po_1", "object": "payout", "amount": 2}))
    assert not world.deliver(anonymous).new


def test_no_secret_is_in_any_event(world: World) -> None:
    world.happen(CUSTOMER_CREATED)
    assert world.founded.webhook_secret.encode() not in stored_bytes(world)
    assert b"whsec" not in stored_bytes(world)
