"""What is sealed opens only with its key and in its place."""

from __future__ import annotations

from base64 import b64decode, b64encode
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from ledger.personal import KEY_BYTES, new_data_key, seal, unseal, unwrap, wrap

KEY, OTHER_KEY = bytes(range(32)), bytes(range(32, 64))
STREAM, OTHER_STREAM = UUID(int=1), UUID(int=2)
# Sealed once and kept: what the log holds must open for ever. The nonce is the bytes 0 to 11.
KEPT_SEALED = "AAECAwQFBgcICQoLHW0VsOUmR3XqMuP5cl8VF2q3HnALSLTqYyBUsQItSA=="
KEPT_WRAPPED = (
    "000102030405060708090a0b6723f438e1c0e43ca568bda09dc45642b3e7b507c44e694b005edfbe"
    "21543e8d6f95f71e09238bb3663bc6c2d1809365"
)


def test_a_data_key_is_256_random_bits() -> None:
    keys = {new_data_key() for _ in range(10)}
    assert len(keys) == 10
    assert {len(key) for key in keys} == {KEY_BYTES} == {32}


@given(st.text(st.characters(codec="utf-8")))
def test_what_is_sealed_opens_with_its_key_in_its_place(plain: str) -> None:
    assert unseal(seal(plain, KEY, STREAM, 1, "name"), KEY, STREAM, 1, "name") == plain


def test_what_was_sealed_long_ago_still_opens() -> None:
    assert unseal(KEPT_SEALED, KEY, STREAM, 1, "name") == "Zoë Ångström"


def test_what_was_wrapped_long_ago_still_opens() -> None:
    assert unwrap(bytes.fromhex(KEPT_WRAPPED), KEY, "data-key", b"book", "account:acc_1") == OTHER_KEY


@pytest.mark.parametrize(
    ("key", "stream", "stream_version", "field"),
    [
        (OTHER_KEY, STREAM, 1, "name"),
        (KEY, OTHER_STREAM, 1, "name"),
        (KEY, STREAM, 2, "name"),
        (KEY, STREAM, 1, "email"),
        (KEY, STREAM, 11, "ame"),
    ],
    ids=["another key", "another stream", "another version", "another field", "a shifted border"],
)
def test_a_sealed_text_opens_nowhere_else(key: bytes, stream: UUID, stream_version: int, field: str) -> None:
    with pytest.raises(InvalidTag):
        unseal(seal("Zoë", KEY, STREAM, 1, "name"), key, stream, stream_version, field)


@pytest.mark.parametrize("position", [0, 11, 12, -1])
def test_a_sealed_text_that_was_touched_does_not_open(position: int) -> None:
    raw = bytearray(b64decode(seal("Zoë", KEY, STREAM, 1, "name")))
    raw[position] ^= 1
    with pytest.raises(InvalidTag):
        unseal(b64encode(raw).decode(), KEY, STREAM, 1, "name")


def test_sealing_twice_gives_other_texts() -> None:
    assert len({seal("Zoë", KEY, STREAM, 1, "name") for _ in range(10)}) == 10


@given(st.binary())
def test_what_is_wrapped_opens_under_its_master_key_and_context(secret: bytes) -> None:
    assert (
        unwrap(wrap(secret, KEY, "data-key", b"book", "subject"), KEY, "data-key", b"book", "subject")
        == secret
    )


@pytest.mark.parametrize(
    ("master_key", "purpose", "context"),
    [
        (OTHER_KEY, "data-key", (b"book", "subject")),
        (KEY, "webhook-secret", (b"book", "subject")),
        (KEY, "data-key", (b"kooB", "subject")),
        (KEY, "data-key", (b"book", "tcejbus")),
        (KEY, "data-key", (b"books", "ubject")),
        (KEY, "data-key", (b"booksubject",)),
    ],
)
def test_a_wrapped_secret_opens_nowhere_else(
    master_key: bytes, purpose: str, context: tuple[str | bytes, ...]
) -> None:
    with pytest.raises(InvalidTag):
        unwrap(wrap(b"secret", KEY, "data-key", b"book", "subject"), master_key, purpose, *context)
