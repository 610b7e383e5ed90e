"""Corrections of usage over HTTP: a preview, a commit, and what is billed next, on a test book's clock."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from commands.context import Context
from commands.explaining import recompute
from commands.log import set_event_aside
from ledger.errors import Unavailable
from ledger.events import Actor
from ledger.identifiers import stream_of
from projections.scanned import ScannedUsage
from tests.acme import at_once
from tests.integration.http_world import Caller, http_world, ok, position_of, refused
from tests.integration.schedule_world import following

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.http_world import HttpWorld
    from tests.postgres import Database

PATH = "/v1/usage/corrections"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SOURCE = "gateway"
# A cent a call, the first hundred free of charge; half a dollar for each gigabyte at the peak.
CALLS = {
    "code": "calls",
    "meter": "calls",
    "prices": [
        {
            "model": "graduated",
            "currency": "USD",
            "tiers": [{"up_to": "100", "unit_amount": "0"}, {"unit_amount": "1"}],
        }
    ],
}
PEAK = {
    "code": "peak",
    "meter": "peak",
    "prices": [{"model": "per_unit", "currency": "USD", "unit_amount": "50"}],
}
FEE = {"code": "base", "name": "Base", "amounts": {"USD": 1000}}
QUOTA = {"feature": "calls", "limit": "500", "hard": True}


@pytest.fixture
def world(database: Database) -> Iterator[HttpWorld]:
    with http_world(database) as made, following(database):
        yield made


class Seller:
    """An operator of a test book, with a plan that bills usage, and its clock."""

    def __init__(self, world: HttpWorld, policy: dict[str, str] | None = None, **terms: Any) -> None:
        self.world = world
        self.operator: Caller = world.test_operator
        self.now = BEGIN
        self.to(BEGIN)
        if policy is not None:
            ok(self.operator.post("/v1/policy", {"preset": "stripe", "overrides": policy}))
        meter = {"code": "peak", "event_type": "storage", "aggregation": "max", "property": "gb"}
        ok(self.operator.post("/v1/meters", meter), 201)
        plan = {"name": "Metered", "fees": [FEE], "charges": [CALLS, PEAK], "entitlements": [QUOTA], **terms}
        self.plan = ok(self.operator.post("/v1/plans", plan), 201)["id"]
        self.account = self.operator.new_account()
        self.subscription = self.subscribe(self.account)

    def subscribe(self, account: str) -> str:
        body = {"plan": self.plan}
        return str(ok(self.operator.post(f"/v1/accounts/{account}/subscriptions", body), 201)["id"])

    def to(self, now: datetime) -> None:
        """Turn the clock."""
        self.now = now
        answered = ok(self.operator.call("PUT", "/v1/test-clock", {"now": text(now)}))
        assert answered["refused"] == []

    def use(self, event_id: str, quantity: Any, account: str | None = None, **more: Any) -> None:
        """Use calls now, or something else."""
        data = {"quantity": quantity, **more.pop("data", {})}
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": SOURCE,
            "type": "calls",
            "subject": account or self.account,
            "time": text(self.now),
            "data": data,
            **more,
        }
        answered = ok(self.operator.post("/v1/usage", {"events": [event]}))
        assert answered["accepted"] == 1, answered

    def correct(self, *corrections: dict[str, Any], **more: Any) -> dict[str, Any]:
        body = {"corrections": list(corrections), "reason": "counted twice", **more}
        return ok(self.operator.post(PATH, body))

    def invoices(self, account: str | None = None) -> list[dict[str, Any]]:
        """Give an account's invoices, the oldest first."""
        path, head = f"/v1/accounts/{account or self.account}/invoices", self.world.log.head()
        found = ok(self.operator.get(path, limit=500, at_least=head))["data"]
        return [ok(self.operator.get(f"/v1/invoices/{one['id']}")) for one in reversed(found)]

    def lines(self, kind: str = "usage") -> list[list[int]]:
        """Give, for each invoice, the amounts of its lines of a kind."""
        return [
            [line["amount"]["amount"] for line in one["lines"] if line["kind"] == kind]
            for one in self.invoices()
        ]

    def all_explained(self) -> None:
        """Hold every invoice against the log: by the read models, and by the log alone."""
        for one in self.invoices():
            explained = ok(self.operator.get(f"/v1/invoices/{one['id']}/explain"))
            assert (explained["equal"], explained["differences"]) == (True, [])
            assert recompute(self.context(), one["id"]).equal

    def context(self) -> Context:
        """Work in the test book, and measure by the log alone."""
        actor = Actor(principal="tests", kind="person")
        book = stream_of("book", self.world.founded.test_book)
        log, settings = self.world.log, self.world.settings
        return Context(log, settings, book, actor, "a test", self.now, os.urandom, measure=ScannedUsage(log))


