"""Every projection there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from projections import (
    accounts,
    balances,
    billing,
    catalogue,
    corrections,
    due,
    keys,
    mrr,
    sources,
    timeline,
    usage,
)
from projections import credits as account_credit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projections.base import Projection

PROJECTIONS: Final[Mapping[str, Projection]] = {
    module.PROJECTION.name: module.PROJECTION
    for module in (
        accounts,
        keys,
        sources,
        catalogue,
        billing,
        account_credit,
        balances,
        usage,
        timeline,
        corrections,
        due,
        mrr,
    )
}
