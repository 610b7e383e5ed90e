"""Bringing a book's catalogue to what a file says: the difference first, then all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, TypeAlias, assert_never

from commands.catalogue import Desk, check_plans
from commands.catalogue_difference import Difference, differences
from commands.context import Done, Unit, execute
from commands.plans import PlanDraft, add_plan, add_price_version
from ledger.errors import Conflict, Invalid, Refusal
from ledger.events.coupon import CouponTerms
from ledger.events.plan import PlanTerms
from ledger.identifiers import stream_of
from ledger.meters import MeterDefinition
from ledger.plan_terms import meters_of
from ledger.streams import billing_entity as entities
from ledger.streams import book as books
from ledger.streams import coupon as coupons
from ledger.streams import meter as meters
from ledger.streams import plan as plans
from ledger.streams import product as products
from ledger.streams import tax_rate as tax_rates
from ledger.streams.billing_entity import BillingEntity
from ledger.streams.tax_rate import TaxTerms

if TYPE_CHECKING:
    from datetime import datetime

    from commands.context import Context

# A product is a name and nothing else.
Terms: TypeAlias = MeterDefinition | TaxTerms | BillingEntity | PlanTerms | CouponTerms | None
Evolve: TypeAlias = Callable[[Any, Any], Any]
_GONE: Final = "not in the catalogue's file any more"


class CatalogueRefused(Conflict):
    """What the file says cannot be brought about in this book."""

    code = "catalogue_refused"


class CatalogueMoved(Conflict):
    """The book's catalogue has changed since the difference was shown."""

    code = "catalogue_moved"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One object as the file has it; what its kind is follows from its terms.

    `effective_at` is when a plan's or a tax rate's new terms begin to hold, now unless it is given; a plan's
    `product` is the id of one, or none for a product of its own.
    """

    kind: str
    code: str
    name: str
    terms: Terms
    metadata: Mapping[str, str] = field(default_factory=dict)
    effective_at: datetime | None = None
    product: str | None = None


@dataclass(frozen=True, kw_only=True)
class Gone:
    """An object that the book has and the file has not, to be retired."""

    kind: str
    id: str
    code: str


@dataclass(frozen=True, kw_only=True)
class CatalogueFile:
    """What a file says: objects, each after those it names; `names` are the codes of ids, for messages."""

    source: str
    objects: tuple[Wanted, ...]
    names: Mapping[str, str] = field(default_factory=dict)
    retire_missing: bool = False


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of an object: created, repriced, changed, retired or unchanged; and what differs then."""

    kind: str
    code: str
    action: str
    differences: tuple[Difference, ...] = ()
    effective_at: datetime | None = None


def difference(context: Context, file: CatalogueFile, gone: tuple[Gone, ...] = ()) -> tuple[Change, ...]:
    """Say what applying a file would change, and change nothing."""
    return _settle(Desk(Unit(context), file.names), file, gone)


def apply(
    context: Context, file: CatalogueFile, gone: tuple[Gone, ...], shown: tuple[Change, ...]
) -> Done[tuple[Change, ...]]:
    """Change what was shown, all of it or nothing; refuse when it would no longer be what was shown."""

    def decide(unit: Unit) -> tuple[Change, ...]:
        changes = _settle(Desk(unit, file.names), file, gone)
        if changes != shown:
            message = "the catalogue has changed meanwhile: look at the difference again"
            raise CatalogueMoved(message)
        return changes

    return execute(context, decide)


def _settle(desk: Desk, file: CatalogueFile, gone: tuple[Gone, ...]) -> tuple[Change, ...]:
    changes: list[Change] = []
    for wanted in file.objects:
        label = f"{file.source}: {wanted.kind} {wanted.code}"
        try:
            changes += _object(desk, wanted)
        except Invalid as error:
            reasons = {f"{label}: {path}": reasons for path, reasons in error.errors.items()}
            raise Invalid(f"{label}: {error}", reasons) from None
        except Refusal as error:
            message = f"{label}: {error}"
            raise CatalogueRefused(message) from None
    return (*changes, *(_retire(desk, one) for one in gone if _is_active(desk, one)))