def text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def void(event_id: str) -> dict[str, Any]:
    return {"source": SOURCE, "id": event_id, "void": True}


def replaced(event_id: str, quantity: Any, **more: Any) -> dict[str, Any]:
    return {"source": SOURCE, "id": event_id, "quantity": quantity, **more}


def usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


# -- use, invoice, correct, next invoice ------------------------------------------------------------------


def test_what_was_invoiced_is_corrected_on_the_next_invoice_as_the_preview_said(world: HttpWorld) -> None:
    seller = Seller(world)
    seller.to(BEGIN + DAY)
    for number in range(5):
        seller.use(f"e{number}", "80")
    seller.to(BEGIN + 40 * DAY)
    (first, second) = seller.invoices()
    assert seller.lines() == [[], [0, 300]]
    asked = [void("e0"), replaced("e1", "60.0"), replaced("e2", 80)]
    preview = seller.correct(*asked, preview=True)
    assert [one["changed"] for one in preview["corrections"]] == [True, True, False]
    assert preview["usage"] == [
        {"account": seller.account, "meter": "calls", "quantity": "-100", "events": -1}
    ]
    (charge,) = preview["charges"]
    assert (charge["invoices"], charge["subscription"]) == (
        [{"id": second["id"], "number": second["number"], "status": "open"}],
        seller.subscription,
    )
    assert charge["line"] == next(line["id"] for line in second["lines"] if line["kind"] == "usage")
    assert (charge["service_from"], charge["service_to"]) == (text(BEGIN), text(BEGIN + 31 * DAY))
    assert [charge[name] for name in ("billed", "before", "after", "difference")] == [
        usd(300),
        usd(300),
        usd(200),
        usd(-100),
    ]
    assert preview["settlements"] == [
        {
            "account": seller.account,
            "subscription": seller.subscription,
            "settled_by": "next_invoice",
            "invoice": None,
            "due_at": text(BEGIN + 59 * DAY),
            "before": usd(1000),
            "after": usd(900),
            "difference": usd(-100),
        }
    ]
    assert (preview["totals"], preview["quotas"], preview["position"]) == ([usd(-100)], [], None)
    made = seller.correct(*asked)
    assert {**made, "preview": True, "position": None} == {
        **preview,
        "corrections": [
            {**one, "position": placed["position"]}
            for one, placed in zip(preview["corrections"], made["corrections"], strict=True)
        ],
    }
    assert [one["position"] for one in made["corrections"]] == [made["position"] - 1, made["position"], None]
    seller.to(BEGIN + 60 * DAY)
    assert seller.lines("usage_adjustment") == [[], [], [-100]]
    third = seller.invoices()[2]
    assert third["total"] == usd(900)
    (line,) = [one for one in third["lines"] if one["kind"] == "usage_adjustment"]
    assert line["description"] == "calls, usage that was corrected"
    assert line["adjusts_line"] == charge["line"]
    assert (line["usage"]["events"], line["usage"]["quantity"]) == (-1, "-100")
    assert seller.invoices()[:2] == [first, second], "what was issued stays as it was"
    seller.to(BEGIN + 120 * DAY)
    assert seller.lines("usage_adjustment")[3:] == [[], []], "and it is credited once"
    seller.all_explained()


def test_usage_of_a_year_ago_that_was_void_is_credited_on_the_next_invoice(world: HttpWorld) -> None:
    seller = Seller(world)
    seller.to(BEGIN + DAY)
    seller.use("old", "400")
    seller.to(BEGIN + 380 * DAY)
    assert len(seller.invoices()) == 13
    seller.correct(void("old"))
    seller.to(BEGIN + 400 * DAY)
    assert seller.lines("usage_adjustment") == [[]] * 13 + [[-300]]
    seller.all_explained()


