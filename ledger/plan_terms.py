"""What terms a plan may have: checked once, when recorded, so that every later period can be billed."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from ledger.errors import Invalid
from ledger.money import MAX_AMOUNT, checked_amount, exponent
from ledger.periods import INTERVALS
from ledger.prices import checked_price
from ledger.values import (
    MAX_AMOUNT_DIGITS,
    MAX_METER_CHARACTERS,
    MAX_NAME_CHARACTERS,
    checked_code,
    checked_quantity,
    checked_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ledger.events.plan import PlanTerms, RecurringFee, SetupFee, UsageCharge

MAX_TRIAL_DAYS: Final = 730
MAX_PARTS: Final = 50
MAX_TAX_RATES: Final = 10
TIMINGS: Final = ("advance", "arrears")


class UnusableTerms(Invalid):
    """The terms cannot bill every period; `errors` says what to do, field by field."""

    code = "unusable_terms"


def currencies_of(terms: PlanTerms) -> frozenset[str]:
    """Name the currencies in which every part of the terms has a price."""
    parts = [frozenset(table) for _, table in _price_tables(terms)]
    return frozenset.intersection(*parts) if parts else frozenset()


def plain_price(terms: PlanTerms) -> tuple[str, int] | None:
    """Give what an interval costs without usage, for one seat, where the terms have one currency."""
    offered = currencies_of(terms)
    if len(offered) != 1:
        return None
    (currency,) = offered
    return currency, sum(fee.amounts[currency] for fee in terms.fees)


def checked_terms(terms: PlanTerms) -> PlanTerms:
    """Return terms that every period can be billed by, or refuse them with what to do about each part."""
    reasons: dict[str, list[str]] = {}
    for path, reason in _problems(terms):
        reasons.setdefault(path, []).append(reason)
    if reasons:
        path, (reason, *_) = next(iter(reasons.items()))
        raise UnusableTerms(f"{path}: {reason}", reasons)
    return terms


def meters_of(terms: PlanTerms) -> list[tuple[str, str]]:
    """List what the charges name as their meters, each with the field that names it."""
    return [(f"charges.{number}.meter", charge.meter) for number, charge in enumerate(terms.charges)]


def tax_rates_of(terms: PlanTerms) -> list[tuple[str, str]]:
    """List the tax rates that the terms name, each with the field that names it."""
    return [
        (f"{path}.{number}", tax_rate)
        for path, named in _tax_rate_lists(terms)
        for number, tax_rate in enumerate(named)
    ]


def products_of(terms: PlanTerms) -> list[tuple[str, str]]:
    """List the products that parts of the terms name, each with the field that names it."""
    return [(f"{path}.product", part.product) for path, part in _parts(terms) if part.product is not None]


def _problems(terms: PlanTerms) -> Iterator[tuple[str, str]]:
    if terms.interval not in INTERVALS:
        yield "interval", f"must be one of {', '.join(INTERVALS)}"
    if not 0 <= terms.trial_days <= MAX_TRIAL_DAYS:
        yield "trial_days", f"must be from 0 to {MAX_TRIAL_DAYS}"
    yield from _code_problems("fees", "code", [fee.code for fee in terms.fees])
    yield from _code_problems("charges", "code", [charge.code for charge in terms.charges])
    yield from _code_problems("entitlements", "feature", [one.feature for one in terms.entitlements])
    for number, fee in enumerate(terms.fees[:MAX_PARTS]):
        yield from _fee_problems(fee, f"fees.{number}")
    for number, charge in enumerate(terms.charges[:MAX_PARTS]):
        yield from _charge_problems(charge, f"charges.{number}")
    for number, one in enumerate(terms.entitlements[:MAX_PARTS]):
        yield from _text(f"entitlements.{number}.feature", one.feature, MAX_METER_CHARACTERS)
        if one.limit is not None:
            yield from _refusal(f"entitlements.{number}.limit", partial(checked_quantity, one.limit))
    if terms.setup_fee is not None:
        yield from _text("setup_fee.name", terms.setup_fee.name, MAX_NAME_CHARACTERS)
        yield from _amount_problems(terms.setup_fee.amounts, "setup_fee.amounts")
    yield from _amount_problems(terms.minimums, "minimums")
    for path, named in _tax_rate_lists(terms):
        yield from _tax_rate_problems(path, named)
    yield from _currency_problems(terms)
    yield from _total_problems(terms)


def _fee_problems(fee: RecurringFee, path: str) -> Iterator[tuple[str, str]]:
    yield from _refusal(f"{path}.code", partial(checked_code, fee.code))
    yield from _text(f"{path}.name", fee.name, MAX_NAME_CHARACTERS)
    if fee.timing not in TIMINGS:
        yield f"{path}.timing", f"must be one of {', '.join(TIMINGS)}"
    yield from _amount_problems(fee.amounts, f"{path}.amounts")


def _charge_problems(charge: UsageCharge, path: str) -> Iterator[tuple[str, str]]:
    yield from _refusal(f"{path}.code", partial(checked_code, charge.code))
    yield from _text(f"{path}.name", charge.name, MAX_NAME_CHARACTERS)
    yield from _text(f"{path}.meter", charge.meter, MAX_METER_CHARACTERS)
    yield from _amount_problems(charge.minimums, f"{path}.minimums")
    for number, (currency, price) in enumerate(charge.prices.items()):
        if price.currency != currency:
            yield f"{path}.prices.{number}.currency", f"must be {currency}, under which the price stands"
            continue
        try:
            checked_price(price, f"{path}.prices.{number}")
        except Invalid as error:
            yield from ((field, reason) for field, reasons in error.errors.items() for reason in reasons)


def _amount_problems(amounts: Mapping[str, int], path: str) -> Iterator[tuple[str, str]]:
    for currency, amount in amounts.items():
        field = f"{path}.{currency[:16]}"
        refusals = [
            *_refusal(field, partial(exponent, currency)),
            *_refusal(field, partial(checked_amount, amount)),
        ]
        yield from refusals
        if not refusals and amount < 0:
            yield field, "must not be negative"


def _tax_rate_problems(path: str, named: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(named) > MAX_TAX_RATES:
        yield path, f"must be at most {MAX_TAX_RATES}"
    elif len(set(named)) != len(named):
        yield path, "must name each tax rate only once"


def _currency_problems(terms: PlanTerms) -> Iterator[tuple[str, str]]:
    """Refuse a plan that can be sold in no currency, or that has a minimum where it has no price."""
    tables = _price_tables(terms)
    offered = currencies_of(terms)
    for path, table in tables:
        if not table:
            yield path, "must hold at least one currency"
    if not tables:
        yield "fees", "must hold a fee, or else there must be a charge: a free plan has a fee of 0"
    elif all(table for _, table in tables) and not offered:
        listed = "; ".join(f"{path} in {', '.join(sorted(table))}" for path, table in tables)
        yield tables[-1][0], f"must share a currency with all other prices: {listed}"
    minimums: list[tuple[str, Iterable[str]]] = [("minimums", terms.minimums)]
    minimums += [(f"charges.{number}.minimums", one.minimums) for number, one in enumerate(terms.charges)]
    for path, currencies in minimums:
        for currency in currencies:
            if offered and currency not in offered:
                yield (
                    f"{path}.{currency[:16]}",
                    f"must be in {' or '.join(sorted(offered))}, as the prices are",
                )


def _total_problems(terms: PlanTerms) -> Iterator[tuple[str, str]]:
    """Refuse fees that are small enough each, but whose sum nothing could hold."""
    totals: Counter[str] = Counter()
    for fee in terms.fees:
        totals.update(fee.amounts)
    for currency, total in totals.items():
        if total > MAX_AMOUNT and all(fee.amounts.get(currency, 0) <= MAX_AMOUNT for fee in terms.fees):
            yield "fees", f"must add up to at most {MAX_AMOUNT_DIGITS} digits in {currency[:16]}"


def _price_tables(terms: PlanTerms) -> list[tuple[str, Mapping[str, object]]]:
    tables: list[tuple[str, Mapping[str, object]]] = [
        (f"fees.{number}.amounts", fee.amounts) for number, fee in enumerate(terms.fees)
    ]
    tables += [(f"charges.{number}.prices", one.prices) for number, one in enumerate(terms.charges)]
    if terms.setup_fee is not None:
        tables.append(("setup_fee.amounts", terms.setup_fee.amounts))
    return tables


def _parts(terms: PlanTerms) -> Iterator[tuple[str, RecurringFee | UsageCharge | SetupFee]]:
    yield from ((f"fees.{number}", fee) for number, fee in enumerate(terms.fees))
    yield from ((f"charges.{number}", charge) for number, charge in enumerate(terms.charges))
    if terms.setup_fee is not None:
        yield "setup_fee", terms.setup_fee


def _tax_rate_lists(terms: PlanTerms) -> Iterator[tuple[str, Sequence[str]]]:
    yield "tax_rates", terms.tax_rates
    yield from ((f"{path}.tax_rates", part.tax_rates) for path, part in _parts(terms))


def _code_problems(path: str, name: str, codes: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(codes) > MAX_PARTS:
        yield path, f"must be at most {MAX_PARTS}"
    repeated = sorted(code for code, times in Counter(codes).items() if times > 1)
    if repeated:
        yield path, f"must each have a {name} of their own: {repeated[0][:64]} stands there twice"


def _text(path: str, value: str, limit_characters: int) -> Iterator[tuple[str, str]]:
    return _refusal(path, partial(checked_text, value, limit_characters, path))


def _refusal(path: str, check: Callable[[], object]) -> Iterator[tuple[str, str]]:
    """Give what a check of one value refuses, under the path of the value."""
    try:
        check()
    except Invalid as error:
        yield path, next(iter(error.errors.values()))[0]