def _object(desk: Desk, wanted: Wanted) -> list[Change]:
    match wanted.terms:
        case None:
            return [_product(desk, wanted)]
        case MeterDefinition():
            return [_meter(desk, wanted, wanted.terms)]
        case TaxTerms():
            return [_tax_rate(desk, wanted, wanted.terms)]
        case BillingEntity():
            return [_entity(desk, wanted, wanted.terms)]
        case PlanTerms():
            return _plan(desk, wanted, wanted.terms)
        case CouponTerms():
            return [_coupon(desk, wanted, wanted.terms)]
        case _:
            assert_never(wanted.terms)


def _product(desk: Desk, wanted: Wanted) -> Change:
    product = products.product_id(desk.book, wanted.code)
    stream = stream_of("prod", product)
    state = desk.load(products.evolve, stream).state
    if state is None:
        events = products.define(product, wanted.name, wanted.code, wanted.metadata)
        desk.add(stream, products.evolve, events)
        return _created(wanted)
    _refuse_retired(state.status)
    desk.add(stream, products.evolve, products.describe(state, wanted.name, wanted.metadata))
    return _changed(wanted, state.name, state.metadata)


def _meter(desk: Desk, wanted: Wanted, definition: MeterDefinition) -> Change:
    meter = meters.meter_id(desk.book, wanted.code)
    stream = stream_of(meters.PREFIX, meter)
    state = desk.load(meters.evolve, stream).state
    if state is None:
        events = meters.define(meter, definition, wanted.code, wanted.metadata)
        desk.add(stream, meters.evolve, events)
        return _created(wanted)
    _refuse_retired(state.status)
    desk.add(stream, meters.evolve, meters.describe(state, definition, wanted.metadata))
    return _changed(wanted, state.definition.name, state.metadata, state.definition)


def _tax_rate(desk: Desk, wanted: Wanted, terms: TaxTerms) -> Change:
    tax_rate = tax_rates.tax_rate_id(desk.book, wanted.code)
    stream = stream_of("tax", tax_rate)
    state = desk.load(tax_rates.evolve, stream).state
    if state is None:
        events = tax_rates.define(tax_rate, terms, wanted.code, wanted.metadata)
        desk.add(stream, tax_rates.evolve, events)
        return _created(wanted)
    _refuse_retired(state.status)
    effective_at = wanted.effective_at or desk.now
    desk.add(stream, tax_rates.evolve, tax_rates.redefine(state, terms, effective_at, wanted.metadata))
    changed = _changed(wanted, state.newest.name, state.newest.metadata, state.terms)
    priced = (terms.percent, terms.reason) != (state.newest.percent, state.newest.reason)
    return _repriced(changed, effective_at) if priced else changed


def _entity(desk: Desk, wanted: Wanted, entity: BillingEntity) -> Change:
    known = books.require(desk.load(books.evolve, desk.book).state).billing_entities
    events: list[books.BookEvent] = [*entities.define(known, entity)]
    desk.add(desk.book, books.evolve, events)
    before = known.get(wanted.code)
    if before is None:
        return _created(wanted)
    return _changed(wanted, before.name, before.metadata, before)


def _plan(desk: Desk, wanted: Wanted, terms: PlanTerms) -> list[Change]:
    plan = plans.plan_id(desk.book, wanted.code)
    stream = stream_of("plan", plan)
    state = desk.load(plans.evolve, stream).state
    made = _meters_made(desk, terms)
    if state is None:
        draft = PlanDraft(
            name=wanted.name,
            terms=terms,
            product=wanted.product,
            external_id=wanted.code,
            metadata=wanted.metadata,
        )
        add_plan(desk, plan, draft)
        return [*made, _created(wanted)]
    _refuse_retired(state.status)
    if state.product != (wanted.product or products.product_of_plan(plan)):
        message = "its product cannot change: sell the other product by another plan"
        raise CatalogueRefused(message)
    changed = _changed(wanted, state.name, state.metadata, state.newest.terms)
    desk.add(stream, plans.evolve, plans.describe(state, wanted.name, wanted.metadata))
    if terms == state.newest.terms:
        return [changed]
    effective_at = wanted.effective_at or desk.now
    add_price_version(desk, state, terms, effective_at)
    return [*made, _repriced(changed, effective_at)]