def test_a_correction_can_be_taken_back_before_or_after_it_was_billed(world: HttpWorld) -> None:
    seller = Seller(world)
    seller.to(BEGIN + DAY)
    seller.use("e", "400")
    seller.to(BEGIN + 40 * DAY)
    seller.correct(void("e"))
    again = seller.correct(replaced("e", "400"))
    assert (again["charges"][0]["before"], again["charges"][0]["after"]) == (usd(0), usd(300))
    seller.to(BEGIN + 60 * DAY)
    assert seller.lines("usage_adjustment") == [[], [], []]
    seller.correct(void("e"))
    seller.to(BEGIN + 100 * DAY)
    seller.correct(replaced("e", "500"))
    seller.to(BEGIN + 130 * DAY)
    assert seller.lines("usage_adjustment") == [[], [], [], [-300], [400]]
    seller.all_explained()


def test_an_aggregate_that_does_not_add_up_is_measured_anew(world: HttpWorld) -> None:
    seller = Seller(world)
    seller.to(BEGIN + DAY)
    for number, gigabytes in enumerate((5, 9.5, 7)):
        seller.use(f"s{number}", "1", type="storage", data={"gb": gigabytes, "disk": "a"})
    seller.to(BEGIN + 40 * DAY)
    assert seller.lines()[1] == [475]
    preview = seller.correct(replaced("s1", "1", properties={"gb": 6.5}), preview=True)
    (one,) = preview["corrections"]
    assert one["was"] == {"quantity": "1", "properties": {"gb": "9.5", "disk": "a"}}
    assert one["becomes"] == {"quantity": "1", "properties": {"gb": "6.5"}}
    assert preview["usage"][0]["quantity"] == "0"
    assert preview["charges"][0]["difference"] == usd(-125)
    seller.correct(replaced("s1", "1", properties={"gb": 6.5}))
    seller.to(BEGIN + 60 * DAY)
    assert seller.lines("usage_adjustment")[2] == [-125]
    seller.all_explained()


def test_a_draft_takes_corrections_in(world: HttpWorld) -> None:
    seller = Seller(world, {"grace_hours": "48"})
    seller.to(BEGIN + DAY)
    seller.use("e", "400")
    seller.to(BEGIN + 32 * DAY)
    draft = seller.invoices()[1]
    assert draft["status"] == "draft"
    preview = seller.correct(void("e"), preview=True)
    (settlement,) = preview["settlements"]
    assert (settlement["settled_by"], settlement["invoice"]) == ("draft", draft["id"])
    assert settlement["due_at"] == text(BEGIN + 33 * DAY)
    assert settlement["difference"] == usd(-300)
    seller.correct(void("e"))
    seller.to(BEGIN + 65 * DAY)
    issued = seller.invoices()[1]
    assert (issued["status"], issued["total"]) == ("open", settlement["after"])
    assert seller.lines("usage_adjustment") == [[], [], []]
    seller.all_explained()


def test_a_policy_of_credit_notes_gives_the_difference_back_by_one(world: HttpWorld) -> None:
    seller = Seller(world, {"late_usage": "credit_note"})
    seller.to(BEGIN + DAY)
    seller.use("e", "400")
    seller.to(BEGIN + 40 * DAY)
    preview = seller.correct(void("e"), preview=True)
    (settlement,) = preview["settlements"]
    assert (settlement["settled_by"], settlement["difference"]) == ("credit_note", usd(-300))
    seller.correct(void("e"))
    seller.to(BEGIN + 60 * DAY)
    assert seller.lines("usage_adjustment") == [[], [], []]
    path = f"/v1/accounts/{seller.account}/credit-notes"
    notes = ok(seller.operator.get(path, at_least=world.log.head()))["data"]
    assert [note["total"] for note in notes] == [usd(300)]
    seller.all_explained()


def test_taxes_discounts_and_minimums_are_in_what_the_preview_says_will_be_settled(world: HttpWorld) -> None:
    operator = world.test_operator
    ok(operator.call("PUT", "/v1/test-clock", {"now": text(BEGIN)}))
    vat = {"name": "VAT", "jurisdiction": "DE", "percent": "19", "behaviour": "exclusive"}
    rate = ok(operator.post("/v1/tax-rates", vat), 201)["id"]
    calls = {**CALLS, "minimums": {"USD": 250}}
    seller = Seller(world, tax_rates=[rate], charges=[calls, PEAK])
    seller.to(BEGIN + DAY)
    seller.use("e", "400")
    seller.to(BEGIN + 40 * DAY)
    preview = seller.correct(void("e"), preview=True)
    (charge,), (settlement,) = preview["charges"], preview["settlements"]
    assert charge["difference"] == usd(-300)
    # 300 less, but 250 are asked for at least; 19 % on the 50.
    before = settlement["before"]["amount"]
    assert settlement["difference"]["amount"] in (-59, -60)
    seller.correct(void("e"))
    seller.to(BEGIN + 60 * DAY)
    assert seller.invoices()[2]["total"] == settlement["after"]
    assert settlement["after"]["amount"] - before == settlement["difference"]["amount"]
    seller.all_explained()


