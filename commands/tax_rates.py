"""Commands on tax rates: define, define another version, retire."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from commands.catalogue import change
from commands.streams import new_id, stream_or_not_found
from ledger.identifiers import stream_of
from ledger.streams import tax_rate as tax_rates

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    from commands.catalogue import Desk
    from commands.context import Context, Done
    from ledger.streams.base import Stream
    from ledger.streams.tax_rate import TaxRate, TaxTerms


def define_tax_rate(
    context: Context,
    terms: TaxTerms,
    external_id: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Done[Stream[TaxRate]]:
    """Define a tax rate; an external id names one tax rate for ever."""
    tax_rate = (
        new_id(context, "tax") if external_id is None else tax_rates.tax_rate_id(context.book, external_id)
    )

    def decide(desk: Desk) -> Stream[TaxRate]:
        events = tax_rates.define(tax_rate, terms, external_id, metadata)
        what = f"a tax rate with the external id {external_id}, {tax_rate},"
        return desk.begin(stream_of("tax", tax_rate), tax_rates.evolve, events, what)

    return change(context, decide)


def redefine_tax_rate(
    context: Context,
    tax_rate: str,
    percent: Decimal,
    *,
    effective_at: datetime | None = None,
    reason: str | None = None,
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Done[Stream[TaxRate]]:
    """Give a tax rate another version from an instant on, or from now; what is not given stays."""
    stream = stream_or_not_found("tax", tax_rate)

    def decide(desk: Desk) -> Stream[TaxRate]:
        state = tax_rates.require(desk.load(tax_rates.evolve, stream).state)
        last = state.terms
        terms = replace(last, percent=percent, reason=reason or last.reason, name=name or last.name)
        kept = state.newest.metadata if metadata is None else metadata
        events = tax_rates.redefine(state, terms, effective_at or desk.now, kept)
        return desk.add(stream, tax_rates.evolve, events)

    return change(context, decide)


def retire_tax_rate(context: Context, tax_rate: str, reason: str) -> Done[Stream[TaxRate]]:
    """Let no new plan name a tax rate."""
    stream = stream_or_not_found("tax", tax_rate)

    def decide(desk: Desk) -> Stream[TaxRate]:
        state = desk.load(tax_rates.evolve, stream).state
        return desk.add(stream, tax_rates.evolve, tax_rates.retire(state, reason))

    return change(context, decide)