def _meters_made(desk: Desk, terms: PlanTerms) -> list[Change]:
    """List the event types that are charged for and get their meter by that."""
    codes = dict.fromkeys(code for _, code in meters_of(terms))
    streams = {code: stream_of(meters.PREFIX, meters.meter_id(desk.book, code)) for code in codes}
    return [
        Change(kind="meter", code=code, action="created")
        for code, stream in streams.items()
        if desk.load(meters.evolve, stream).state is None
    ]


def _coupon(desk: Desk, wanted: Wanted, terms: CouponTerms) -> Change:
    coupon = coupons.coupon_id(desk.book, wanted.code)
    stream = stream_of(coupons.PREFIX, coupon)
    state = desk.load(coupons.evolve, stream).state
    if state is None:
        events = coupons.create(coupon, wanted.code, wanted.name, terms, wanted.code, wanted.metadata)
        check_plans(desk, terms.plans)
        desk.add(stream, coupons.evolve, events)
        return _created(wanted)
    _refuse_retired(state.status)
    changed = _changed(wanted, state.name, state.metadata, state.terms)
    if changed.differences:
        told = "; ".join(f"{one.field} is {one.old}, not {one.new}" for one in changed.differences)
        message = f"a coupon never changes ({told}): give the other one a code of its own"
        raise coupons.CouponDiffers(message)
    return changed


# Where what may be gone is kept, and how it is retired.
_KEPT: Final[Mapping[str, tuple[str, Evolve, Callable[[Any, str], list[Any]]]]] = {
    "product": ("prod", products.evolve, products.retire),
    "meter": ("meter", meters.evolve, meters.retire),
    "tax_rate": ("tax", tax_rates.evolve, tax_rates.retire),
    "plan": ("plan", plans.evolve, plans.retire),
    "coupon": ("coup", coupons.evolve, coupons.retire),
}


def _is_active(desk: Desk, gone: Gone) -> bool:
    """Say whether an object is there to be retired: lists may trail the log."""
    prefix, evolve, _ = _KEPT[gone.kind]
    state = desk.load(evolve, stream_of(prefix, gone.id)).state
    return state is not None and state.status == "active"


def _retire(desk: Desk, gone: Gone) -> Change:
    prefix, evolve, retire = _KEPT[gone.kind]
    stream = stream_of(prefix, gone.id)
    desk.add(stream, evolve, retire(desk.load(evolve, stream).state, _GONE))
    return Change(kind=gone.kind, code=gone.code, action="retired")


def _refuse_retired(status: str) -> None:
    if status == "retired":
        message = "it is retired: take it out of the file, or give what replaces it another code"
        raise CatalogueRefused(message)


def _told(name: str, metadata: Mapping[str, str], terms: Terms) -> dict[str, object]:
    """Put together what is compared; a meter's and a tax rate's terms have the name in them."""
    told: dict[str, object] = {"name": name, "metadata": dict(metadata)}
    parts = [] if terms is None else [one.name for one in fields(terms)]
    return told | {name: getattr(terms, name) for name in parts if name not in ("code", "billing_entity")}


def _created(wanted: Wanted) -> Change:
    new = _told(wanted.name, wanted.metadata, wanted.terms)
    return Change(kind=wanted.kind, code=wanted.code, action="created", differences=differences({}, new))


def _changed(wanted: Wanted, name: str, metadata: Mapping[str, str], terms: Terms = None) -> Change:
    found = differences(_told(name, metadata, terms), _told(wanted.name, wanted.metadata, wanted.terms))
    action = "changed" if found else "unchanged"
    return Change(kind=wanted.kind, code=wanted.code, action=action, differences=found)


def _repriced(change: Change, effective_at: datetime) -> Change:
    return Change(
        kind=change.kind,
        code=change.code,
        action="repriced",
        differences=change.differences,
        effective_at=effective_at,
    )