def ended(world: HttpWorld, policy: dict[str, str] | None = None) -> Seller:
    """Give a seller whose subscription has ended after it used 400 calls."""
    seller = Seller(world, policy)
    seller.to(BEGIN + DAY)
    seller.use("e", "400")
    seller.to(BEGIN + 40 * DAY)
    path = f"/v1/subscriptions/{seller.subscription}/cancel"
    ok(seller.operator.post(path, {"at_period_end": False, "credit": False}))
    seller.to(BEGIN + 200 * DAY)
    return seller


@pytest.mark.parametrize("policy", [None, {"grace_hours": "48"}])
def test_what_a_subscription_that_has_ended_is_owed_is_settled_at_once(
    world: HttpWorld, policy: dict[str, str] | None
) -> None:
    seller = ended(world, policy)
    before = seller.invoices()
    preview = seller.correct(void("e"), preview=True)
    assert seller.invoices() == before
    (settlement,) = preview["settlements"]
    assert (settlement["settled_by"], settlement["due_at"], settlement["invoice"]) == ("invoice", None, None)
    assert (settlement["before"], settlement["after"]) == (usd(0), usd(-300))
    made = seller.operator.post(PATH, {"corrections": [void("e")], "reason": "a test"})
    issued = seller.invoices()[-1]
    assert ok(made)["settlements"] == [{**settlement, "invoice": issued["id"]}]
    assert position_of(made) == world.log.head() > ok(made)["position"]
    assert (issued["total"], issued["issued_on"]) == (usd(-300), (BEGIN + 200 * DAY).date().isoformat())
    assert len(seller.invoices()) == len(before) + 1
    assert seller.correct(void("e"))["settlements"] == []
    assert len(seller.invoices()) == len(before) + 1
    seller.correct(replaced("e", "500"))
    assert [one["total"] for one in seller.invoices()[-2:]] == [usd(-300), usd(400)]
    seller.all_explained()


def test_what_a_subscription_that_has_ended_is_owed_may_be_given_back_by_credit_note(
    world: HttpWorld,
) -> None:
    seller = ended(world, {"late_usage": "credit_note"})
    count = len(seller.invoices())
    (settlement,) = seller.correct(void("e"))["settlements"]
    assert (settlement["settled_by"], settlement["difference"]) == ("credit_note", usd(-300))
    path = f"/v1/accounts/{seller.account}/credit-notes"
    notes = ok(seller.operator.get(path, at_least=world.log.head()))["data"]
    assert ([note["total"] for note in notes], len(seller.invoices())) == ([usd(300)], count)


def test_what_was_not_settled_after_all_is_when_the_request_is_sent_again(world: HttpWorld) -> None:
    seller = ended(world)
    count = len(seller.invoices())
    body = {"corrections": [void("e")], "reason": "a test"}
    with patch("api.resources.usage_corrections.settle_ended", side_effect=Unavailable("gone")):
        refused(seller.operator.post(PATH, body, Idempotency_Key="one"), 503)
    assert len(seller.invoices()) == count
    again = seller.operator.post(PATH, body, Idempotency_Key="one")
    assert [one["changed"] for one in ok(again)["corrections"]] == [False]
    assert [one["total"] for one in seller.invoices()[count:]] == [usd(-300)]
    replayed = seller.operator.post(PATH, body, Idempotency_Key="one")
    assert (ok(replayed), replayed.headers["Idempotent-Replayed"]) == (ok(again), "true")
    assert position_of(replayed) == position_of(again) == world.log.head()


