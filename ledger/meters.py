"""Meters: which usage events count, by which value, and how they are added up into what is billed.

A meter takes the events of one type (the `meter` that producers name in them). Its filters say which of them
count; its `property` says which value, or else it is the event's quantity; its aggregation says how:

- `count`: the events.
- `sum`: their values.
- `max`: the highest value of the period.
- `unique_count`: how many different values a property had.
- `latest_in_period`: the value of the period's last event; 0 in a period without one.
- `latest_ever`: the last value there was when the period ended, in whichever period it was set.
- `time_weighted_sum`: the level held, averaged over the period by time. With `values` = `levels` each event
  says the level from then on; with `changes` it says by how much the level rises or falls, which only a
  property can. The level is carried into a period from before it.

What a property says is read as text or as a number, whichever is needed: producers may write `5` or `"5"`. An
event that lacks the property, or whose property is no number where one is needed, does not count, and is
told of apart. An event whose property is missing never passes a filter, and is in the group of `None`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from ledger.errors import Invalid
from ledger.values import (
    BEYOND_QUANTITIES,
    MAX_METER_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_PROPERTY_KEY_CHARACTERS,
    checked_code,
    checked_text,
    property_problem,
)

AGGREGATIONS: Final = (
    "count",
    "sum",
    "max",
    "unique_count",
    "latest_in_period",
    "latest_ever",
    "time_weighted_sum",
)
VALUES: Final = ("levels", "changes")
MAX_FILTERS: Final = 10
MAX_FILTER_VALUES: Final = 100
MAX_GROUP_PROPERTIES: Final = 5

# Those that need more than the events of the period: what held when it began.
_CARRYING: Final = frozenset({"latest_ever", "time_weighted_sum"})
_ADDITIVE: Final = frozenset({"count", "sum"})
# Longer texts are no quantity of anything, and their sums would need more digits than we add with.
MAX_NUMBER_CHARACTERS: Final = 48
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?", re.ASCII)


class MalformedMeter(Invalid):
    """The meter cannot be measured as it is defined."""

    code = "malformed_meter"


@dataclass(frozen=True, kw_only=True)
class MeterFilter:
    """Only events whose property has one of these values count; compared as text."""

    property: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MeterDefinition:
    """How usage events of one type are measured; `code` is what charges and quotas name the meter by."""

    code: str
    name: str
    event_type: str
    aggregation: str = "sum"
    property: str | None = None
    filters: tuple[MeterFilter, ...] = ()
    group_by: tuple[str, ...] = ()
    values: str = "levels"


def default_meter(event_type: str) -> MeterDefinition:
    """Give the meter that events of a type have when none was defined: the sum of their quantities."""
    return MeterDefinition(code=event_type, name=event_type, event_type=event_type)


def carries(definition: MeterDefinition) -> bool:
    """Say whether what held before a period has a part in it."""
    return definition.aggregation in _CARRYING


def adds_up(definition: MeterDefinition) -> bool:
    """Say whether two stretches of time or of the log, each measured alone, add up to both together.

    Where they do not, what late events change is the difference between two measurements of the period.
    """
    return definition.aggregation in _ADDITIVE


def is_plain(definition: MeterDefinition) -> bool:
    """Say whether the sums of quantities and the numbers of events alone tell what was used."""
    plain = not definition.filters and not definition.group_by and definition.property is None
    return plain and adds_up(definition)


# -- properties -------------------------------------------------------------------------------------------


def property_text(value: object) -> str | None:
    """Read a property as text, as filters, groups and unique counts do; null says nothing."""
    if isinstance(value, str):
        return value
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def property_number(value: object) -> Decimal | None:
    """Read a property as a number, if it is one: the log keeps decimals as text, so text may be a number."""
    if type(value) is int:  # not a bool
        return Decimal(value) if abs(value) < BEYOND_QUANTITIES else None
    if not isinstance(value, str | Decimal):
        return None
    text = str(value)
    if len(text) > MAX_NUMBER_CHARACTERS or not _NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    return number if abs(number) < BEYOND_QUANTITIES else None


# -- validation -------------------------------------------------------------------------------------------


def checked_meter(definition: MeterDefinition) -> MeterDefinition:
    """Return a meter that every period can be measured by, or refuse it by the field that is wrong."""
    checked_code(definition.code)
    checked_text(definition.name, MAX_NAME_CHARACTERS, "name")
    checked_text(definition.event_type, MAX_METER_CHARACTERS, "event_type")
    if definition.aggregation not in AGGREGATIONS:
        raise _refused("aggregation", f"must be one of {', '.join(AGGREGATIONS)}")
    _check_property(definition)
    _check_filters(definition.filters)
    _check_group_by(definition.group_by)
    _check_values(definition)
    return definition


def _check_property(definition: MeterDefinition) -> None:
    name, aggregation = definition.property, definition.aggregation
    if name is not None:
        checked_text(name, MAX_PROPERTY_KEY_CHARACTERS, "property")
        if aggregation == "count":
            raise _refused("property", "must be left out: counting takes no value; a filter can ask for one")
    elif aggregation == "unique_count":
        raise _refused("property", "must name the property whose different values are counted")


def _check_filters(filters: tuple[MeterFilter, ...]) -> None:
    if len(filters) > MAX_FILTERS:
        raise _refused("filters", f"must be at most {MAX_FILTERS}")
    if len({one.property for one in filters}) != len(filters):
        raise _refused("filters", "must each be of a property of its own; one filter may allow many values")
    for number, one in enumerate(filters):
        checked_text(one.property, MAX_PROPERTY_KEY_CHARACTERS, f"filters.{number}.property")
        field = f"filters.{number}.values"
        if not 1 <= len(one.values) <= MAX_FILTER_VALUES:
            raise _refused(field, f"must be from 1 to {MAX_FILTER_VALUES} values")
        for value in one.values:
            problem = property_problem(value)
            if problem is not None:
                raise _refused(field, problem)


def _check_group_by(names: tuple[str, ...]) -> None:
    if len(names) > MAX_GROUP_PROPERTIES:
        raise _refused("group_by", f"must be at most {MAX_GROUP_PROPERTIES} properties")
    if len(set(names)) != len(names):
        raise _refused("group_by", "must name a property only once")
    for number, name in enumerate(names):
        checked_text(name, MAX_PROPERTY_KEY_CHARACTERS, f"group_by.{number}")


def _check_values(definition: MeterDefinition) -> None:
    if definition.values not in VALUES:
        raise _refused("values", f"must be one of {', '.join(VALUES)}")
    if definition.values != "changes":
        return
    if definition.aggregation != "time_weighted_sum":
        raise _refused("values", "can be changes for the time-weighted sum alone")
    if definition.property is None:
        raise _refused("property", "must be named: a change may go down, and a quantity is never negative")


def _refused(field: str, reason: str) -> MalformedMeter:
    return MalformedMeter(f"{field}: {reason}", {field: [reason]})
