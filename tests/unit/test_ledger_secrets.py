"""How the secret of an API key reads, and how it is kept."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.secrets import (
    MAX_PREFIX_CHARACTERS,
    PresentedKey,
    hash_secret,
    hint_of,
    new_secret,
    read_secret,
    secret_length_bytes,
    secret_matches,
)
from tests.examples import example_id

KEY = example_id("key", 7)
SECRET = new_secret("dbk", "live", KEY, bytes(range(20)))


def test_a_secret_names_its_prefix_its_mode_and_its_key() -> None:
    random_text = "aaaqeayeaudaocajbifqydiob4ibceqt"
    assert f"dbk_live_{KEY.removeprefix('key_')}{random_text}" == SECRET
    assert read_secret(SECRET, "dbk") == PresentedKey(KEY, "live", SECRET)


@given(st.binary(min_size=20, max_size=20), st.integers(0, (1 << 128) - 1), st.sampled_from(["live", "test"]))
def test_every_secret_reads_back(random_bytes: bytes, number: int, mode: str) -> None:
    key = example_id("key", number)
    prefix = "p" * MAX_PREFIX_CHARACTERS
    secret = new_secret(prefix, mode, key, random_bytes)
    assert read_secret(secret, prefix) == PresentedKey(key, mode, secret)


def test_a_secret_has_160_random_bits() -> None:
    assert secret_length_bytes() * 8 == 160
    with pytest.raises(AssertionError, match="20 random bytes"):
        new_secret("dbk", "live", KEY, b"short")


def test_a_secret_of_a_mode_that_could_not_be_read_back_is_a_defect() -> None:
    with pytest.raises(AssertionError, match="mode"):
        new_secret("dbk", "demo", KEY, bytes(20))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dbk_live_",
        "dbk_live_tooshort",
        "dbk_demo_" + SECRET.removeprefix("dbk_live_"),
        "other_live_" + SECRET.removeprefix("dbk_live_"),
        "dbk_live_" + "z" * 58,
        "dbk_live_" + "u" * 58,
        SECRET.replace("0", "é"),
        SECRET + "x" * 128,
    ],
)
def test_what_is_no_secret_of_ours_reads_as_nothing(text: str) -> None:
    assert read_secret(text, "dbk") is None


@given(st.text())
def test_no_text_makes_the_reader_fail(text: str) -> None:
    read_secret(text, "dbk")
    read_secret(f"dbk_test_{text}", "dbk")


def test_a_secret_is_kept_as_a_keyed_hash_of_its_hash() -> None:
    inner = hashlib.sha256(SECRET.encode()).digest()
    kept = hash_secret(SECRET, b"pepper")
    assert kept == hmac.new(b"pepper", inner, "sha256").hexdigest()
    assert secret_matches(SECRET, b"pepper", kept)


def test_another_secret_or_another_pepper_does_not_match() -> None:
    kept = hash_secret(SECRET, b"pepper")
    assert not secret_matches(SECRET + "x", b"pepper", kept)
    assert not secret_matches(SECRET, b"salt", kept)


def test_a_hint_is_the_last_four_characters() -> None:
    assert hint_of(SECRET) == "ceqt"