def test_the_draft_of_a_subscription_that_has_ended_takes_corrections_in(world: HttpWorld) -> None:
    seller = Seller(world, {"grace_hours": "48"})
    seller.to(BEGIN + DAY)
    seller.use("e", "400")
    seller.to(BEGIN + 2 * DAY)
    path = f"/v1/subscriptions/{seller.subscription}/cancel"
    ok(seller.operator.post(path, {"at_period_end": False, "credit": False}))
    (settlement,) = seller.correct(void("e"))["settlements"]
    assert (settlement["settled_by"], settlement["difference"]) == ("draft", usd(-300))
    seller.to(BEGIN + 40 * DAY)
    assert len(seller.invoices()) == 2
    assert (seller.invoices()[1]["status"], seller.invoices()[1]["total"]) == ("paid", usd(0))
    seller.all_explained()


def test_what_is_paused_is_settled_when_it_is_billed_again(world: HttpWorld) -> None:
    seller = Seller(world)
    seller.to(BEGIN + DAY)
    seller.use("e", "400")
    seller.to(BEGIN + 40 * DAY)
    ok(seller.operator.post(f"/v1/subscriptions/{seller.subscription}/pause"))
    (settlement,) = seller.correct(void("e"))["settlements"]
    assert (settlement["settled_by"], settlement["due_at"]) == ("next_invoice", None)
    assert settlement["difference"] == usd(-300)
    seller.to(BEGIN + 70 * DAY)
    ok(seller.operator.post(f"/v1/subscriptions/{seller.subscription}/resume"))
    seller.to(BEGIN + 100 * DAY)
    assert [amounts for amounts in seller.lines("usage_adjustment") if amounts] == [[-300]]
    seller.all_explained()


def test_quotas_of_the_present_period_are_shown_before_and_after(world: HttpWorld) -> None:
    seller = Seller(world)
    seller.to(BEGIN + DAY)
    seller.use("e0", "400")
    seller.use("e1", "50")
    preview = seller.correct(void("e0"), preview=True)
    assert (preview["charges"], preview["settlements"], preview["totals"]) == ([], [], [])
    assert preview["quotas"] == [
        {
            "account": seller.account,
            "feature": "calls",
            "limit": "500",
            "period_from": text(BEGIN),
            "resets_at": text(BEGIN + 31 * DAY),
            "before": {"used": "450", "remaining": "50"},
            "after": {"used": "50", "remaining": "450"},
        }
    ]
    path = f"/v1/accounts/{seller.account}/quota"
    assert ok(seller.operator.get(path))["quotas"][0]["used"] == "450"
    position = seller.correct(void("e0"))["position"]
    assert ok(seller.operator.get(path, at_least=position))["quotas"][0]["used"] == "50"
    usage = ok(seller.operator.get(f"/v1/accounts/{seller.account}/usage", at_least=position))
    assert [(one["quantity"], one["events"]) for one in usage["totals"]] == [("50", 1)]
    seller.to(BEGIN + 32 * DAY)
    assert seller.lines() == [[], [0]], "what is not invoiced yet is invoiced right"
    seller.all_explained()


def test_many_accounts_are_corrected_at_once(world: HttpWorld, caplog: pytest.LogCaptureFixture) -> None:
    seller = Seller(world)
    accounts = [seller.operator.new_account(f"Bob {number}") for number in range(5)]
    for account in accounts:
        seller.subscribe(account)
    seller.to(BEGIN + DAY)
    for number, account in enumerate(accounts):
        seller.use(f"e{number}", 200 + 100 * number, account)
    seller.to(BEGIN + 40 * DAY)
    made = seller.correct(*(void(f"e{number}") for number in range(5)))
    differences = {one["account"]: one["difference"]["amount"] for one in made["settlements"]}
    assert differences == {account: -100 * (number + 1) for number, account in enumerate(accounts)}
    assert made["totals"] == [usd(-1500)]
    seller.to(BEGIN + 60 * DAY)
    for account in accounts:
        assert seller.invoices(account)[2]["total"] == usd(1000 + differences[account])
    assert caplog.messages == [], "they are billed together, not one by one"


def test_the_events_behind_a_line_are_the_recorded_ones_and_their_corrections(world: HttpWorld) -> None:
    seller = Seller(world)
    seller.to(BEGIN + DAY)
    for number in range(3):
        seller.use(f"e{number}", "100")
    seller.to(BEGIN + 40 * DAY)
    made = seller.correct(void("e1"))
    seller.to(BEGIN + 60 * DAY)
    _, second, third = seller.invoices()

    def behind(invoice: dict[str, Any], kind: str) -> list[tuple[str, int]]:
        line = next(one for one in invoice["lines"] if one["kind"] == kind)
        url = f"/v1/invoices/{invoice['id']}/lines/{line['id']}/events"
        return [(one["type"], one["position"]) for one in ok(seller.operator.get(url))["data"]]

    assert [kind for kind, _ in behind(second, "usage")] == ["usage.recorded"] * 3
    assert behind(third, "usage_adjustment") == [("usage.corrected", made["position"])]


