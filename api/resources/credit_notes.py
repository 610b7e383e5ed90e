"""Credit notes: give part or all of an invoice back, and look at what was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.edge import Call, answer, operation, page
from api.resources.credit_note_views import credit_note_row_view, credit_note_view
from commands.credit_notes import Wanted, credit_invoice, preview_credit
from commands.streams import account_stream, stream_or_not_found
from ledger.streams import account as accounts
from ledger.streams import credit_note as credit_notes
from ledger.streams import invoice as invoices
from ledger.streams.base import fold
from projections import billing
from schemas import requests, requests_invoices, responses
from schemas.responses_credit_notes import CreditNoteSummaryView, CreditNoteView

if TYPE_CHECKING:
    from flask import Response

    from commands.credit_notes import Credited


@operation(
    "POST",
    "/v1/invoices/{invoice}/credit-notes",
    scope="write",
    body=requests_invoices.NewCreditNote,
    query=requests_invoices.CreditNoteQuery,
    answer=CreditNoteView,
    status=201,
    also=(200,),
    description=(
        "It settles what the invoice still asks for; the rest is credited to the account, or goes back to the"
        " prepaid grants that settled the invoice. Amounts are before"
        " tax and net of discounts; their tax is given back with them, and never more of either than was"
        " invoiced. With `preview=true` it is shown (200) and not issued."
    ),
)
def issue(call: Call, invoice: str) -> Response:
    """Give part or all of a finalized invoice back by a credit note."""
    body = call.body
    wanted = Wanted(
        reason=body["reason"],
        lines=tuple((line["line"], line["amount"]) for line in body["lines"]),
        amount=body["amount"],
    )
    if call.query["preview"] == "true":
        previewed = preview_credit(call.context(), invoice, wanted)
        return answer(credit_note_view(previewed.credit_note, numbered=False))
    return call.write(lambda context: credit_invoice(context, invoice, wanted), _view, 201)


@operation(
    "GET",
    "/v1/invoices/{invoice}/credit-notes",
    scope="read",
    book_wide=False,
    query=requests.PositionPaged,
    answer=responses.page_of(CreditNoteSummaryView),
)
def list_of_invoice(call: Call, invoice: str) -> Response:
    """List the credit notes of an invoice, newest first."""
    stream = fold(invoices.evolve, call.log.load(call.book, stream_or_not_found("inv", invoice)))
    call.require_account(invoices.require(stream.state).draft.account)
    return _page(call, invoice=invoice)


@operation(
    "GET",
    "/v1/accounts/{account}/credit-notes",
    scope="read",
    book_wide=False,
    query=requests.PositionPaged,
    answer=responses.page_of(CreditNoteSummaryView),
)
def list_of_account(call: Call, account: str) -> Response:
    """List an account's credit notes, newest first."""
    call.require_account(account)
    accounts.require(fold(accounts.evolve, call.log.load(call.book, account_stream(account))).state)
    return _page(call, account=account)


@operation(
    "GET",
    "/v1/credit-notes/{credit_note}",
    scope="read",
    book_wide=False,
    query=requests.Read,
    answer=CreditNoteView,
)
def get_credit_note(call: Call, credit_note: str) -> Response:
    """Show a credit note whole."""
    recorded = call.log.load(call.book, stream_or_not_found(credit_notes.PREFIX, credit_note))
    stream = fold(credit_notes.evolve, recorded)
    call.require_account(credit_notes.require(stream.state).issued.account)
    return answer(credit_note_view(stream))


def _page(call: Call, **of: str) -> Response:
    limit = call.query["limit"]
    with call.reading() as connection:
        call.wait_for(connection, "billing")
        rows = billing.credit_notes_of(connection, call.query.get("after"), limit + 1, **of)
    rows, following = page(rows, limit, lambda row: row["position"])
    return answer({"data": [credit_note_row_view(row) for row in rows], "next": following})


def _view(credited: Credited) -> dict[str, Any]:
    return credit_note_view(credited.credit_note)
