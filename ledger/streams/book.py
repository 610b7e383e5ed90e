"""A book: its calendar, its functional currency, its billing policy and its sellers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias, assert_never

from ledger.errors import Invalid, NotFound
from ledger.events.book import (
    BillingEntityDefined,
    BillingPolicyAdopted,
    BookOpened,
    WebhookEndpointRegistered,
)
from ledger.money import exponent
from ledger.periods import local_date
from ledger.policies import DEFAULT_PRESET, Policy, policy_of
from ledger.secrets import MODES
from ledger.streams.base import begins_with
from ledger.streams.billing_entity import BillingEntity, first_entity, with_entity
from ledger.values import EARLIEST, MAX_NAME_CHARACTERS, checked_text

if TYPE_CHECKING:
    from collections.abc import Mapping

BookEvent: TypeAlias = BookOpened | BillingPolicyAdopted | BillingEntityDefined | WebhookEndpointRegistered


@dataclass(frozen=True)
class AdoptedPolicy:
    """One version of the book's conventions, as it was adopted."""

    policy_version: int
    preset: str
    overrides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Book:
    """A book as it stands, with every version of its conventions."""

    book: str
    organisation: str
    organisation_name: str
    mode: str
    functional_currency: str
    time_zone: str
    adopted: tuple[AdoptedPolicy, ...] = ()
    billing_entities: dict[str, BillingEntity] = field(default_factory=dict)

    @property
    def adopted_last(self) -> AdoptedPolicy:
        """The version in force; before the first one, the default."""
        return self.adopted[-1] if self.adopted else AdoptedPolicy(0, DEFAULT_PRESET)

    @property
    def policy_version(self) -> int:
        """The version in force."""
        return self.adopted_last.policy_version

    @property
    def policy_preset(self) -> str:
        """The preset in force."""
        return self.adopted_last.preset

    @cached_property
    def policies(self) -> Mapping[int, Policy]:
        """Give the conventions of each version, so that a line is made again under those it names.

        They are worked out when asked for, not as the book is folded: a recorded event always loads.
        """
        return {one.policy_version: policy_of(one.preset, one.overrides) for one in self.adopted}

    @property
    def policy(self) -> Policy:
        """The conventions in force."""
        return self.policies.get(self.policy_version, Policy())


def open_book(
    book: str, organisation: str, organisation_name: str, mode: str, functional_currency: str, time_zone: str
) -> list[BookEvent]:
    """Open a book under the default policy, with one seller named after the organisation."""
    checked_text(organisation_name, MAX_NAME_CHARACTERS, "name")
    exponent(functional_currency)
    # Looks the zone up: an unknown one is refused.
    local_date(EARLIEST, time_zone)
    if mode not in MODES:
        message = "mode: must be live or test"
        raise Invalid(message, {"mode": ["must be live or test"]})
    return [
        BookOpened(
            book=book,
            organisation=organisation,
            organisation_name=organisation_name,
            mode=mode,
            functional_currency=functional_currency,
            time_zone=time_zone,
            fiscal_year_start_month=1,
        ),
        BillingPolicyAdopted(policy_version=1, preset=DEFAULT_PRESET),
        first_entity(organisation_name),
    ]


def adopt_policy(state: Book | None, preset: str, overrides: Mapping[str, str]) -> list[BookEvent]:
    """Bill by other conventions from now on; adopting those in force again changes nothing."""
    book = require(state)
    policy_of(preset, overrides)
    last = book.adopted_last
    if (preset, dict(overrides)) == (last.preset, dict(last.overrides)):
        return []
    return [
        BillingPolicyAdopted(policy_version=last.policy_version + 1, preset=preset, overrides=dict(overrides))
    ]


def require(state: Book | None) -> Book:
    """Give the book, or refuse: there is none."""
    if state is None:
        message = "there is no such book"
        raise NotFound(message)
    return state


@begins_with(BookOpened)
def evolve(state: Book | None, event: BookEvent) -> Book:
    """Apply one event."""
    match event:
        case BookOpened():
            return Book(
                book=event.book,
                organisation=event.organisation,
                organisation_name=event.organisation_name,
                mode=event.mode,
                functional_currency=event.functional_currency,
                time_zone=event.time_zone,
            )
        case BillingPolicyAdopted():
            return _with_policy(_known(state), event)
        case BillingEntityDefined():
            book = _known(state)
            return replace(book, billing_entities=with_entity(book.billing_entities, event))
        case WebhookEndpointRegistered():
            return _known(state)
        case _:
            assert_never(event)


def _with_policy(state: Book, event: BillingPolicyAdopted) -> Book:
    adopted = AdoptedPolicy(event.policy_version, event.preset, event.overrides)
    return replace(state, adopted=(*state.adopted, adopted))


def _known(state: Book | None) -> Book:
    assert state is not None, "a stream begins with its first event"
    return state
