"""A message that is to be sent, as whoever writes it hands it over."""

from __future__ import annotations

import msgspec

from consumers.message import Headers


class Outgoing(msgspec.Struct, frozen=True):
    """A message to be sent."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()
