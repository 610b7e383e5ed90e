"""Events of a principal: a person or a service that works with a book through operator keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class PrincipalRegistered(Event):
    """A person or a service may now own operator keys."""

    topic: ClassVar[str] = "principal.registered"
    personal: ClassVar[tuple[str, ...]] = ("name",)

    principal: str
    kind: str
    name: str

    def subject(self) -> str:
        """Name whose data key seals the name: the principal."""
        return f"principal:{self.principal}"