# -- what is refused --------------------------------------------------------------------------------------


def test_all_are_made_or_none_and_every_refusal_is_told_by_its_place(world: HttpWorld) -> None:
    seller = Seller(world)
    seller.use("e0", "5")
    body = {
        "corrections": [
            void("e0"),
            void("nobody sent this"),
            replaced("e0", "1"),
            {"source": SOURCE, "id": "e0", "quantity": "-1"},
        ],
        "reason": "a test",
    }
    problem = refused(seller.operator.post(PATH, body), 422, "corrections_refused")
    assert problem["errors"].keys() == {f"corrections.{number}.id" for number in (1, 2, 3)}
    assert "there is no usage event of this source and id" in problem["errors"]["corrections.1.id"][0]
    assert "corrections.0" in problem["errors"]["corrections.2.id"][0]
    preview = {**body, "preview": True}
    assert refused(seller.operator.post(PATH, preview), 422)["errors"] == problem["errors"]
    again = seller.correct(void("e0"))
    assert again["corrections"][0]["was"] == {"quantity": "5", "properties": {}}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"quantity": "-1"}, "corrections.0.quantity"),
        ({"quantity": "1e30"}, "corrections.0.quantity"),
        ({"quantity": "x"}, "corrections.0.quantity"),
        ({"quantity": True}, "corrections.0.quantity"),
        ({"quantity": None}, "corrections.0.quantity"),
        ({"quantity": 0.1234567890123}, "corrections.0.quantity"),
        ({"void": True}, "corrections.0.quantity"),
        ({"void": "yes"}, "corrections.0.void"),
        ({"properties": {"a": [1]}}, "corrections.0.properties.a"),
        ({"properties": {"": 1}}, "corrections.0.properties."),
        ({"properties": {f"p{number}": 1 for number in range(51)}}, "corrections.0.properties"),
        ({"account": "acc_1"}, "corrections.0.account"),
        ({"id": ""}, "corrections.0.id"),
    ],
)
def test_what_is_outside_the_value_domain_is_refused_by_its_field(
    world: HttpWorld, change: dict[str, Any], field: str
) -> None:
    seller = Seller(world)
    seller.use("e0", "5")
    body = {"corrections": [{**replaced("e0", "1"), **change}], "reason": "a test"}
    assert refused(seller.operator.post(PATH, body), 422)["errors"].keys() == {field}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"corrections": [], "reason": "none"},
        {"corrections": [{"source": SOURCE, "id": f"e{number}", "void": True} for number in range(1001)]},
        {"corrections": [{"source": SOURCE, "id": "e0", "void": True}]},
        {"corrections": [{"source": SOURCE, "id": "e0", "void": True}], "reason": " "},
        {"corrections": [{"source": SOURCE, "id": "e0", "void": True}], "reason": "r", "preview": "true"},
    ],
)
def test_what_is_no_request_for_corrections_is_refused(world: HttpWorld, body: dict[str, Any]) -> None:
    refused(world.test_operator.post(PATH, body), 422)


def test_numbers_are_read_as_they_are_written(world: HttpWorld) -> None:
    seller = Seller(world)
    seller.use("e0", "5")
    digits = "123456789012345678.123456789012"
    raw = (
        f'{{"corrections":[{{"source":"{SOURCE}","id":"e0","quantity":{digits},'
        f'"properties":{{"gb":0.100000000001}}}}],"reason":"a test"}}'
    )
    made = ok(seller.operator.send(PATH, raw, "application/json"))
    assert made["corrections"][0]["becomes"] == {"quantity": digits, "properties": {"gb": "0.100000000001"}}


def test_only_who_may_write_in_the_whole_book_corrects_usage(world: HttpWorld) -> None:
    operator = world.operator
    account = operator.new_account()
    operator.post("/v1/usage", {"events": []})
    body = {"corrections": [void("e0")], "reason": "mine"}
    refused(operator.new_key(account, "usage:write", "read").post(PATH, body), 403)
    refused(world.limited_operator("usage:write", "read").post(PATH, body), 403)
    refused(world.limited_operator("write").post(PATH, body), 422, "corrections_refused")


