"""What a prepaid grant may be: its kinds, its limits, and a check that tells every trouble by its field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ledger.errors import Invalid
from ledger.money import checked_amount, exponent
from ledger.values import (
    MAX_IDENTITY_CHARACTERS,
    MAX_METER_CHARACTERS,
    MAX_NAME_CHARACTERS,
    checked_text,
    checked_time,
    instant_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ledger.events.credit import CreditGranted

PAID: Final = "paid"
PROMOTIONAL: Final = "promotional"
KINDS: Final = (PAID, PROMOTIONAL)
DEFAULT_PRIORITY: Final = 50
MAX_PRIORITY: Final = 100
MAX_RESTRICTIONS: Final = 100
MAX_METHOD_CHARACTERS: Final = 40


class UnusableGrant(Invalid):
    """The grant cannot be as it is asked for; `errors` says what to do, field by field."""

    code = "unusable_credit_grant"


def checked_grant(asked: CreditGranted) -> CreditGranted:
    """Return a grant that can be, or refuse it with all that is wrong with it."""
    errors: dict[str, list[str]] = {}
    for path, reason in _problems(asked):
        errors.setdefault(path, []).append(reason)
    if errors:
        path, (reason, *_) = next(iter(errors.items()))
        raise UnusableGrant(f"{path}: {reason}", errors)
    return asked


def _problems(asked: CreditGranted) -> Iterator[tuple[str, str]]:
    if asked.kind not in KINDS:
        yield "kind", f"must be one of {', '.join(KINDS)}"
    if asked.kind == PROMOTIONAL and asked.method is not None:
        yield "method", "is for a paid grant: leave it out of a promotional one"
    if not 0 <= asked.priority <= MAX_PRIORITY:
        yield "priority", f"must be from 0 to {MAX_PRIORITY}"
    ends = asked.expires_at
    if ends is not None:
        yield from _caught("expires_at", lambda: checked_time(ends))
        if ends <= asked.granted_at:
            yield "expires_at", f"must be later than {instant_text(asked.granted_at)}, which is now"
    yield from _caught("currency", lambda: exponent(asked.currency))
    yield from _caught("amount", lambda: checked_amount(asked.amount))
    if asked.amount <= 0:
        yield "amount", "must be greater than 0"
    for name, text, limit in (
        ("name", asked.name, MAX_NAME_CHARACTERS),
        ("reference", asked.reference, MAX_IDENTITY_CHARACTERS),
        ("method", asked.method, MAX_METHOD_CHARACTERS),
    ):
        if text is not None:
            yield from _caught(name, lambda: checked_text(text, limit, name))  # noqa: B023 - called at once
    yield from _scope_problems(asked)


def _scope_problems(asked: CreditGranted) -> Iterator[tuple[str, str]]:
    for name, named in (("plans", asked.scope.plans), ("meters", asked.scope.meters)):
        if len(named) > MAX_RESTRICTIONS:
            yield f"scope.{name}", f"must be at most {MAX_RESTRICTIONS}"
        elif len(set(named)) != len(named):
            yield f"scope.{name}", "must name each only once"
    for number, meter in enumerate(asked.scope.meters[:MAX_RESTRICTIONS]):
        path = f"scope.meters.{number}"
        yield from _caught(path, lambda: checked_text(meter, MAX_METER_CHARACTERS, "meter"))  # noqa: B023 - as above


def _caught(path: str, check: Callable[[], object]) -> Iterator[tuple[str, str]]:
    """Give what a check refuses, under a path."""
    try:
        check()
    except Invalid as error:
        yield path, next(iter(error.errors.values()))[0]
