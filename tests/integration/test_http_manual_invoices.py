"""Invoices written by hand over HTTP, drafts that are issued, and invoices that are given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.http_world import HttpWorld, http_world, ok, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.http_world import Caller
    from tests.postgres import Database


@pytest.fixture
def world(database: Database) -> Iterator[HttpWorld]:
    with http_world(database) as made:
        yield made


def usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


def body_of(caller: Caller, *lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"account": caller.new_account(currency="USD"), "lines": list(lines), **more}


WORK = {"description": "Work", "amount": 1000}


def test_an_invoice_written_by_hand_is_issued_and_listed(world: HttpWorld) -> None:
    operator = world.operator
    rate = ok(operator.post("/v1/tax-rates", {"name": "VAT", "jurisdiction": "DE", "percent": "19"}), 201)
    units = {"description": "Hours", "quantity": "2.5", "unit_amount": "99.5", "tax_rates": [rate["id"]]}
    served = {"service_from": "2027-01-01T00:00:00Z", "service_to": "2027-02-01T00:00:00Z"}
    body = body_of(operator, {**WORK, **served}, units, due_days=30)
    invoice = ok(operator.post("/v1/invoices", body), 201)
    assert (invoice["number"], invoice["status"], invoice["kind"]) == ("INV-000001", "open", "manual")
    assert (invoice["issued_on"], invoice["due_on"], invoice["terms"]) == (
        "2027-01-15",
        "2027-02-14",
        "net 30",
    )
    assert [line["amount"] for line in invoice["lines"]] == [usd(1000), usd(249)]
    assert (invoice["tax_total"], invoice["total"]) == (usd(47), usd(1296))
    assert invoice["lines"][0]["service_to"] == "2027-02-01T00:00:00Z"
    world.follow()
    listed = ok(operator.get(f"/v1/accounts/{body['account']}/invoices"))["data"]
    assert [one["id"] for one in listed] == [invoice["id"]]
    explained = ok(operator.get(f"/v1/invoices/{invoice['id']}/explain"))
    assert (explained["equal"], explained["lines"][1]["formula"]) == (None, "2.5 x 99.5")
    assert operator.get(f"/v1/invoices/{invoice['id']}.html").status_code == 200


def test_a_draft_takes_lines_and_is_issued(world: HttpWorld) -> None:
    operator = world.operator
    body = body_of(operator, WORK, auto_finalize=False)
    draft = ok(operator.post("/v1/invoices", body), 201)
    assert (draft["status"], draft["number"]) == ("draft", None)
    path = f"/v1/invoices/{draft['id']}"
    more = ok(operator.post(f"{path}/lines", {"lines": [WORK, WORK]}), 201)
    assert more["total"] == usd(3000)
    issued = ok(operator.post(f"{path}/finalize"))
    assert (issued["number"], issued["amount_due"]) == ("INV-000001", usd(3000))
    refused(operator.post(f"{path}/lines", {"lines": [WORK]}), 409, "invoice_not_open")
    refused(operator.post(f"{path}/finalize"), 409, "invoice_not_open")


def test_only_a_draft_that_is_written_by_hand_takes_lines(world: HttpWorld) -> None:
    operator = world.operator
    invoice = operator.subscribed(operator.new_account())["invoice"]
    refused(operator.post(f"/v1/invoices/{invoice}/lines", {"lines": [WORK]}), 409, "invoice_not_open")
    refused(operator.post("/v1/invoices/inv_1/lines", {"lines": [WORK]}), 404, "not_found")
    refused(operator.post("/v1/invoices/inv_1/finalize"), 404, "not_found")


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({"description": "Work"}, "lines.0.amount"),
        ({**WORK, "quantity": "1"}, "lines.0.amount"),
        ({**WORK, "amount": 1.5}, "lines.0.amount"),
        ({**WORK, "amount": 10**18}, "lines.0.amount"),
        ({"description": "Work", "quantity": 1, "unit_amount": "1"}, "lines.0.quantity"),
        ({"description": "Work", "quantity": "1", "unit_amount": "-1"}, "lines.0.unit_amount"),
        ({**WORK, "service_from": "2027-01-01T00:00:00Z"}, "lines.0.service_to"),
        ({**WORK, "tax_rates": ["tax_1"]}, "lines.0.tax_rates.0"),
        ({**WORK, "product": "prod_1"}, "lines.0.product"),
        ({"amount": 5}, "lines.0.description"),
    ],
)
def test_a_line_that_cannot_be_is_refused_by_field(
    world: HttpWorld, line: dict[str, Any], field: str
) -> None:
    problem = refused(world.operator.post("/v1/invoices", body_of(world.operator, line)), 422, "invalid")
    assert field in problem["errors"]


def test_an_invoice_that_cannot_be_is_refused(world: HttpWorld) -> None:
    operator = world.operator
    good = body_of(operator, WORK)
    refused(operator.post("/v1/invoices", {**good, "lines": []}), 422, "invalid")
    refused(operator.post("/v1/invoices", {**good, "due_days": 366}), 422, "invalid")
    refused(operator.post("/v1/invoices", {**good, "currency": "EUR"}), 409, "currency_mismatch")
    refused(operator.post("/v1/invoices", {**good, "billing_entity": "nobody"}), 404, "not_found")
    refused(operator.post("/v1/invoices", {**good, "lines": [{**WORK, "amount": -1}]}), 409, "negative_total")
    unknown = world.stranger.new_account()
    refused(operator.post("/v1/invoices", {**good, "account": unknown}), 404, "not_found")
    refused(operator.new_key(good["account"], "read").post("/v1/invoices", good), 403, "forbidden")


def test_an_invoice_is_given_up_and_paid_all_the_same(world: HttpWorld) -> None:
    operator = world.operator
    body = body_of(operator, WORK)
    invoice = ok(operator.post("/v1/invoices", body), 201)
    path = f"/v1/invoices/{invoice['id']}"
    marked = ok(operator.post(f"{path}/uncollectible", {"reason": "insolvent"}))
    assert (marked["status"], marked["uncollectible_reason"]) == ("uncollectible", "insolvent")
    assert ok(operator.post(f"{path}/uncollectible", {})) == marked
    refused(operator.post(f"{path}/credit-notes", {}), 409, "invoice_not_open")
    paid = ok(operator.post(f"{path}/payments", {"amount": 1000, "currency": "USD"}), 201)
    assert paid["invoice"]["status"] == "paid"
    world.follow()
    balance = ok(operator.get(f"/v1/accounts/{body['account']}/balance"))
    assert {one["ledger_account"]: one["balance"]["amount"] for one in balance["ledger_accounts"]} == {
        "bad_debt": 0,
        "external_asset": 1000,
        "receivable": 0,
        "revenue": 1000,
    }
    refused(operator.post(f"{path}/uncollectible", {}), 409, "invoice_not_open")


def test_an_invoice_that_was_given_up_is_made_void(world: HttpWorld) -> None:
    operator = world.operator
    invoice = ok(operator.post("/v1/invoices", body_of(operator, WORK)), 201)
    path = f"/v1/invoices/{invoice['id']}"
    ok(operator.post(f"{path}/uncollectible", {}))
    assert ok(operator.post(f"{path}/void", {}))["status"] == "void"
