"""Stored events are read for ever: versions are lifted, persons sealed, destroyed keys forget."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag

from ledger import codec
from ledger.codec import decode_event, decode_state, encode, metadata_of, subjects_of
from ledger.errors import DaybookError
from ledger.events import EVENT_CLASSES, FORGOTTEN, Actor, Event, Metadata
from ledger.events.account import AccountClosed, AccountEmailChanged, AccountRegistered, AccountRenamed
from ledger.events.invoice import InvoiceFinalized
from ledger.events.stripe import StripeEventReceived
from ledger.events.usage import UsageRecorded
from ledger.personal import new_data_key, seal

if TYPE_CHECKING:
    from collections.abc import Mapping

BOOK, STREAM, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
INSTANT = datetime(2024, 2, 29, 12, tzinfo=UTC)
METADATA = Metadata(
    book=BOOK,
    occurred_at=INSTANT,
    booked_at=INSTANT + timedelta(days=1),
    actor=Actor(principal="prn_1", kind="person"),
    cause="cmd:1",
)
KEY = bytes(range(32))
SUBJECT = "account:acc_1"
REGISTERED = AccountRegistered(
    account="acc_1", name="Zoë", email="zoe@example.com", currency="EUR", time_zone="Europe/Paris"
)


def stored_data(state: bytes) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(state)["data"]
    return data


def read(
    state: bytes,
    data_keys: Mapping[str, bytes],
    topic: str = REGISTERED.topic,
    stream: UUID = STREAM,
    stream_version: int = 1,
) -> Event:
    return decode_event(topic, decode_state(state), stream, stream_version, data_keys)


def moved(state: bytes, field: str, sealed: object) -> bytes:
    """Give the same state with another sealed text in a field."""
    whole = json.loads(state)
    whole["data"][field] = sealed
    return json.dumps(whole).encode()


def test_the_stored_state_has_its_six_parts_in_order() -> None:
    state = json.loads(encode(REGISTERED, METADATA, STREAM, 1, {SUBJECT: KEY}))
    assert list(state) == ["version", "occurred_at", "booked_at", "actor", "cause", "data"]
    assert state["actor"] == {"principal": "prn_1", "kind": "person", "key": None}
    assert (state["occurred_at"], state["booked_at"]) == ("2024-02-29T12:00:00Z", "2024-03-01T12:00:00Z")
    assert (state["version"], state["cause"]) == (1, "cmd:1")


def test_what_surrounds_an_event_is_read_back_with_the_book_of_its_row() -> None:
    state = encode(REGISTERED, METADATA, STREAM, 1, {SUBJECT: KEY})
    assert metadata_of(decode_state(state), BOOK) == METADATA


def test_an_instant_of_another_zone_is_read_back_as_the_same_instant() -> None:
    paris = timezone(timedelta(hours=1))
    closed = AccountClosed(account="acc_1", reason="asked", closed_at=INSTANT.astimezone(paris))
    state = encode(closed, METADATA, STREAM, 1, {})
    assert read(state, {}, closed.topic) == closed


def test_a_quantity_is_stored_as_text_and_read_exactly() -> None:
    used = UsageRecorded(
        account="acc_1",
        meter="calls",
        quantity=Decimal("999999999999999999.000000000001"),
        source="svc",
        event_id="1",
        accepted_at=INSTANT,
        digest="0",
        properties={"z": 1, "a": {"y": [0.1, None, True], "b": 2**53}},
    )
    state = encode(used, METADATA, STREAM, 1, {})
    assert stored_data(state)["quantity"] == "999999999999999999.000000000001"
    assert list(stored_data(state)["properties"]) == ["a", "z"]
    assert read(state, {}, used.topic) == used


def test_personal_fields_are_sealed_under_the_subjects_key_and_read_back() -> None:
    state = encode(REGISTERED, METADATA, STREAM, 1, {SUBJECT: KEY})
    assert b"zoe" not in state.lower()
    assert "Zoë".encode() not in state
    assert stored_data(state)["email"].keys() == {"subject", "sealed"}
    assert stored_data(state)["currency"] == "EUR"
    assert read(state, {SUBJECT: KEY}) == REGISTERED
    assert subjects_of(REGISTERED.topic, decode_state(state)) == {SUBJECT}


def test_an_absent_personal_field_needs_no_key_and_stays_absent() -> None:
    renamed = AccountRenamed(account="acc_1", name=None)
    state = encode(renamed, METADATA, STREAM, 1, {})
    assert subjects_of(renamed.topic, decode_state(state)) == set()
    assert read(state, {}, renamed.topic) == renamed


def test_an_event_without_personal_data_names_no_subject() -> None:
    closed = AccountClosed(account="acc_1", reason="asked", closed_at=INSTANT)
    state = encode(closed, METADATA, STREAM, 1, {})
    assert subjects_of(closed.topic, decode_state(state)) == set()
    with pytest.raises(LookupError, match=r"account\.closed"):
        Event.subject(closed)


def test_an_event_cannot_be_stored_without_its_subjects_key() -> None:
    with pytest.raises(KeyError):
        encode(REGISTERED, METADATA, STREAM, 1, {"account:acc_2": KEY})


def test_two_sealings_of_one_text_are_not_alike() -> None:
    texts = {encode(REGISTERED, METADATA, STREAM, 1, {SUBJECT: KEY}) for _ in range(5)}
    assert len(texts) == 5


@pytest.mark.parametrize(("stream", "stream_version"), [(OTHER, 1), (STREAM, 2), (OTHER, 2)])
def test_a_sealed_field_cannot_be_moved_to_another_event(stream: UUID, stream_version: int) -> None:
    state = encode(REGISTERED, METADATA, STREAM, 1, {SUBJECT: KEY})
    with pytest.raises(InvalidTag):
        read(state, {SUBJECT: KEY}, stream=stream, stream_version=stream_version)


def test_a_sealed_field_cannot_be_moved_to_another_field() -> None:
    state = encode(REGISTERED, METADATA, STREAM, 1, {SUBJECT: KEY})
    with pytest.raises(InvalidTag):
        read(moved(state, "name", stored_data(state)["email"]), {SUBJECT: KEY})


def test_a_sealed_field_cannot_be_opened_with_another_subjects_key() -> None:
    state = encode(REGISTERED, METADATA, STREAM, 1, {SUBJECT: KEY})
    with pytest.raises(InvalidTag):
        read(state, {SUBJECT: new_data_key()})


def test_a_forgotten_person_reads_as_one_constant_at_every_position() -> None:
    events: list[Event] = [
        REGISTERED,
        AccountRenamed(account="acc_1", name="Zed"),
        AccountEmailChanged(account="acc_1", email="zed@example.com"),
        AccountRenamed(account="acc_1", name=None),
    ]
    for number, event in enumerate(events, start=1):
        state = encode(event, METADATA, STREAM, number, {SUBJECT: KEY})
        forgotten = read(state, {}, event.topic, stream_version=number)
        for field in event.personal:
            assert getattr(forgotten, field) == (None if getattr(event, field) is None else FORGOTTEN)
        assert getattr(forgotten, "account") == "acc_1"  # noqa: B009 - every one of these has it


def test_forgetting_one_person_leaves_the_others() -> None:
    states = {
        account: encode(
            AccountRenamed(account=account, name=account), METADATA, STREAM, 1, {f"account:{account}": KEY}
        )
        for account in ("acc_1", "acc_2")
    }
    names = [read(state, {"account:acc_2": KEY}, AccountRenamed.topic) for state in states.values()]
    assert names == [
        AccountRenamed(account="acc_1", name=FORGOTTEN),
        AccountRenamed(account="acc_2", name="acc_2"),
    ]


def test_the_buyer_on_an_invoice_is_under_the_documents_own_key() -> None:
    assert "buyer_name" in InvoiceFinalized.personal
    stand_in: Any = type("Document", (), {"invoice": "inv_1", "account": "acc_1"})()
    assert InvoiceFinalized.subject(stand_in) == "document:inv_1"


@pytest.mark.parametrize(
    ("customer", "subject"),
    [("cus_1", "stripe-customer:acct_1:cus_1"), (None, "stripe-event:acct_1:evt_1")],
)
def test_a_raw_stripe_body_is_sealed_for_its_customer_or_for_itself(
    customer: str | None, subject: str
) -> None:
    received = StripeEventReceived(
        endpoint="whe_1",
        stripe_account="acct_1",
        event_id="evt_1",
        type="customer.created",
        api_version=None,
        livemode=True,
        customer=customer,
        digest="0",
        variant=False,
        body="{}",
    )
    assert received.subject() == subject


@dataclass(frozen=True, kw_only=True)
class GreetedThird(Event):
    """The third version of an event that only these tests know."""

    topic: ClassVar[str] = "test.greeted"
    version: ClassVar[int] = 3
    personal: ClassVar[tuple[str, ...]] = ("name",)

    name: str
    greetings: int
    language: str

    def subject(self) -> str:
        return SUBJECT


@pytest.fixture
def greeted_in_three_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the test's event: version 1 had one greeting always, version 2 had no language."""
    upcasts = {
        ("test.greeted", 1): lambda data: {**data, "greetings": 1},
        ("test.greeted", 2): lambda data: {**data, "language": "en"},
    }
    monkeypatch.setattr(codec, "UPCASTS", upcasts)
    monkeypatch.setattr(codec, "EVENT_CLASSES", {**EVENT_CLASSES, GreetedThird.topic: GreetedThird})


