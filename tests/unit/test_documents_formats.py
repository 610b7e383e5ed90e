"""Figures and words of documents, in every locale there is."""

from __future__ import annotations

import re
import string
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import product
from unicodedata import decimal as digit_of

import pytest
from babel import Locale
from babel.localedata import locale_identifiers
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from api.documents.words import languages
from ledger.money import EXPONENTS, MAX_AMOUNT, InexactAmount, exponent
from schemas.locales import first_known, known_locale, require_known_locale
from tests.document_samples import formats

LOCALES = sorted(locale_identifiers())
CURRENCIES = sorted(EXPONENTS)
ONE_OF_EACH_EXPONENT = ("JPY", "USD", "KWD", "CLF")


def digits(text: str) -> str:
    return "".join(str(digit_of(character)) for character in text if character.isdecimal())


@given(st.sampled_from(LOCALES), st.sampled_from(CURRENCIES), st.integers(-MAX_AMOUNT, MAX_AMOUNT))
def test_money_shows_every_digit_of_the_amount_whatever_the_locale_and_the_currency(
    locale: str, currency: str, amount: int
) -> None:
    written = formats(locale).money(amount, currency)
    assert digits(written) == str(abs(amount)).rjust(exponent(currency) + 1, "0")
    assert formats(locale).money(-amount, currency) != written or amount == 0


def test_every_locale_writes_fractions_as_long_as_the_currency_s() -> None:
    for locale, currency in product(LOCALES, ONE_OF_EACH_EXPONENT):
        written = re.search(r"\d(\D*)(\d*)\D*$", formats(locale).money(12_345_678, currency))
        assert written is not None
        assert exponent(currency) in (0, len(written[2])), (locale, currency)


@pytest.mark.parametrize(
    ("locale", "amount", "currency", "expected"),
    [
        ("en", 123_450, "USD", "$1,234.50"),
        ("en", -123_450, "USD", "-$1,234.50"),
        ("de", 123_450, "EUR", "1.234,50\xa0€"),
        ("de_CH", 123_450, "CHF", "CHF\xa01\u2019234.50"),
        ("en_IN", 12_345_678, "INR", "₹1,23,456.78"),
        ("ja", 1234, "JPY", "¥1,234"),
        ("en", 1234, "KWD", "KWD\xa01.234"),
        ("es_CL", 12_345, "CLF", "CLF\xa01,2345"),
        # A word for a sign keeps its distance.
        ("en", -500, "CHF", "-CHF\xa05.00"),
        # Small units that are out of use are billed all the same.
        ("en", 150, "IQD", "IQD\xa00.150"),
        ("en", 999, "LAK", "LAK\xa09.99"),
        ("en", 0, "USD", "$0.00"),
        ("en", MAX_AMOUNT, "USD", "$9,999,999,999,999,999.99"),
    ],
)
def test_money_is_written_as_people_of_the_locale_do(
    locale: str, amount: int, currency: str, expected: str
) -> None:
    assert formats(locale).money(amount, currency) == expected


def test_a_float_is_no_money() -> None:
    with pytest.raises(InexactAmount):
        formats().money(29.0, "USD")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("unit_amount", "currency", "expected"),
    [
        ("0.5", "USD", "$0.005"),
        ("100", "USD", "$1.00"),
        ("0.000000000001", "USD", "$0.00000000000001"),
        ("12345678901.123456789012", "USD", "$123,456,789.01123456789012"),
        ("0.5", "JPY", "¥0.5"),
        ("1E+3", "JPY", "¥1,000"),
    ],
)
def test_a_unit_price_shows_all_its_digits(unit_amount: str, currency: str, expected: str) -> None:
    assert formats().unit_price(Decimal(unit_amount), currency) == expected


def test_a_quantity_shows_all_its_digits() -> None:
    assert formats("de").quantity(Decimal("123456789012345678.123456789012")) == (
        "123.456.789.012.345.678,123456789012"
    )
    assert formats().quantity(Decimal("1E+3")) == "1,000"
    assert formats().quantity(Decimal("0.10")) == "0.1"


def test_a_percentage_shows_all_its_digits() -> None:
    assert formats().percent(Decimal("8.875")) == "8.875%"
    assert formats("de").percent(Decimal(19)) == "19\xa0%"


