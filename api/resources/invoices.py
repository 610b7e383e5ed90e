"""Invoices: write by hand, look at, finalize, pay, give up, void."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.edge import Call, answer, operation, page
from api.resources.billing_views import invoice_row_view, invoice_view, paid_view
from commands.invoicing import mark_uncollectible, pay_invoice, void_invoice
from commands.manual_invoices import Draft, add_lines, draft_invoice, issue_draft
from commands.streams import account_stream, stream_or_not_found
from ledger.streams import account as accounts
from ledger.streams import invoice as invoices
from ledger.streams.base import fold
from projections import billing
from schemas import requests, requests_invoices, responses, responses_billing

if TYPE_CHECKING:
    from flask import Response


@operation(
    "POST",
    "/v1/invoices",
    scope="write",
    body=requests_invoices.NewInvoice,
    answer=responses_billing.InvoiceView,
    status=201,
)
def create(call: Call) -> Response:
    """Write an invoice by hand, and issue it at once unless it is to stay a draft."""
    body = {**call.body, "lines": requests_invoices.wanted_lines(call.body)}
    return call.write(lambda context: draft_invoice(context, Draft(**body)), invoice_view, 201)


@operation(
    "POST",
    "/v1/invoices/{invoice}/lines",
    scope="write",
    body=requests_invoices.InvoiceLines,
    answer=responses_billing.InvoiceView,
    status=201,
)
def add(call: Call, invoice: str) -> Response:
    """Add lines to a draft that is written by hand."""
    lines = requests_invoices.wanted_lines(call.body)
    return call.write(lambda context: add_lines(context, invoice, lines), invoice_view, 201)


@operation(
    "POST",
    "/v1/invoices/{invoice}/finalize",
    scope="write",
    answer=responses_billing.InvoiceView,
)
def finalize(call: Call, invoice: str) -> Response:
    """Issue a draft now: it gets its number, and nothing in it changes any more."""
    return call.write(lambda context: issue_draft(context, invoice), invoice_view)


@operation(
    "GET",
    "/v1/accounts/{account}/invoices",
    scope="read",
    book_wide=False,
    query=requests.PositionPaged,
    answer=responses.page_of(responses_billing.InvoiceSummaryView),
)
def list_invoices(call: Call, account: str) -> Response:
    """List an account's invoices, newest first, ours and Stripe's."""
    call.require_account(account)
    limit = call.query["limit"]
    with call.reading() as connection:
        call.wait_for(connection, "billing")
        rows = billing.invoices_of(connection, account, call.query.get("after"), limit + 1)
    if not rows:
        accounts.require(fold(accounts.evolve, call.log.load(call.book, account_stream(account))).state)
    rows, following = page(rows, limit, lambda row: row["created_position"])
    return answer({"data": [invoice_row_view(row) for row in rows], "next": following})


@operation(
    "GET",
    "/v1/invoices/{invoice}",
    scope="read",
    book_wide=False,
    query=requests.Read,
    answer=responses_billing.InvoiceView,
)
def get_invoice(call: Call, invoice: str) -> Response:
    """Show an invoice whole, as the log has it now."""
    stream = fold(invoices.evolve, call.log.load(call.book, stream_or_not_found("inv", invoice)))
    call.require_account(invoices.require(stream.state).draft.account)
    return answer(invoice_view(stream))


@operation(
    "POST",
    "/v1/invoices/{invoice}/payments",
    scope="write",
    body=requests.NewPayment,
    answer=responses_billing.PaidView,
    status=201,
)
def pay(call: Call, invoice: str) -> Response:
    """Record a payment and apply it to an invoice."""
    body = call.body
    return call.write(
        lambda context: pay_invoice(
            context,
            invoice,
            body["amount"],
            body["currency"],
            body["method"],
            body["reference"],
            body["received_at"],
        ),
        paid_view,
        201,
    )


@operation(
    "POST",
    "/v1/invoices/{invoice}/uncollectible",
    scope="write",
    body=requests.Reason,
    answer=responses_billing.InvoiceView,
)
def uncollectible(call: Call, invoice: str) -> Response:
    """Give up what an invoice still asks for; it may be paid all the same."""
    return call.write(lambda context: mark_uncollectible(context, invoice, call.body["reason"]), invoice_view)


@operation(
    "POST",
    "/v1/invoices/{invoice}/void",
    scope="write",
    body=requests.Reason,
    answer=responses_billing.InvoiceView,
)
def void(call: Call, invoice: str) -> Response:
    """Take an unpaid invoice back whole."""
    return call.write(lambda context: void_invoice(context, invoice, call.body["reason"]), invoice_view)
