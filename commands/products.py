"""Commands on products: define, describe, retire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.catalogue import change
from commands.streams import new_id, stream_or_not_found
from ledger.identifiers import stream_of
from ledger.streams import product as products

if TYPE_CHECKING:
    from collections.abc import Mapping

    from commands.catalogue import Desk
    from commands.context import Context, Done
    from ledger.streams.base import Stream
    from ledger.streams.product import Product


def define_product(
    context: Context, name: str, external_id: str | None = None, metadata: Mapping[str, str] | None = None
) -> Done[Stream[Product]]:
    """Define a product; an external id names one product for ever."""
    product = (
        new_id(context, "prod") if external_id is None else products.product_id(context.book, external_id)
    )

    def decide(desk: Desk) -> Stream[Product]:
        events = products.define(product, name, external_id, metadata)
        what = f"a product with the external id {external_id}, {product},"
        return desk.begin(stream_of("prod", product), products.evolve, events, what)

    return change(context, decide)


def describe_product(
    context: Context, product: str, name: str | None, metadata: Mapping[str, str] | None
) -> Done[Stream[Product]]:
    """Give a product another name or other metadata; what is not given stays."""
    stream = stream_or_not_found("prod", product)

    def decide(desk: Desk) -> Stream[Product]:
        state = products.require(desk.load(products.evolve, stream).state)
        kept = state.metadata if metadata is None else metadata
        return desk.add(stream, products.evolve, products.describe(state, name or state.name, kept))

    return change(context, decide)


def retire_product(context: Context, product: str, reason: str) -> Done[Stream[Product]]:
    """Let no new plan sell a product."""
    stream = stream_or_not_found("prod", product)

    def decide(desk: Desk) -> Stream[Product]:
        state = desk.load(products.evolve, stream).state
        return desk.add(stream, products.evolve, products.retire(state, reason))

    return change(context, decide)
