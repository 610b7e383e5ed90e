"""Random histories of subscriptions in memory: what may be asked of one, and who asks it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from commands.accounts import close_account
from commands.billing import settle_draft
from ledger.errors import Refusal, VersionConflict
from ledger.events.plan import SetupFee
from ledger.prices import Price
from tests.examples import charge, fee, graduated
from tests.memory_shop import open_shop

if TYPE_CHECKING:
    from ledger.events.plan import UsageCharge
    from tests.memory_shop import Shop

    Charges = dict[str, tuple[UsageCharge, ...]]

PRESETS: Final = ("stripe", "lago", "killbill", "polar", "openmeter")
ZONES: Final = ("UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia")
STARTS: Final = (
    datetime(2027, 1, 31, 12, 0, tzinfo=UTC),
    datetime(2027, 3, 14, 7, 30, tzinfo=UTC),  # in a night that New York's clocks jump
    datetime(2028, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2027, 10, 31, 5, 15, 0, 1, tzinfo=UTC),
)
MONTHLY: Final = ("pro", "seats", "calls", "arrears", "odd", "free")
PLANS: Final = (*MONTHLY, "yearly", "weekly")
METER: Final = "api_calls"
COUPONS: Final = ("HALF", "TENNER", "ALL", "CALLS")
NEVER: Final = timedelta(0)
Step = tuple[str, timedelta, bool, Any]


def after(*days: int) -> st.SearchStrategy[timedelta]:
    """Draw a wait of about so many days; the clock may stand still, or be a little behind the one before."""
    return st.just(NEVER) | st.builds(
        timedelta,
        days=st.sampled_from(days),
        seconds=st.integers(-5, 86_400),
        microseconds=st.sampled_from([0, 1, 999_999]),
    )


_SEATS = st.none() | st.integers(1, 5)
_NOTHING = st.none()
_SHORT = after(0, 1, 9, 14)
# What may be asked for: how often, after how long a wait, and with what.
_STEPS: Final[dict[str, tuple[int, st.SearchStrategy[timedelta], st.SearchStrategy[Any]]]] = {
    "change": (
        6,
        _SHORT,
        st.fixed_dictionaries(
            {
                "plan": st.none() | st.sampled_from(PLANS),
                "quantity": _SEATS,
                "at_period_end": st.sampled_from([None, False, False, True]),
                "prorates": st.sampled_from([True, True, True, False]),
                "at_once": st.sampled_from([None, True, False]),
            }
        ),
    ),
    "use": (6, _SHORT, st.tuples(st.integers(0, 300), st.integers(0, 40))),
    "wait": (3, after(14, 28, 31, 70), _NOTHING),
    "add": (2, _SHORT, st.tuples(st.sampled_from(MONTHLY), st.integers(1, 3))),
    "remove": (1, _SHORT, st.integers(0, 2)),
    "pause": (2, _SHORT, st.tuples(st.booleans(), st.none() | after(0, 3, 40))),
    "cancel": (1, _SHORT, st.tuples(st.booleans(), st.booleans(), st.none() | after(0, 5, 20))),
    "redeem": (1, _SHORT, st.sampled_from(COUPONS)),
    "settle": (1, after(0, 1, 3), st.integers(0, 2)),
}
_NAMES: Final = [name for name, (times, _, _) in _STEPS.items() for _ in range(times)]


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """Draw one thing that is asked for; mostly what is due by then has been done."""
    name = draw(st.sampled_from(_NAMES))
    _, waits, what = _STEPS[name]
    return name, draw(waits), draw(st.integers(0, 5)) != 0, draw(what)


histories = st.lists(steps(), min_size=6, max_size=20)
beginnings = st.fixed_dictionaries(
    {
        "plan": st.sampled_from(PLANS),
        "quantity": st.integers(1, 3),
        "trial_days": st.sampled_from([None, None, 0, 10]),
        "calendar": st.booleans(),
        "ends_after": st.none() | st.sampled_from([45, 400]),
        "begins_after": st.sampled_from([0, 0, 0, -70, 20]),
        "billed_through_after": st.sampled_from([None, None, None, -30, 5]),
        "coupon": st.sampled_from([None, None, *COUPONS]),
    }
)


@dataclass
class History:
    """A shop whose subscription goes through what is asked, refused or not."""

    shop: Shop
    plans: dict[str, str]
    charges: Charges
    settles: bool = True

    def do(self, one: Step) -> None:
        """Ask for one thing; being refused is an answer too."""
        name, wait, on_time, what = one
        now = max(STARTS[0], self.shop.now + wait)
        if on_time:
            self.shop.advance_to(now, settles=self.settles)
        self.shop.at(now)
        try:
            getattr(self, f"_{name}")(what)
        except VersionConflict:
            # Nobody else writes here: it would be two objects under one name.
            raise
        except Refusal:
            return

    def _change(self, wish: dict[str, Any]) -> None:
        plan = wish["plan"]
        self.shop.change(**{**wish, "plan": None if plan is None else self.plans[plan]})

    def _use(self, what: tuple[int, int]) -> None:
        quantity, days_late = what
        self.shop.use(quantity, occurred_at=self.shop.now - timedelta(days=min(days_late, 34)))

    def _wait(self, _: None) -> None:
        self.shop.advance()

    def _add(self, what: tuple[str, int]) -> None:
        name, quantity = what
        self.shop.add(self.plans[name], quantity)

    def _remove(self, number: int) -> None:
        items = [one.item for one in self.shop.state.items[1:]]
        self.shop.remove(items[number % len(items)] if items else "item_1")

    def _pause(self, what: tuple[bool, timedelta | None]) -> None:
        shifts, until = what
        self.shop.pause(shifts=shifts)
        if until is not None:
            self.shop.at(self.shop.now + until).resume()

    def _cancel(self, what: tuple[bool, bool, timedelta | None]) -> None:
        at_period_end, credit, until = what
        self.shop.cancel(at_period_end=at_period_end, credit=credit)
        if until is not None:
            self.shop.at(self.shop.now + until).reactivate()

    def _redeem(self, code: str) -> None:
        self.shop.redeem(code)

    def _settle(self, number: int) -> None:
        drafts = [one.draft.invoice for one in self.shop.invoices() if one.status == "draft"]
        if self.settles and len(drafts) > number:
            settle_draft(self.shop.context, drafts[number])

    def ends(self) -> None:
        """Close the account, let everything that is due happen, and settle what is left to be."""
        self.shop.at(self.shop.now + timedelta(seconds=5))
        if self.shop.state.status == "paused":
            self.shop.resume()
        close_account(self.shop.context, self.shop.account, "moved away")
        self.shop.advance_to(self.shop.now + timedelta(days=800))


def opened(preset: str, zone: str, start: datetime, beginning: dict[str, Any], **overrides: str) -> History:
    """Open a shop with its plans and coupons, and subscribe its account."""
    shop = open_shop(preset, start, zone, **overrides)
    terms = _terms(shop)
    plans = {name: shop.plan(name.title(), **one) for name, one in terms.items()}
    shop.coupon("HALF", percent_off=Decimal(50), duration="repeating", periods=2)
    shop.coupon("TENNER", amounts_off={"USD": 1000}, duration="forever")
    shop.coupon("ALL", percent_off=Decimal(100))
    shop.coupon("CALLS", percent_off=Decimal("12.5"), meters=(METER,), duration="forever")
    starts_at = start + timedelta(days=beginning["begins_after"])
    moved, contract = beginning["billed_through_after"], beginning["ends_after"]
    billed_through = None if moved is None else max(starts_at, start + timedelta(days=moved))
    ends_at = (
        None if contract is None else max(starts_at, billed_through or starts_at) + timedelta(days=contract)
    )
    shop.subscribe(
        plans[beginning["plan"]],
        beginning["coupon"],
        starts_at=starts_at,
        quantity=beginning["quantity"],
        trial_days=beginning["trial_days"],
        calendar=beginning["calendar"],
        ends_at=ends_at,
        billed_through=billed_through,
    )
    return History(shop, plans, {name: one.get("charges", ()) for name, one in terms.items()})


def _terms(shop: Shop) -> dict[str, dict[str, Any]]:
    taxed: dict[str, Any] = {"tax_rates": (shop.tax("19"),)}
    within: dict[str, Any] = {"tax_rates": (shop.tax("7", "inclusive"),)}
    tiers = graduated((100, 3), (None, 1))
    per_call = Price(model="per_unit", currency="USD", unit_amount=Decimal("0.7"))
    each = Price(model="percentage", currency="USD", rate=Decimal(50), free_events=1, event_min=Decimal(20))
    calls: dict[str, Any] = {"charges": (charge(tiers, minimums={"USD": 50}),)}
    return {
        "pro": {"fees": (fee(2900),), **taxed, "trial_days": 5},
        "seats": {"fees": (fee(1000), fee(333, "seat", per_seat=True, **within)), **calls},
        "calls": {**calls, "minimums": {"USD": 500}},
        "arrears": {"fees": (fee(777, "late", timing="arrears", per_seat=True), fee(100)), **taxed},
        "odd": {"fees": (fee(333),), "charges": (charge(per_call, **taxed),)},
        "free": {"fees": (fee(0),), "charges": (charge(each),)},
        "yearly": {"interval": "year", "fees": (fee(29_000),), **calls},
        "weekly": {
            "interval": "week",
            "fees": (fee(900),),
            "setup_fee": SetupFee(name="Set-up", amounts={"USD": 500}),
            **calls,
        },
    }