def test_usage_of_another_book_is_not_there(world: HttpWorld) -> None:
    seller = Seller(world)
    seller.use("e0", "5")
    for other in (world.operator, world.stranger):
        body = {"corrections": [void("e0")], "reason": "not mine"}
        refused(other.post(PATH, body), 422, "corrections_refused")


def test_an_event_that_was_set_aside_is_in_no_figure_to_be_corrected(database: Database) -> None:
    with http_world(database) as world:
        with following(database):
            seller = Seller(world)
        seller.use("e0", "5")
        set_event_aside(seller.context(), world.log.head(), "no projection can take it")
        body = {"corrections": [void("e0")], "reason": "a test"}
        problem = refused(seller.operator.post(PATH, body), 422, "corrections_refused")
        assert "set aside" in problem["errors"]["corrections.0.id"][0]


# -- told twice, and at the same time ---------------------------------------------------------------------


def test_a_request_that_is_sent_again_gets_the_same_answer(world: HttpWorld) -> None:
    seller = Seller(world)
    seller.use("e0", "5")
    body = {"corrections": [void("e0")], "reason": "a test"}
    preview = seller.operator.post(PATH, {**body, "preview": True}, Idempotency_Key="one")
    assert ok(preview)["preview"] is True
    first = seller.operator.post(PATH, body, Idempotency_Key="one")
    again = seller.operator.post(PATH, body, Idempotency_Key="one")
    assert ok(first) == ok(again)
    assert (again.headers["Idempotent-Replayed"], position_of(again)) == ("true", position_of(first))
    anew = seller.operator.post(PATH, body)
    assert [one["changed"] for one in ok(anew)["corrections"]] == [False]
    assert "Daybook-Position" not in anew.headers


def test_of_those_who_correct_an_event_at_once_each_finds_what_the_one_before_made_of_it(
    world: HttpWorld,
) -> None:
    seller = Seller(world)
    seller.use("e0", "5")
    callers = [Caller(world.client.application.test_client(), seller.operator.secret) for _ in range(6)]
    body = {"corrections": [void("e0")], "reason": "a test"}
    answers = [ok(one) for one in at_once(lambda caller: caller.post(PATH, body), callers)]
    assert sorted(one["corrections"][0]["changed"] for one in answers) == [False] * 5 + [True]
    quantities = list(range(6, 12))
    replies = at_once(
        lambda pair: pair[0].post(PATH, {"corrections": [replaced("e0", pair[1])], "reason": "another test"}),
        list(zip(callers, quantities, strict=True)),
    )
    made = sorted((ok(one)["corrections"][0] for one in replies), key=lambda one: int(one["position"]))
    assert sorted(int(one["becomes"]["quantity"]) for one in made) == quantities
    assert [one["was"] for one in made] == [None, *(one["becomes"] for one in made[:-1])]


def test_the_query_asks_for_a_preview_too(world: HttpWorld) -> None:
    seller = Seller(world)
    seller.use("e0", "5")
    head = world.log.head()
    body = {"corrections": [void("e0")], "reason": "a test"}
    assert ok(seller.operator.post(f"{PATH}?preview=true", body))["preview"] is True
    assert ok(seller.operator.post(PATH, {**body, "commit": False}))["preview"] is True
    assert world.log.head() == head


def test_a_preview_writes_nothing(world: HttpWorld) -> None:
    seller = Seller(world)
    seller.to(BEGIN + DAY)
    seller.use("e", "400")
    seller.to(BEGIN + 40 * DAY)
    head = world.log.head()
    for _ in range(2):
        seller.correct(void("e"), preview=True)
    assert world.log.head() == head


def test_without_a_follower_nothing_is_corrected_blindly(database: Database) -> None:
    with http_world(database) as world:
        with following(database):
            seller = Seller(world)
            seller.to(BEGIN + DAY)
            seller.use("e", "400")
            seller.to(BEGIN + 40 * DAY)
        seller.operator.new_account("Bob")
        head = world.log.head()
        body = {"corrections": [void("e")], "reason": "a test"}
        with patch("api.resources.usage_corrections._WAIT_SECONDS", 0.05):
            refused(seller.operator.post(PATH, body), 503)
        assert world.log.head() == head