# -- dates ------------------------------------------------------------------------------------------


def period(
    starts_at: datetime | None, ends_at: datetime | None, zone: str = "UTC", locale: str = "en"
) -> str:
    return formats(locale).period(starts_at, ends_at, zone).replace("\u2009", " ").replace("\N{EN DASH}", "-")


def at(month: int, day: int, hour: int = 0, year: int = 2027) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def test_a_period_is_named_by_its_first_and_its_last_day() -> None:
    assert period(at(1, 1), at(2, 1)) == "Jan 1 - 31, 2027"
    assert period(at(1, 15, 12), at(2, 15, 12)) == "Jan 15 - Feb 15, 2027"
    assert period(at(12, 1, year=2026), at(1, 1)) == "Dec 1 - 31, 2026"
    assert period(at(1, 1), at(1, 2)) == "Jan 1, 2027"
    assert period(at(1, 1), at(1, 1)) == "Jan 1, 2027"
    assert period(at(1, 1), None) == "Jan 1, 2027"
    assert period(None, None) == ""


def test_a_period_is_that_of_the_account_s_zone() -> None:
    berlin = (datetime(2027, 2, 28, 23, tzinfo=UTC), datetime(2027, 3, 31, 22, tzinfo=UTC))
    assert period(*berlin, "Europe/Berlin") == "Mar 1 - 31, 2027"
    assert period(*berlin, "UTC") == "Feb 28 - Mar 31, 2027"
    assert period(*berlin, "Europe/Berlin", "de") == "1.-31. März 2027"


def test_every_locale_writes_everything() -> None:
    for locale in LOCALES:
        known = formats(locale)
        for written in (
            known.date(date(2027, 1, 31)),
            known.period(at(1, 1), at(2, 1), "UTC"),
            known.quantity(Decimal("-1234.5")),
            known.percent(Decimal("7.5")),
            known.days(14),
            known.word("invoice"),
        ):
            assert written, locale
            assert "duration" not in written, locale


def test_a_fortnight_stays_fourteen_days() -> None:
    assert [formats(locale).days(14) for locale in ("en", "de", "it", "ar")] == [
        "14 days",
        "14 Tage",
        "14 giorni",
        "14 يومًا",
    ]


def test_a_page_is_in_one_language() -> None:
    japanese = formats("ja")
    assert japanese.language == Locale("en")
    assert japanese.date(date(2027, 1, 31)) == "January 31, 2027"
    assert formats("de_AT").date(date(2027, 1, 31)) == "31. Jänner 2027"


# -- words ------------------------------------------------------------------------------------------


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", sorted(languages()))
def test_every_language_has_every_word_with_the_same_gaps(language: str) -> None:
    english, words = languages()["en"], languages()[language]
    assert list(words) == list(english)
    for key, text in words.items():
        assert text.strip() == text != ""
        assert placeholders(text) == placeholders(english[key]), key


def test_a_word_s_gap_is_filled_with_what_it_is_given_and_that_alone() -> None:
    assert formats().word("discount", name="{name}{0}%s") == "Discount {name}{0}%s"


# -- locales ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["en", "de", "de-CH", "de_CH", "zh-Hant-TW", "pt-BR", "EN-us", "sr-Latn-RS"])
def test_a_known_locale_is_read_however_it_is_written(name: str) -> None:
    require_known_locale(name)
    assert isinstance(known_locale(name), Locale)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "xx",
        "de-XX",
        "../en",
        "root",
        "C",
        "de.UTF-8",
        "de@euro",
        "e",
        "en\n",
        "é",
        "en-" * 20,
        "i-klingon",
    ],
)
def test_what_is_no_locale_is_refused(name: str) -> None:
    assert known_locale(name) is None
    with pytest.raises(ValidationError):
        require_known_locale(name)


def test_the_first_language_that_is_known_is_chosen() -> None:
    assert first_known([("xx", 1.0), ("fr-CH", 0.9), ("de", 0.5)]) == Locale("fr", "CH")
    assert first_known([("de", 0.0), ("*", 0.1)]) == Locale("en")
    assert first_known([]) == Locale("en")
