"""The words of documents, language by language."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_LANGUAGE: Final = "en"


@cache
def languages() -> Mapping[str, Mapping[str, str]]:
    """Give every language's words, by its code."""
    text = files("api.documents").joinpath("words.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def has_words(language: str) -> bool:
    """Say whether documents are written in a language."""
    return language in languages()


def words_of(language: str) -> Mapping[str, str]:
    """Give the words of a language, or those of English where there are none."""
    return languages().get(language) or languages()[DEFAULT_LANGUAGE]
