"""Names for the demo's customers, made from a seed; any likeness is chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

_FIRST: Final = (
    "Amber Arctic Autumn Blue Bright Brisk Cedar Clear Copper Coral Crimson Distant Eastern Ember Fern "
    "Frost Gentle Golden Granite Green Hidden Hollow Indigo Iron Ivory Jade Juniper Lantern Little Lunar "
    "Maple Marble Misty Northern Oak Olive Opal Pacific Pine Quiet Rapid River Ruby Silver Solar Southern "
    "Still Stone Sunny Timber Velvet Violet Western White Wild Willow Winter"
)
_SECOND: Final = (
    "Anchor Atlas Beacon Bridge Brook Canyon Circuit Cloud Compass Creek Crest Delta Ferry Field Forge "
    "Garden Gate Harbor Hill Island Lake Ledger Lodge Loom Meadow Mill Mountain Orbit Orchard Peak Pixel "
    "Prairie Quarry Reef Ridge Signal Spring Station Summit Thread Tower Trail Valley Vector Voyage Wharf "
    "Window Works"
)
_KINDS: Final = (
    "Analytics",
    "Apps",
    "Data",
    "Foods",
    "Games",
    "Health",
    "Labs",
    "Logistics",
    "Media",
    "Robotics",
)


def company(random: Random, number: int) -> tuple[str, str]:
    """Give a company's name and an address of its own, in a domain that nobody can have."""
    first, second = random.choice(_FIRST.split()), random.choice(_SECOND.split())
    return f"{first} {second} {random.choice(_KINDS)}", f"billing@{first}{second}-{number}.example".lower()
