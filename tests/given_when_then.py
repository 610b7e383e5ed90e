"""Tests of a stream's rules that read as sentences: given what happened, when this is asked, then that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import pytest

from ledger.errors import DaybookError, Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

S = TypeVar("S")
E = TypeVar("E")


def folded(evolve: Callable[[S | None, E], S], events: Sequence[E]) -> S | None:
    """Replay events into the state they make; no state before the first."""
    state: S | None = None
    for event in events:
        state = evolve(state, event)
    return state


@dataclass(frozen=True)
class Rules(Generic[S, E]):
    """The rules of one kind of stream."""

    evolve: Callable[[S | None, E], S]

    def given(self, *events: E) -> Situation[S, E]:
        """Begin with what happened."""
        return Situation(self.evolve, events)


@dataclass(frozen=True)
class Situation(Generic[S, E]):
    """What happened so far."""

    evolve: Callable[[S | None, E], S]
    events: tuple[E, ...]

    @property
    def state(self) -> S:
        """The state that the events make."""
        state = folded(self.evolve, self.events)
        assert state is not None, "nothing has happened"
        return state

    def when(self, decide: Callable[[S | None], Sequence[E]]) -> Outcome[S, E]:
        """Ask for a decision on the state."""
        state = folded(self.evolve, self.events)
        try:
            return Outcome(self.evolve, self.events, tuple(decide(state)), None)
        except DaybookError as refusal:
            return Outcome(self.evolve, self.events, (), refusal)


@dataclass(frozen=True)
class Outcome(Generic[S, E]):
    """What a decision led to: events, or a refusal."""

    evolve: Callable[[S | None, E], S]
    before: tuple[E, ...]
    events: tuple[E, ...]
    refusal: DaybookError | None

    def then(self, *expected: E) -> Outcome[S, E]:
        """Expect exactly these events."""
        if self.refusal is not None:
            pytest.fail(f"refused: {self.refusal!r}")
        assert self.events == expected
        return self

    def then_nothing(self) -> None:
        """Expect that the decision was allowed and changed nothing."""
        self.then()

    def refused_with(self, error: type[DaybookError], field: str | None = None) -> None:
        """Expect a refusal of exactly this kind, about this field if one is named."""
        assert type(self.refusal) is error, (self.refusal, self.events)
        if field is not None:
            assert isinstance(self.refusal, Invalid)
            assert set(self.refusal.errors) == {field}

    @property
    def state(self) -> S:
        """The state after the decision."""
        if self.refusal is not None:
            pytest.fail(f"refused: {self.refusal!r}")
        state = folded(self.evolve, (*self.before, *self.events))
        assert state is not None, "nothing has happened"
        return state
