"""Identities are permanent: what was derived once is derived again for ever."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import identifiers
from ledger.errors import Invalid
from ledger.identifiers import (
    MalformedId,
    derive,
    derived_id,
    digest_parts,
    encode_parts,
    journal_entry_id,
    public_id,
    source_stream,
    stream_of,
    usage_correction_stream,
    usage_stream,
)
from ledger.secrets import hash_secret, hint_of, new_secret, read_secret, secret_matches
from ledger.streams.invoice import invoice_id

FROZEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden/identities.json").read_text("utf-8"))
BOOK = UUID("0190163d-8694-739b-aea5-966c26f8ad91")
parts_of_any_kind = st.lists(st.text(st.characters(codec="utf-8")) | st.binary(), max_size=5)


def frozen(name: str) -> pytest.MarkDecorator:
    """Run a test once for each frozen vector of a kind."""
    return pytest.mark.parametrize("vector", FROZEN[name])


def as_bytes(parts: list[str | bytes]) -> list[bytes]:
    return [part.encode() if isinstance(part, str) else part for part in parts]


def test_the_namespace_is_frozen() -> None:
    assert str(identifiers.NAMESPACE) == FROZEN["namespace"]


@frozen("typeid_valid")
def test_a_uuid_is_written_as_the_typeid_specification_says(vector: dict[str, str]) -> None:
    prefix = vector["text"].rpartition("_")[0]
    assert public_id(prefix, UUID(vector["uuid"])) == vector["text"]
    assert stream_of(prefix, vector["text"]) == UUID(vector["uuid"])


@frozen("typeid_invalid")
def test_a_text_that_is_no_typeid_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(MalformedId, match=r"prefix_…|beyond 128 bits"):
        stream_of("prefix", vector["text"])


def test_a_malformed_id_is_invalid_input_and_its_message_stays_short() -> None:
    with pytest.raises(Invalid) as refusal:
        stream_of("acc", "x" * 1_000_000)
    assert refusal.value.code == "malformed_id"
    assert len(str(refusal.value)) < 200


@given(st.uuids())
def test_every_uuid_survives_being_written_and_read(identity: UUID) -> None:
    assert stream_of("acc", public_id("acc", identity)) == identity


@given(st.lists(st.uuids(), min_size=2, max_size=2))
def test_public_ids_sort_as_their_uuids_do(identities: list[UUID]) -> None:
    assert sorted(public_id("acc", each) for each in identities) == [
        public_id("acc", each) for each in sorted(identities)
    ]


@frozen("encode_parts")
def test_the_encoding_of_parts_is_frozen(vector: dict[str, Any]) -> None:
    purpose, *parts = vector["parts"]
    assert encode_parts(purpose, parts).hex() == vector["hex"]


@frozen("derive")
def test_derived_identities_are_frozen(vector: dict[str, Any]) -> None:
    identity = derive(*vector["parts"])
    assert identity == UUID(vector["uuid"])
    assert identity.version == 5


def test_the_installations_own_book_is_frozen() -> None:
    assert UUID("7fd81dfe-1b86-5ce8-a4c4-02000a8fa9f3") == identifiers.INSTALLATION_BOOK


@frozen("digest_parts")
def test_digests_of_facts_are_frozen(vector: dict[str, Any]) -> None:
    assert digest_parts(*vector["parts"]) == vector["sha256"]


@frozen("usage_stream")
def test_the_stream_of_a_usage_event_is_frozen(vector: dict[str, str]) -> None:
    assert usage_stream(UUID(vector["book"]), vector["source"], vector["id"]) == UUID(vector["uuid"])


@frozen("usage_correction_stream")
def test_the_stream_of_a_usage_event_s_corrections_is_frozen(vector: dict[str, str]) -> None:
    found = usage_correction_stream(UUID(vector["book"]), vector["source"], vector["id"])
    assert found == UUID(vector["uuid"])


@frozen("source_stream")
def test_the_stream_of_a_source_s_grants_is_frozen(vector: dict[str, str]) -> None:
    assert source_stream(UUID(vector["book"]), vector["source"]) == UUID(vector["uuid"])


@frozen("journal_entry_id")
def test_the_id_of_a_journal_entry_is_frozen(vector: dict[str, str]) -> None:
    found = journal_entry_id(UUID(vector["book"]), vector["economic_object"], vector["kind"])
    assert found == vector["id"]


@frozen("derived_id")
def test_public_ids_of_outside_facts_are_frozen(vector: dict[str, Any]) -> None:
    assert derived_id(vector["prefix"], *vector["parts"]) == vector["id"]


@frozen("invoice_id")
def test_the_id_of_a_periods_invoice_is_frozen(vector: dict[str, str]) -> None:
    start = datetime.fromisoformat(vector["period_start"])
    assert invoice_id(vector["subscription"], start, vector["kind"]) == vector["id"]


def test_parts_that_join_to_the_same_text_have_other_identities() -> None:
    assert usage_stream(BOOK, "svc/a", "1") != usage_stream(BOOK, "svc/", "a1")
    assert derive("usage", "svc/a", "1") != derive("usage", "svc/a1")
    assert derive("usage", "svc/a", "") != derive("usage", "svc/a")
    assert derive("usage", "a") != derive("usagea")


@given(parts_of_any_kind, parts_of_any_kind)
def test_no_two_lists_of_parts_share_an_encoding(one: list[str | bytes], other: list[str | bytes]) -> None:
    same = as_bytes(one) == as_bytes(other)
    assert (encode_parts("purpose", one) == encode_parts("purpose", other)) == same


def test_one_usage_identity_belongs_to_one_book() -> None:
    other = UUID(int=BOOK.int + 1)
    assert usage_stream(BOOK, "svc", "1") != usage_stream(other, "svc", "1")


@frozen("new_secret")
def test_the_text_of_a_secret_is_frozen(vector: dict[str, str]) -> None:
    random_bytes = bytes.fromhex(vector["random_hex"])
    secret = new_secret(vector["prefix"], vector["mode"], vector["key"], random_bytes)
    assert secret == vector["secret"]
    presented = read_secret(secret, vector["prefix"])
    assert presented is not None
    assert (presented.key, presented.mode, presented.secret) == (vector["key"], vector["mode"], secret)
    assert hint_of(secret) == secret[-4:]


@frozen("secret_hash")
def test_the_hash_that_a_key_is_stored_under_is_frozen(vector: dict[str, str]) -> None:
    pepper = bytes.fromhex(vector["pepper_hex"])
    assert hash_secret(vector["secret"], pepper) == vector["hash"]
    assert secret_matches(vector["secret"], pepper, vector["hash"])
    assert not secret_matches(vector["secret"] + "a", pepper, vector["hash"])
    assert not secret_matches(vector["secret"], pepper[::-1] + b"x", vector["hash"])
