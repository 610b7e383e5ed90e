"""Locales as callers name them: `de`, `de-CH`, `zh_Hant_TW`; only those that something is known of."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from babel import Locale, UnknownLocaleError
from marshmallow import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_LOCALE: Final = Locale("en")
MAX_LOCALE_CHARACTERS: Final = 35
# A language, then a script, a territory or a variant: nothing else is looked for among the data files.
_NAME: Final = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")


def known_locale(name: str) -> Locale | None:
    """Read a locale's name; none for what is no locale, or one that nothing is known of."""
    if len(name) > MAX_LOCALE_CHARACTERS or not _NAME.fullmatch(name):
        return None
    return _parsed(name.replace("-", "_"))


@lru_cache(maxsize=1_000)
def _parsed(name: str) -> Locale | None:
    try:
        return Locale.parse(name)
    except (UnknownLocaleError, ValueError):
        return None


def require_known_locale(name: str) -> None:
    """Refuse the name of a locale that nothing is known of."""
    if known_locale(name) is None:
        raise ValidationError("must be a known locale, like en, de or pt-BR")


def first_known(preferred: Iterable[tuple[str, float]]) -> Locale:
    """Choose among languages in order of preference, as browsers send them; English if none is known."""
    found = (known_locale(name) for name, quality in preferred if quality > 0)
    return next((locale for locale in found if locale is not None), DEFAULT_LOCALE)
