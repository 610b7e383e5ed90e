"""Reading settings: what their texts may be, and the error when they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ledger.errors import DaybookError

if TYPE_CHECKING:
    from collections.abc import Mapping

# More digits than any setting needs, and fewer than Python would refuse to read.
_MAX_DIGITS: Final = 18


class SettingsError(DaybookError):
    """A setting is missing or malformed."""

    code = "settings"


def whole_number(variables: Mapping[str, str], name: str, default: int) -> int:
    """Read a whole number that is not negative, or give the default when it is not set."""
    text = variables.get(name, "")
    if not text:
        return default
    if not is_whole(text):
        message = f"{name} must be a whole number"
        raise SettingsError(message)
    return int(text)


def is_whole(text: str) -> bool:
    """Say whether a text is a whole number that is not negative, of no more digits than a setting needs."""
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
