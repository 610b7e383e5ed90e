"""Working on the catalogue: what a command has read or added already is what its later steps see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from commands.context import Done, execute
from ledger.errors import Conflict, IdTaken, Invalid, NotFound
from ledger.identifiers import MalformedId, stream_of
from ledger.plan_terms import meters_of, products_of, tax_rates_of
from ledger.streams import meter as meters
from ledger.streams import plan as plans
from ledger.streams import product as products
from ledger.streams import tax_rate as tax_rates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context, Unit
    from ledger.events import Event
    from ledger.events.plan import PlanTerms
    from ledger.streams.base import Stream

S = TypeVar("S")
E = TypeVar("E", bound="Event")
R = TypeVar("R")


class UnknownReference(Invalid):
    """Something that the request names is not in this book; `errors` says which field names it."""

    code = "unknown_reference"


class Desk:
    """A unit of work on the catalogue, whose steps see what the steps before them have added.

    `names` are what people call the ids that they did not write themselves, for messages.
    """

    def __init__(self, unit: Unit, names: Mapping[str, str] | None = None) -> None:
        """Begin with nothing read."""
        self.unit = unit
        self._names = names or {}
        self._streams: dict[UUID, Stream[Any]] = {}
        self._added: set[UUID] = set()

    @property
    def book(self) -> UUID:
        """The book worked in."""
        return self.unit.context.book

    @property
    def now(self) -> datetime:
        """The book's time."""
        return self.unit.context.now

    def named(self, identity: str) -> str:
        """Give what people call an id."""
        return self._names.get(identity, identity)

    def load(self, evolve: Callable[[S | None, E], S], stream: UUID) -> Stream[S]:
        """Give a stream as it will stand."""
        if stream not in self._streams:
            self._streams[stream] = self.unit.load(evolve, stream)
        return self._streams[stream]

    def look(self, evolve: Callable[[S | None, E], S], stream: UUID) -> Stream[S]:
        """Give a stream that is relied upon: it must not have moved when the events are appended."""
        seen = self.load(evolve, stream)
        if seen.state is not None and stream not in self._added:
            self.unit.guard(stream, seen.version)
        return seen

    def add(self, stream: UUID, evolve: Callable[[S | None, E], S], events: list[E]) -> Stream[S]:
        """Add events to a stream and give it as it will stand."""
        loaded = self.load(evolve, stream)
        if not events:
            return loaded
        self._added.add(stream)
        self._streams[stream] = self.unit.add(stream, loaded, evolve, events)
        return self._streams[stream]

    def begin(
        self, stream: UUID, evolve: Callable[[S | None, E], S], events: list[E], what: str
    ) -> Stream[S]:
        """Add the first events of an object, or refuse: there is one already, called `what`."""
        if self.load(evolve, stream).version:
            message = f"there is {what} already: change that one, or choose another"
            raise IdTaken(message)
        return self.add(stream, evolve, events)


def change(context: Context, decide: Callable[[Desk], R]) -> Done[R]:
    """Change the catalogue in one transaction."""
    return execute(context, lambda unit: decide(Desk(unit)))


def check_references(desk: Desk, terms: PlanTerms, before: PlanTerms | None = None) -> None:
    """Refuse terms that name what is not there or no longer for new plans; what they named before may stay.

    An event type that no meter is defined for gets its meter here, so that no later definition under the
    same code changes what the plan's usage costs.
    """
    check_named(desk, _new(products_of, terms, before), _new(tax_rates_of, terms, before))
    for path, code in _new(meters_of, terms, before):
        _check_meter(desk, path, code)


def check_named(
    desk: Desk, products_named: Iterable[tuple[str, str]], tax_rates_named: Iterable[tuple[str, str]]
) -> None:
    """Refuse products and tax rates, each with the field that names it, that are not there or are retired."""
    unknown: dict[str, list[str]] = {}
    for path, product in products_named:
        _check(desk, unknown, path, "prod", product)
    for path, tax_rate in tax_rates_named:
        _check(desk, unknown, path, "tax", tax_rate)
    if unknown:
        path, (reason, *_) = next(iter(unknown.items()))
        raise UnknownReference(f"{path}: {reason}", unknown)


def check_product(desk: Desk, product: str) -> None:
    """Refuse a product that is not there, or no longer for new plans."""
    check_named(desk, [("product", product)], [])


def check_plans(desk: Desk, named: Iterable[str]) -> None:
    """Refuse plans that are not there; retired ones are there."""
    unknown: dict[str, list[str]] = {}
    for number, plan in enumerate(named):
        try:
            plans.require(desk.load(plans.evolve, stream_of("plan", plan)).state)
        except (MalformedId, NotFound):
            unknown[f"plans.{number}"] = [f"there is no plan {desk.named(plan)}"]
    if unknown:
        path, (reason, *_) = next(iter(unknown.items()))
        raise UnknownReference(f"{path}: {reason}", unknown)


def _new(
    named: Callable[[PlanTerms], list[tuple[str, str]]], terms: PlanTerms, before: PlanTerms | None
) -> list[tuple[str, str]]:
    known = set() if before is None else {name for _, name in named(before)}
    return [(path, name) for path, name in named(terms) if name not in known]


def _check(desk: Desk, unknown: dict[str, list[str]], path: str, prefix: str, identity: str) -> None:
    try:
        stream = stream_of(prefix, identity)
        if prefix == "prod":
            products.require_active(desk.look(products.evolve, stream).state)
        else:
            tax_rates.require_active(desk.look(tax_rates.evolve, stream).state)
    except (MalformedId, NotFound):
        what = "product" if prefix == "prod" else "tax rate"
        unknown[path] = [f"there is no {what} {desk.named(identity)}"]
    except Conflict as error:
        message = f"{path}: {error}"
        raise type(error)(message) from None


def _check_meter(desk: Desk, path: str, code: str) -> None:
    meter = meters.meter_id(desk.book, code)
    stream = stream_of(meters.PREFIX, meter)
    seen = desk.look(meters.evolve, stream)
    if seen.state is None:
        desk.add(stream, meters.evolve, meters.define_default(meter, code))
        return
    try:
        meters.require_active(seen.state)
    except meters.MeterIsRetired as error:
        message = f"{path}: {error}"
        raise meters.MeterIsRetired(message) from None
