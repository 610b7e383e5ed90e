"""Columns as PostgreSQL arrays, for the paths where every microsecond a row counts."""

from __future__ import annotations

from decimal import Context, localcontext
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

# Quantities have up to 30 digits, and the default context would round their sums to 28.
_EXACT: Final = Context(prec=100)


def plain_array(values: Iterable[Any]) -> str:
    """Write an array of numbers or UUIDs, which need no quotes: three times faster than the driver's own way.

    Texts and times go through the driver in binary (`%b`), which is as fast and knows how to quote.
    """
    return "{" + ",".join(map(str, values)) + "}"


def exact_decimals() -> AbstractContextManager[Context]:
    """Add decimals without ever rounding a sum."""
    return localcontext(_EXACT)
