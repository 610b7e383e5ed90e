"""One value domain for every edge: what PostgreSQL or JSON would choke on is refused at the door."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import Invalid
from ledger.values import (
    checked_quantity,
    checked_text,
    checked_time,
    instant_text,
    property_problem,
    quantity_text,
    text_problem,
)

WEST = timezone(timedelta(hours=-5))
EAST = timezone(timedelta(hours=14))
MICROSECOND = timedelta(microseconds=1)
START, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def reason(refused: pytest.ExceptionInfo[Invalid], field: str) -> str:
    """Give the one reason of a refusal, which must be filed under its field."""
    assert refused.value.errors.keys() == {field}
    (only,) = refused.value.errors[field]
    assert str(refused.value) == f"{field}: {only}"
    return only


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must not be empty"),
        (" \t\n\u3000", "must not be empty"),
        ("123456", "must have at most 5 characters"),
        ("a\x00b", "must not contain a NUL character"),
        ("a\ud800", "must not contain a lone surrogate"),
        ("\udfffa", "must not contain a lone surrogate"),
        ("12345", None),
        ("東京東京東", None),
        ("😀" * 5, None),
        ("a\x01\n\tb", None),
        ("\ud7ff\ue000", None),
    ],
)
def test_text_is_within_the_domain_or_says_why_not(text: str, problem: str | None) -> None:
    assert text_problem(text, 5) == problem


def test_a_text_is_returned_as_it_is_or_refused_under_its_field() -> None:
    assert checked_text(" padded ", 20, "name") == " padded "
    with pytest.raises(Invalid) as refused:
        checked_text("a\x00", 20, "name")
    assert reason(refused, "name") == "must not contain a NUL character"


@given(st.text())
def test_every_text_of_the_domain_can_be_stored(text: str) -> None:
    if text_problem(text, 1_000) is None:
        assert "\x00" not in text.encode().decode()


@pytest.mark.parametrize(
    ("given_value", "canonical"),
    [
        ("0", "0"),
        ("0.0", "0"),
        ("0e5", "0"),
        ("1", "1"),
        ("+1", "1"),
        ("007", "7"),
        (".5", "0.5"),
        ("1.", "1"),
        ("100", "100"),
        ("1e2", "100"),
        ("1.50", "1.5"),
        ("1E-12", "0.000000000001"),
        ("1.0000000000000000000", "1"),
        ("999999999999999999.999999999999", "999999999999999999.999999999999"),
        (10**17, "100000000000000000"),
        (Decimal("2.50"), "2.5"),
    ],
)
def test_a_quantity_of_the_domain_has_one_canonical_text(
    given_value: str | int | Decimal, canonical: str
) -> None:
    assert quantity_text(checked_quantity(given_value)) == canonical


@pytest.mark.parametrize(
    ("given_value", "words"),
    [
        ("", "must be a decimal number"),
        ("abc", "must be a decimal number"),
        ("1,5", "must be a decimal number"),
        ("0x10", "must be a decimal number"),
        ("1_000", "must be a decimal number"),
        (" 1", "must be a decimal number"),
        ("1\n", "must be a decimal number"),
        ("\u0661", "must be a decimal number"),
        ("1" * 49, "must be a decimal number"),
        (True, "must be a decimal number"),
        ("1e99999999999999999999", "must be a decimal number"),
        ("NaN", "must be a finite number"),
        ("sNaN", "must be a finite number"),
        ("Infinity", "must be a finite number"),
        (Decimal("-Infinity"), "must be a finite number"),
        ("-1", "must not be negative"),
        ("-0", "must not be negative"),
        (-1, "must not be negative"),
        ("1e18", "must have at most 18 integer digits"),
        ("1e999999", "must have at most 18 integer digits"),
        (10**18, "must have at most 18 integer digits"),
        ("1e-13", "must have at most 12 fraction digits"),
        ("1e-999999", "must have at most 12 fraction digits"),
        ("0.1234567890123", "must have at most 12 fraction digits"),
    ],
)
def test_a_quantity_outside_the_domain_is_refused(given_value: str | int | Decimal, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        checked_quantity(given_value, "data.quantity")
    assert reason(refused, "data.quantity").startswith(words)


def test_an_integer_too_long_to_be_written_is_refused_like_any_other() -> None:
    with pytest.raises(Invalid) as refused:
        checked_quantity(10**10_000)
    assert reason(refused, "quantity") == "must be a decimal number"


@given(st.decimals(min_value=0, max_value=10**18 - 1, places=12))
def test_a_quantity_of_the_domain_is_kept_exactly(quantity: Decimal) -> None:
    kept = checked_quantity(quantity_text(quantity))
    assert kept == quantity
    assert quantity_text(kept) == quantity_text(quantity)


@given(st.text(alphabet="0123456789.eE+-", max_size=20))
def test_quantities_that_are_equal_have_equal_texts(text: str) -> None:
    try:
        quantity = checked_quantity(text)
    except Invalid:
        return
    assert Decimal(quantity_text(quantity)) == quantity
    assert quantity_text(quantity.normalize()) == quantity_text(quantity)


NUMBER, DIGITS = "must have at most 18 digits", "must have at most 18 and 12 digits"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, None),
        (True, None),
        ("", None),
        (" " * 512, None),
        ("ä" * 512, None),
        ("a\tb", None),
        ("a" * 513, "must have at most 512 characters"),
        (" " * 513, "must not be empty"),
        ("a\x00", "must not contain a NUL character"),
        ("\ud800", "must not contain a lone surrogate"),
        (-(10**18) + 1, None),
        (10**18 - 1, None),
        (10**18, NUMBER),
        (-(10**18), NUMBER),
        (Decimal("-0.000000000001"), None),
        (Decimal("999999999999999999.999999999999"), None),
        (Decimal("1E+17"), None),
        (Decimal("1E+18"), DIGITS),
        (Decimal("0E+19"), DIGITS),
        (Decimal("0.0000000000001"), DIGITS),
        (Decimal("-Infinity"), DIGITS),
        (Decimal("NaN"), DIGITS),
        (Decimal("sNaN"), DIGITS),
        ([], "must be text, a number, true, false or null"),
        ({}, "must be text, a number, true, false or null"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_property_s_value_is_within_the_domain_or_says_why_not(value: object, problem: str | None) -> None:
    assert property_problem(value) == problem


@pytest.mark.parametrize(
    ("instant", "in_utc"),
    [
        (START, START),
        (END - MICROSECOND, END - MICROSECOND),
        (datetime(2024, 3, 10, 1, 30, tzinfo=WEST), datetime(2024, 3, 10, 6, 30, tzinfo=UTC)),
        (datetime(1999, 12, 31, 19, tzinfo=WEST), START),
    ],
)
def test_a_time_within_the_domain_is_given_in_utc(instant: datetime, in_utc: datetime) -> None:
    checked = checked_time(instant)
    assert checked == in_utc
    assert checked.tzinfo is UTC


@pytest.mark.parametrize(
    ("instant", "words"),
    [
        (datetime(2024, 1, 1), "must carry a UTC offset"),  # noqa: DTZ001 - that it has no zone is the point
        (START - MICROSECOND, "must lie between 2000 and 2200"),
        (END, "must lie between 2000 and 2200"),
        (datetime(2000, 1, 1, 13, tzinfo=EAST), "must lie between 2000 and 2200"),
        (datetime.max.replace(tzinfo=WEST), "is out of range"),
        (datetime.min.replace(tzinfo=EAST), "is out of range"),
    ],
)
def test_a_time_outside_the_domain_is_refused(instant: datetime, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        checked_time(instant, "time")
    assert reason(refused, "time") == words


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC), "2024-02-29T23:59:59Z"),
        (datetime(2024, 2, 29, 23, 59, 59, 120, tzinfo=UTC), "2024-02-29T23:59:59.000120Z"),
        (datetime(2024, 2, 29, 22, tzinfo=WEST), "2024-03-01T03:00:00Z"),
    ],
)
def test_an_instant_is_written_in_utc_with_a_z(instant: datetime, text: str) -> None:
    assert instant_text(instant) == text
    assert datetime.fromisoformat(text) == instant
