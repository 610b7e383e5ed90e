"""Credit notes over HTTP: issued, previewed, listed, looked at; and those that a change brings about."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.http_world import HttpWorld, ok, position_of, refused
from tests.integration.http_world import http_world as made_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.http_world import Caller
    from tests.postgres import Database


@pytest.fixture
def world(database: Database) -> Iterator[HttpWorld]:
    with made_world(database) as made:
        yield made


def usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


def invoiced(caller: Caller, account: str, *lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Issue an invoice by hand."""
    body = {"account": account, "currency": "USD", "lines": list(lines), **more}
    return ok(caller.post("/v1/invoices", body), 201)


def vat(caller: Caller, percent: str = "25") -> str:
    body = {"name": "VAT", "jurisdiction": "DE", "percent": percent}
    return str(ok(caller.post("/v1/tax-rates", body), 201)["id"])


def work(amount: int, *tax_rates: str) -> dict[str, Any]:
    return {"description": "Work", "amount": amount, "tax_rates": list(tax_rates)}


def test_a_credit_note_is_issued_and_shown_with_its_lines_and_its_invoice(world: HttpWorld) -> None:
    operator = world.operator
    account = operator.new_account()
    invoice = invoiced(operator, account, work(1000, vat(operator)), work(500))
    path = f"/v1/invoices/{invoice['id']}/credit-notes"
    line = invoice["lines"][0]["id"]
    note = ok(operator.post(path, {"lines": [{"line": line, "amount": 333}], "reason": "late"}), 201)
    assert (note["number"], note["kind"], note["reason"], note["series_number"]) == (
        "CN-000001",
        "manual",
        "late",
        1,
    )
    assert (note["net_total"], note["tax_total"], note["total"]) == (usd(333), usd(83), usd(416))
    assert (note["applied_to_invoice"], note["credited_to_account"]) == (usd(416), usd(0))
    (credited,) = note["lines"]
    assert (credited["invoice_line"], credited["net"], credited["total"]) == (line, usd(333), usd(416))
    assert [tax["amount"] for tax in credited["taxes"]] == [usd(83)]
    assert ok(operator.get(f"/v1/credit-notes/{note['id']}")) == note
    shown = ok(operator.get(f"/v1/invoices/{invoice['id']}"))
    assert (shown["credit_notes"], shown["amount_due"]) == ([note["id"]], usd(1334))
    assert shown["credits"] == [{"source": "credit_note", "reference": note["id"], "amount": usd(416)}]


def test_the_rest_of_an_invoice_is_credited_and_what_was_paid_goes_to_the_account(world: HttpWorld) -> None:
    operator = world.operator
    account = operator.new_account()
    invoice = invoiced(operator, account, work(1000))
    ok(operator.post(f"/v1/invoices/{invoice['id']}/payments", {"amount": 400, "currency": "USD"}), 201)
    note = ok(operator.post(f"/v1/invoices/{invoice['id']}/credit-notes", {}), 201)
    assert (note["applied_to_invoice"], note["credited_to_account"]) == (usd(600), usd(400))
    world.follow()
    credits_held = ok(operator.get(f"/v1/accounts/{account}/credits"))
    assert credits_held["balances"][0]["account_credit"] == usd(400)
    assert credits_held["data"][0]["reference"] == note["id"]
    refused(operator.post(f"/v1/invoices/{invoice['id']}/credit-notes", {}), 409, "nothing_to_credit")


def test_a_preview_is_shown_without_a_number_and_not_issued(world: HttpWorld) -> None:
    operator = world.operator
    account = operator.new_account()
    invoice = invoiced(operator, account, work(1000))
    path = f"/v1/invoices/{invoice['id']}/credit-notes"
    shown = ok(operator.post(f"{path}?preview=true", {"amount": 10}))
    assert (shown["number"], shown["series_number"], shown["total"]) == (None, None, usd(10))
    world.follow()
    assert ok(operator.get(path)) == {"data": [], "next": None}
    refused(operator.post(f"{path}?preview=yes", {"amount": 10}), 422, "invalid")


def test_credit_notes_are_listed_by_invoice_and_by_account_newest_first(world: HttpWorld) -> None:
    operator = world.operator
    account = operator.new_account()
    first, second = (invoiced(operator, account, work(1000)) for _ in range(2))
    notes = []
    for invoice, amount in ((first, 1), (second, 2), (first, 3)):
        answered = operator.post(f"/v1/invoices/{invoice['id']}/credit-notes", {"amount": amount})
        notes.append(ok(answered, 201))
    position = position_of(answered)
    world.follow()
    page = ok(operator.get(f"/v1/accounts/{account}/credit-notes", limit=2, at_least=position))
    assert [one["id"] for one in page["data"]] == [notes[2]["id"], notes[1]["id"]]
    following = ok(operator.get(f"/v1/accounts/{account}/credit-notes", limit=2, after=page["next"]))
    assert [one["id"] for one in following["data"]] == [notes[0]["id"]]
    of_first = ok(operator.get(f"/v1/invoices/{first['id']}/credit-notes"))["data"]
    assert [one["total"] for one in of_first] == [usd(3), usd(1)]
    assert of_first[0] == {name: notes[2][name] for name in of_first[0]}


