"""What hypothesis draws for tests of billing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.examples import example_discount, example_line, example_tax

if TYPE_CHECKING:
    from ledger.events.invoice import InvoiceLine

AMOUNTS = st.integers(-(10**12), 10**12)
TAXES = st.builds(
    example_tax,
    AMOUNTS,
    behaviour=st.sampled_from(["exclusive", "inclusive"]),
    jurisdiction=st.sampled_from(["US-NY", "US-CA", "DE"]),
)


@st.composite
def invoice_lines(draw: st.DrawFn, *, min_lines: int = 0) -> tuple[InvoiceLine, ...]:
    """Draw lines of any sign, over a service period or not, with any taxes and discounts."""
    numbers = range(1, draw(st.integers(min_lines, 6)) + 1)
    return tuple(
        replace(
            example_line(draw(AMOUNTS), number, with_period=draw(st.booleans())),
            product=draw(st.sampled_from([None, "prod_1", "prod_2"])),
            taxes=tuple(draw(st.lists(TAXES, max_size=3))),
            discounts=tuple(draw(st.lists(st.builds(example_discount, AMOUNTS), max_size=2))),
        )
        for number in numbers
    )
