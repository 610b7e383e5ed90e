"""A tax rate: how much, where and why, version by version, each in force from an instant on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, assert_never

from ledger.errors import Conflict, Invalid, NotFound
from ledger.events.tax_rate import TaxRateDefined, TaxRateEvent, TaxRateRetired
from ledger.identifiers import derived_id
from ledger.streams.base import begins_with
from ledger.values import (
    EARLIEST,
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    checked_external_id,
    checked_metadata,
    checked_percent,
    checked_text,
    checked_time,
    instant_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

BEHAVIOURS: Final = ("exclusive", "inclusive")
MAX_JURISDICTION_CHARACTERS: Final = 100
STANDARD: Final = "standard"
_FIRST_VERSION: Final = 1


class TaxRateIsRetired(Conflict):
    """No new plan may name the tax rate."""

    code = "tax_rate_retired"


class TaxRateDiffers(Conflict):
    """Where a tax rate holds, and whether prices include it, never changes."""

    code = "tax_rate_differs"


@dataclass(frozen=True, kw_only=True)
class TaxTerms:
    """What a version of a tax rate says; `percent` is per cent, `behaviour` exclusive or inclusive."""

    name: str
    jurisdiction: str
    percent: Decimal
    behaviour: str = "exclusive"
    reason: str = STANDARD


@dataclass(frozen=True)
class TaxRate:
    """A tax rate as it stands, with every version it ever had, the oldest first."""

    tax_rate: str
    versions: tuple[TaxRateDefined, ...]
    status: str = "active"

    @property
    def newest(self) -> TaxRateDefined:
        """The last version, in force or yet to come."""
        return self.versions[-1]

    @property
    def terms(self) -> TaxTerms:
        """What the last version says."""
        last = self.newest
        return TaxTerms(
            name=last.name,
            jurisdiction=last.jurisdiction,
            percent=last.percent,
            behaviour=last.behaviour,
            reason=last.reason,
        )


def tax_rate_id(book: UUID, external_id: str) -> str:
    """Give the id of the tax rate that another system knows under an id of its own."""
    return derived_id("tax", "tax-rate", book.bytes, external_id)


def define(
    tax_rate: str,
    terms: TaxTerms,
    external_id: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> list[TaxRateEvent]:
    """Define a tax rate; its first version is in force from the beginning, so that every date has one.

    A tax that begins on a day begins as a rate of 0 per cent, with a second version from that day.
    """
    return [
        _version(
            tax_rate, _FIRST_VERSION, _checked(terms), EARLIEST, checked_external_id(external_id), metadata
        )
    ]


def redefine(
    state: TaxRate | None, terms: TaxTerms, effective_at: datetime, metadata: Mapping[str, str]
) -> list[TaxRateEvent]:
    """Give the rate another version from an instant on; what it says already changes nothing.

    Another name or other metadata alone is a version in force since when the one before it is.
    """
    rate = require(state)
    last = rate.newest
    if (terms.jurisdiction, terms.behaviour) != (last.jurisdiction, last.behaviour):
        message = (
            f"tax rate {last.external_id or last.tax_rate} is {last.behaviour} tax of {last.jurisdiction}"
            " for good: define another tax rate, and name that one in plans"
        )
        raise TaxRateDiffers(message)
    if (terms, metadata) == (rate.terms, last.metadata):
        return []
    # Other words alone hold for as long as the rate they are about.
    since = last.effective_at
    if (terms.percent, terms.reason) != (last.percent, last.reason):
        require_active(rate)
        since = _not_before(effective_at, last.effective_at)
    version = last.tax_rate_version + 1
    return [_version(rate.tax_rate, version, _checked(terms), since, last.external_id, metadata)]


def retire(state: TaxRate | None, reason: str) -> list[TaxRateEvent]:
    """Let no new plan name the rate; retiring it twice changes nothing."""
    rate = require(state)
    if rate.status == "retired":
        return []
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    return [TaxRateRetired(tax_rate=rate.tax_rate, reason=reason)]


def in_force(rate: TaxRate, at: datetime) -> TaxRateDefined:
    """Give the version that holds at an instant: of those from the same instant on, the last."""
    held = (version for version in reversed(rate.versions) if version.effective_at <= at)
    return next(held, rate.versions[0])


def require(state: TaxRate | None) -> TaxRate:
    """Give the tax rate, or refuse: there is none in this book."""
    if state is None:
        message = "there is no such tax rate"
        raise NotFound(message)
    return state


def require_active(state: TaxRate | None) -> TaxRate:
    """Give the tax rate, or refuse: no new plan may name it."""
    rate = require(state)
    if rate.status == "retired":
        message = f"tax rate {rate.newest.external_id or rate.tax_rate} is retired: no new plan may name it"
        raise TaxRateIsRetired(message)
    return rate


@begins_with(TaxRateDefined)
def evolve(state: TaxRate | None, event: TaxRateEvent) -> TaxRate:
    """Apply one event."""
    match event:
        case TaxRateDefined():
            before = TaxRate(event.tax_rate, ()) if state is None else state
            return replace(before, versions=(*before.versions, event))
        case TaxRateRetired():
            assert state is not None, "a stream begins with its first event"
            return replace(state, status="retired")
        case _:
            assert_never(event)


def _version(
    tax_rate: str,
    version: int,
    terms: TaxTerms,
    effective_at: datetime,
    external_id: str | None,
    metadata: Mapping[str, str] | None,
) -> TaxRateDefined:
    return TaxRateDefined(
        tax_rate=tax_rate,
        tax_rate_version=version,
        name=terms.name,
        jurisdiction=terms.jurisdiction,
        percent=terms.percent,
        behaviour=terms.behaviour,
        effective_at=effective_at,
        reason=terms.reason,
        external_id=external_id,
        metadata=checked_metadata(metadata or {}),
    )


def _checked(terms: TaxTerms) -> TaxTerms:
    checked_text(terms.name, MAX_NAME_CHARACTERS, "name")
    checked_text(terms.jurisdiction, MAX_JURISDICTION_CHARACTERS, "jurisdiction")
    checked_text(terms.reason, MAX_NAME_CHARACTERS, "reason")
    checked_percent(terms.percent, "percent")
    if terms.behaviour not in BEHAVIOURS:
        reason = f"must be one of {', '.join(BEHAVIOURS)}"
        raise Invalid(f"behaviour: {reason}", {"behaviour": [reason]})
    return terms


def _not_before(effective_at: datetime, newest: datetime) -> datetime:
    instant = checked_time(effective_at, "effective_at")
    if instant < newest:
        reason = f"must not be before {instant_text(newest)}, when the newest version takes effect"
        raise Invalid(f"effective_at: {reason}", {"effective_at": [reason]})
    return instant