def test_an_accounts_key_sees_its_own_credit_notes_and_issues_none(world: HttpWorld) -> None:
    operator = world.operator
    account, other = operator.new_account(), operator.new_account("Eva")
    invoice = invoiced(operator, account, work(1000))
    path = f"/v1/invoices/{invoice['id']}/credit-notes"
    note = ok(operator.post(path, {"amount": 10}), 201)
    world.follow()
    own, stranger = operator.new_key(account, "read"), operator.new_key(other, "read")
    for shown in (path, f"/v1/accounts/{account}/credit-notes", f"/v1/credit-notes/{note['id']}"):
        ok(own.get(shown))
        for caller in (stranger, world.stranger, world.test_operator):
            refused(caller.get(shown), 404, "not_found")
    refused(own.post(path, {}), 403, "forbidden")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": "5"}, "amount"),
        ({"amount": 5, "lines": [{"line": "LINE"}]}, "amount"),
        ({"lines": [{"line": "line_1"}]}, "lines.0.line"),
        ({"lines": [{"line": "LINE", "amount": 0}]}, "lines.0.amount"),
        ({"lines": [{"line": "LINE"}, {"line": "LINE"}]}, "lines.1.line"),
        ({"lines": [{}]}, "lines.0.line"),
        ({"reason": ""}, "reason"),
        ({"sum": 5}, "sum"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_field(
    world: HttpWorld, body: dict[str, Any], field: str
) -> None:
    operator = world.operator
    invoice = invoiced(operator, operator.new_account(), work(1000))
    line = invoice["lines"][0]["id"]
    body = {
        **body,
        **(
            {
                "lines": [
                    {**one, "line": one["line"].replace("LINE", line)} if one else {} for one in body["lines"]
                ]
            }
            if "lines" in body
            else {}
        ),
    }
    problem = refused(operator.post(f"/v1/invoices/{invoice['id']}/credit-notes", body), 422, "invalid")
    assert field in problem["errors"]


def test_more_than_is_left_and_what_is_not_there_is_refused(world: HttpWorld) -> None:
    operator = world.operator
    invoice = invoiced(operator, operator.new_account(), work(1000))
    path = f"/v1/invoices/{invoice['id']}/credit-notes"
    refused(operator.post(path, {"amount": 1001}), 409, "credit_exceeds_invoice")
    line = {"line": invoice["lines"][0]["id"], "amount": 1001}
    refused(operator.post(path, {"lines": [line]}), 409, "credit_exceeds_invoice")
    for missing in ("inv_1", "cn_1", "acc_1"):
        for there in (f"/v1/invoices/{missing}/credit-notes", f"/v1/credit-notes/{missing}"):
            refused(operator.get(there), 404, "not_found")
    refused(operator.post("/v1/invoices/inv_1/credit-notes", {}), 404, "not_found")
    refused(operator.get("/v1/accounts/acc_1/credit-notes"), 404, "not_found")


def test_a_repeated_request_issues_one_credit_note(world: HttpWorld) -> None:
    operator = world.operator
    invoice = invoiced(operator, operator.new_account(), work(1000))
    path = f"/v1/invoices/{invoice['id']}/credit-notes"
    answers = [operator.post(path, {"amount": 5}, Idempotency_Key="once") for _ in range(2)]
    assert ok(answers[0], 201) == ok(answers[1], 201)
    assert len(ok(operator.get(f"/v1/invoices/{invoice['id']}"))["credit_notes"]) == 1


def test_a_change_and_an_end_answer_with_their_credit_notes(world: HttpWorld) -> None:
    operator = world.operator
    ok(operator.post("/v1/policy", {"preset": "lago"}))
    account, rate = operator.new_account(), vat(operator)
    plans = [_plan(operator, amount, rate) for amount in (1000, 1500)]
    body = {"plan": plans[0], "anchor": "calendar"}
    subscription = ok(operator.post(f"/v1/accounts/{account}/subscriptions", body), 201)
    world.now += timedelta(days=3)
    path = f"/v1/subscriptions/{subscription['id']}"
    preview = ok(operator.post(f"{path}/change?preview=true", {"plan": plans[1]}))["preview"]
    changed = ok(operator.post(f"{path}/change", {"plan": plans[1]}))
    (note,) = [ok(operator.get(f"/v1/credit-notes/{one}")) for one in changed["credit_notes"]]
    # 14 of 31 days, from the 18th: net and tax are rounded each.
    assert (note["net_total"], note["tax_total"], note["kind"]) == (usd(452), usd(113), "change")
    assert (note["invoice"], note["subscription"]) == (subscription["invoice"], subscription["id"])
    assert preview["credit_notes"] == [{name: note[name] for name in preview["credit_notes"][0]}]
    assert changed["pending_prorations"] == []
    ended = ok(operator.post(f"{path}/cancel", {"at_period_end": False}))
    (last,) = [ok(operator.get(f"/v1/credit-notes/{one}")) for one in ended["credit_notes"]]
    assert (last["kind"], last["invoice"]) == ("cancellation", changed["invoice"])


def _plan(caller: Caller, amount: int, rate: str) -> str:
    fee = {"code": "base", "name": "Base", "amounts": {"USD": amount}}
    body = {"name": "Pro", "interval": "month", "fees": [fee], "tax_rates": [rate]}
    return str(ok(caller.post("/v1/plans", body), 201)["id"])