def greeted_state(version: int, **data: object) -> bytes:
    sealed = {"subject": SUBJECT, "sealed": seal("Zoë", KEY, STREAM, 1, "name")}
    whole = json.loads(encode(AccountRenamed(account="acc_1", name=None), METADATA, STREAM, 1, {}))
    return json.dumps({**whole, "version": version, "data": {"name": sealed, **data}}).encode()


@pytest.mark.usefixtures("greeted_in_three_versions")
@pytest.mark.parametrize(
    ("state", "greetings", "language"),
    [
        (greeted_state(1), 1, "en"),
        (greeted_state(2, greetings=7), 7, "en"),
        (greeted_state(3, greetings=7, language="fr"), 7, "fr"),
    ],
    ids=["from version 1", "from version 2", "from version 3"],
)
def test_an_older_version_is_lifted_one_version_at_a_time(
    state: bytes, greetings: int, language: str
) -> None:
    expected = GreetedThird(name="Zoë", greetings=greetings, language=language)
    assert read(state, {SUBJECT: KEY}, "test.greeted") == expected
    assert read(state, {}, "test.greeted") == GreetedThird(
        name=FORGOTTEN, greetings=greetings, language=language
    )


def test_an_older_version_without_personal_data_is_lifted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, kw_only=True)
    class CountedSecond(Event):
        topic: ClassVar[str] = "test.counted"
        version: ClassVar[int] = 2

        count: Decimal

    monkeypatch.setattr(codec, "UPCASTS", {("test.counted", 1): lambda data: {"count": data["number"]}})
    monkeypatch.setattr(codec, "EVENT_CLASSES", {"test.counted": CountedSecond})
    whole = json.loads(encode(AccountRenamed(account="acc_1", name=None), METADATA, STREAM, 1, {}))
    old = json.dumps({**whole, "data": {"number": "1.10"}}).encode()
    assert read(old, {}, "test.counted") == CountedSecond(count=Decimal("1.10"))


def test_an_event_of_a_newer_version_is_refused_and_not_misread() -> None:
    whole = json.loads(encode(AccountRenamed(account="acc_1", name=None), METADATA, STREAM, 1, {}))
    with pytest.raises(DaybookError, match="newer"):
        read(json.dumps({**whole, "version": 2}).encode(), {}, AccountRenamed.topic)


def test_every_upcast_lifts_a_version_that_was_and_reaches_the_one_that_is() -> None:
    lifted = {
        (topic, version)
        for topic, event_class in EVENT_CLASSES.items()
        for version in range(1, event_class.version)
    }
    assert codec.UPCASTS.keys() == lifted
