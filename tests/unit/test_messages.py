"""Messages that ask for something: what is read, what is refused and why, and what the schemas say."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.message_reference import example_of, kcat, markdown, record_key
from commands.keys import PreparedKey
from ledger.errors import Invalid, PayloadRefused, UnknownMessageType
from ledger.identifiers import derived_id, public_id, stream_of
from ledger.secrets import hash_digest, hash_secret, hint_of, read_secret
from schemas import usage_wire
from schemas.message_schemas import file_name, schema_files, schema_for
from schemas.message_types import COMMANDS, MESSAGE_TYPES, STRIPE_WEBHOOK, USAGE_EVENT, MessageType
from schemas.messages import Command, read_command
from schemas.stripe_shapes import StripePayloadRefused, read_event
from schemas.topics import ACCOUNTS, KEYS
from tests.examples import example_id

FOLDER = Path(__file__).parents[2] / "schemas" / "json"
REGISTER = COMMANDS["daybook.account.register"]
ISSUE = COMMANDS["daybook.key.issue"]

every_command = pytest.mark.parametrize("kind", COMMANDS.values(), ids=list(COMMANDS))
every_type = pytest.mark.parametrize("kind", MESSAGE_TYPES, ids=[kind.name for kind in MESSAGE_TYPES])


def sent(message: object) -> bytes:
    return json.dumps(message).encode()


def with_(kind: MessageType, **attributes: Any) -> dict[str, Any]:
    return {**example_of(kind), **attributes}


def with_data(kind: MessageType, **data: Any) -> dict[str, Any]:
    message = example_of(kind)
    return {**message, "data": {**message.get("data", {}), **data}}


def without(message: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in names}


def problems_of(message: object) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as refusal:
        read_command(sent(message))
    return refusal.value.errors


# -- what is read ---------------------------------------------------------------------------------------


def test_a_command_is_read_with_what_it_leaves_out_filled_in() -> None:
    command = read_command(sent(example_of(REGISTER)), topic=ACCOUNTS)
    assert (command.kind, command.source, command.message_id) == (REGISTER, "/signup", "account.register-1")
    assert command.data == {
        "account": "acc_01h455vb4pex5vsknk084sn02q",
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "currency": "USD",
        "time_zone": "UTC",
    }
    assert command.account == command.data["account"]
    assert command.book_id == stream_of("book", str(command.book))


def test_attributes_that_nobody_knows_are_passed_over() -> None:
    message = with_(REGISTER, traceparent="00-…", datacontenttype="application/json", dataschema=None)
    assert read_command(sent(message)) == read_command(sent(example_of(REGISTER)))


def test_a_command_without_data_needs_none() -> None:
    assert read_command(sent(without(example_of(COMMANDS["daybook.key.resume"]), "data"))).data == {}


def test_only_a_stamped_command_may_leave_its_book_out() -> None:
    message = without(example_of(REGISTER), "book")
    assert problems_of(message) == {"book": ["is required"]}
    assert read_command(sent(message), stamped=True).book is None


def test_the_same_facts_read_the_same_however_they_are_written() -> None:
    one = example_of(REGISTER)
    other = dict(reversed(without(one, "time").items()))
    other["data"] = dict(reversed(one["data"].items()))
    assert read_command(sent(one)).facts == read_command(json.dumps(other, indent=2).encode()).facts


@pytest.mark.parametrize(
    "other",
    [
        with_data(REGISTER, name="Grace"),
        with_data(REGISTER, time_zone="UTC"),
        with_(COMMANDS["daybook.account.close"], data={}),
        with_(COMMANDS["daybook.account.change"], data={}),
        with_(COMMANDS["daybook.account.change"], data={}, subject=example_id("acc")),
    ],
)
def test_other_facts_read_otherwise(other: dict[str, Any]) -> None:
    facts = read_command(sent(other)).facts
    assert facts != read_command(sent(example_of(REGISTER))).facts
    assert facts == read_command(sent({**other, "id": "another", "source": "another"})).facts


# -- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"id": "\xff"}',
        b'{"id": "\\ud800"}',
        b"[" * 100_000,
        b'{"specversion": 1} and more',
    ],
)
def test_what_is_not_json_is_refused_as_that(value: bytes) -> None:
    with pytest.raises(PayloadRefused):
        read_command(value)


@pytest.mark.parametrize("value", [b"[]", b"null", b"1", b'"text"'])
def test_what_is_no_object_is_refused(value: bytes) -> None:
    with pytest.raises(Invalid):
        read_command(value)


@pytest.mark.parametrize("name", ["daybook.account.delete", "", "api_calls", "x" * 1000, "a\x00b"])
def test_a_type_that_there_is_not_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnknownMessageType, match="there is no message type") as refusal:
        read_command(sent(with_(REGISTER, type=name)))
    assert list(refusal.value.errors) == ["type"]


def test_a_command_in_another_s_topic_is_refused() -> None:
    with pytest.raises(UnknownMessageType, match=ACCOUNTS):
        read_command(sent(example_of(REGISTER)), topic=KEYS)


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": None}, "specversion"),
        ({"id": ""}, "id"),
        ({"id": "x" * 256}, "id"),
        ({"id": "a\x00b"}, "id"),
        ({"id": 7}, "id"),
        ({"source": " "}, "source"),
        ({"book": "acc_01h455vb4pex5vsknk084sn02q"}, "book"),
        ({"book": "book_8zzzzzzzzzzzzzzzzzzzzzzzzz"}, "book"),
        ({"book": None}, "book"),
        ({"subject": "acc_01h455vb4pex5vsknk084sn02q"}, "subject"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2027-01-15T12:00:00"}, "time"),
        ({"time": "1970-01-01T00:00:00Z"}, "time"),
        ({"time": "2970-01-01T00:00:00Z"}, "time"),
        ({"time": 1_800_000_000}, "time"),
        ({"data": []}, "data"),
        ({"data": None}, "data"),
        ({"data": {}}, "data.name"),
    ],
)
def test_an_attribute_out_of_its_domain_is_refused_by_its_path(
    attributes: dict[str, Any], field: str
) -> None:
    assert list(problems_of(with_(REGISTER, **attributes))) == [field]


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "book", "data"])
def test_an_attribute_that_is_missing_is_refused_by_its_name(name: str) -> None:
    field = "data.name" if name == "data" else name
    assert problems_of(without(example_of(REGISTER), name)) in (
        {field: ["is required"]},
        {field: ["Missing data for required field."]},
    )


def test_every_problem_is_told_at_once() -> None:
    message = {**with_data(REGISTER, name="", shoe_size=43), "id": "", "book": "nonsense"}
    assert set(problems_of(message)) == {"id", "book", "data.name", "data.shoe_size"}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"secret_sha256": "9F" * 32}, "data.secret_sha256"),
        ({"secret_sha256": "9f" * 32 + "\n"}, "data.secret_sha256"),
        ({"secret_sha256": "dbk_live_2x4y6z8a0be0t9rfhc6dq1m3nv"}, "data.secret_sha256"),
        ({"hint": "k3v"}, "data.hint"),
        ({"hint": "k3v\n"}, "data.hint"),
        ({"key": None}, "data.key"),
        ({"secret": "dbk_live_…"}, "data.secret"),
        ({"scopes": []}, "data.scopes"),
        ({"scopes": ["everything"]}, "data.scopes.0"),
    ],
)
def test_a_key_is_described_by_its_hash_and_nothing_else(data: dict[str, Any], field: str) -> None:
    assert list(problems_of(with_data(ISSUE, **data))) == [field]


def test_an_id_that_facts_lead_to_cannot_be_chosen() -> None:
    # Whoever could choose the stream of another's usage before it happens could keep it from being counted.
    derived = derived_id("acc", "usage", "any", "fact")
    assert problems_of(with_data(REGISTER, account=derived)) == {
        "data.account": ["must be a random UUID, of version 4 or 7"]
    }


@every_command
def test_a_subject_of_another_kind_is_refused(kind: MessageType) -> None:
    for subject in ("", "plan_01h455vb4pex5vsknk084sn02q", 7):
        assert list(problems_of(with_(kind, subject=subject))) == ["subject"]


# -- examples and schemas -------------------------------------------------------------------------------


def reads(kind: MessageType, message: object) -> bool:
    """Say whether the real reader of a type takes a message."""
    if kind is USAGE_EVENT:
        read = usage_wire.read_event(sent(message))
        return not isinstance(read, usage_wire.Malformed) and _is_book(read.book)
    try:
        return bool(read_event(sent(message)) if kind is STRIPE_WEBHOOK else read_command(sent(message)))
    except (Invalid, PayloadRefused, StripePayloadRefused):
        return False


def _is_book(text: str | None) -> bool:
    # Which book usage is for is judged as it is admitted.
    try:
        return text is not None and bool(stream_of("book", text))
    except Invalid:
        return False


@every_type
def test_every_example_holds_to_its_schema_and_is_read(kind: MessageType) -> None:
    jsonschema_rs.meta.validate(schema_for(kind))
    jsonschema_rs.validator_for(schema_for(kind)).validate(example_of(kind))
    assert reads(kind, example_of(kind))


def test_every_schema_is_there_and_no_other() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(schema_files())
    assert set(schema_files()) == {file_name(kind) for kind in MESSAGE_TYPES}


# Text that is nearly right, and what is not text at all.
_ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(["", " ", "\x00", "USD\n", "acc_01h455vb4pex5vsknk084sn02q\n", "2027-01-15T12:00:00Z"]),
    st.sampled_from(["x" * 64, "x" * 255, "x" * 256, "x" * 1001, " " * 600, "1e5", "-1", "+.5", "1_000"]),
    st.lists(st.sampled_from(["read", "admin", "other"]), max_size=5),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)
_PROPERTIES = [schema_for(kind)["properties"] for kind in MESSAGE_TYPES]
_NAMES = st.sampled_from(
    sorted({name for known in _PROPERTIES for name in (*known, *known["data"].get("properties", ()))})
)


@st.composite
def broken(draw: st.DrawFn) -> tuple[MessageType, dict[str, Any]]:
    """Draw an example in which something is left out, or replaced by something odd."""
    kind = draw(st.sampled_from(MESSAGE_TYPES))
    message = example_of(kind)
    for _ in range(draw(st.integers(min_value=1, max_value=2))):
        inside = message.get("data") if draw(st.booleans()) else message
        place = inside if isinstance(inside, dict) else message
        place = message if place is message else message.setdefault("data", place)
        name = draw(st.one_of(st.sampled_from(sorted(place) or ["data"]), _NAMES))
        if draw(st.booleans()):
            place.pop(name, None)
        else:
            place[name] = draw(_ODD)
    return kind, message


@given(broken())
@example((REGISTER, with_data(REGISTER, currency="USD\n")))
@example((REGISTER, with_data(REGISTER, account="acc_01h455vb4pex5vsknk084sn02q\n")))
@example((USAGE_EVENT, with_data(USAGE_EVENT, region=" " * 513)))
@example((USAGE_EVENT, with_data(USAGE_EVENT, quantity="1_000")))
@example((USAGE_EVENT, with_data(USAGE_EVENT, quantity="1\n")))
@example((USAGE_EVENT, with_data(USAGE_EVENT, **{f"property {number}": 1 for number in range(50)})))
def test_what_a_schema_refuses_is_refused(drawn: tuple[MessageType, dict[str, Any]]) -> None:
    kind, message = drawn
    if not jsonschema_rs.is_valid(schema_for(kind), message):
        assert not reads(kind, message)


@given(st.uuids(), st.sampled_from(["acc", "key", "sub"]))
def test_a_schema_tells_a_random_id_from_another(number: Any, prefix: str) -> None:
    kind = {"acc": "account.register", "key": "key.issue", "sub": "subscription.start"}[prefix]
    name = {"acc": "account", "key": "key", "sub": "subscription"}[prefix]
    message = with_data(COMMANDS[f"daybook.{kind}"], **{name: public_id(prefix, number)})
    is_random = number.version in (4, 7)
    assert reads(COMMANDS[f"daybook.{kind}"], message) == is_random
    assert jsonschema_rs.is_valid(schema_for(COMMANDS[f"daybook.{kind}"]), message) == is_random


# -- the page -------------------------------------------------------------------------------------------


@every_type
def test_a_command_line_of_the_page_sends_its_example(kind: MessageType) -> None:
    assert kcat(kind) in markdown()
    words = shlex.split(kcat(kind).replace("|\n", ""))
    assert words[words.index("-t") + 1] == kind.topic
    assert words[words.index("-k") + 1] == record_key(kind)
    if kind is not STRIPE_WEBHOOK:
        assert words[:2] == ["printf", "%s"]
        assert json.loads(words[2]) == example_of(kind)


def test_the_page_s_recipe_for_keys_makes_a_key_that_opens() -> None:
    (recipe,) = re.findall(r"```python\n(.*?)```", markdown(), re.DOTALL)
    made: dict[str, Any] = {}
    exec(recipe, made)  # noqa: S102 - it is the recipe that is tested
    secret, data = made["secret"], made["data"]
    presented = read_secret(secret, "dbk")
    assert presented is not None
    assert (presented.key, presented.mode) == (data["key"], "live")
    command: Command = read_command(sent(with_(ISSUE, data=data)))
    prepared = PreparedKey(data["key"], bytes.fromhex(command.data["secret_sha256"]), data["hint"])
    assert hash_digest(prepared.secret_sha256, b"pepper") == hash_secret(secret, b"pepper")
    assert prepared.hint == hint_of(secret)
