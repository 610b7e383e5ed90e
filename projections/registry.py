"""Every projection there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from projections import accounts, balances, billing, keys, sources, timeline, usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projections.base import Projection

PROJECTIONS: Final[Mapping[str, Projection]] = {
    module.PROJECTION.name: module.PROJECTION
    for module in (accounts, keys, sources, billing, balances, usage, timeline)
}
