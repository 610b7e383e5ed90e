"""A document written out: every figure as text in one language, for whatever lays it out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from api.documents.words import words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

    from api.documents.formats import Formats
    from api.documents.model import Document, Line, Party, Settled, TaxTotal

# Where paper is not A4.
_LETTER: Final = frozenset({"US", "CA", "MX", "PH", "CL", "CO", "VE", "GT", "CR", "PA", "SV", "DO", "PR"})
_NET_DAYS: Final = re.compile(r"net ([0-9]{1,4})")
# Tax that is owed in the plain way needs no reason; why none is owed, an invoice must say.
_PLAIN_REASONS: Final = ("", "standard", "standard rated")
_ASKING: Final = ("open", "partially_paid", "uncollectible")
# Controls break lines, and marks that turn the direction of text can make it read as something else.
_ILLEGIBLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")
_STAMPED: Final = ("draft", "void", "paid")
_EXPLAINED: Final = ("draft", "void")


@dataclass(frozen=True)
class Labelled:
    """A text with what it is; `kind` says how much it matters: total, due, within, settled or nothing."""

    label: str
    text: str
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class ShownParty:
    """The seller or the buyer."""

    name: str
    details: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShownLine:
    """A line item with what stands below it."""

    position: str
    description: str
    note: str
    period: str
    quantity: str
    unit_price: str
    amount: str
    discounts: tuple[Labelled, ...]


@dataclass(frozen=True, kw_only=True)
class ShownTax:
    """The total of a tax rate; `behaviour` and `reason` are for people."""

    label: str
    behaviour: str
    reason: str
    base: str
    amount: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A document as it is printed; `stamp` and `notes` say what keeps it from being an open invoice."""

    language: str
    region: str | None
    direction: str
    paper: str
    title: str
    issued_on: date | None
    seller: ShownParty
    buyer: ShownParty
    facts: tuple[Labelled, ...]
    status: str
    stamp: str
    headline: str
    notes: tuple[str, ...]
    lines: tuple[ShownLine, ...]
    totals: tuple[Labelled, ...]
    taxes: tuple[ShownTax, ...]
    footnote: str
    words: Mapping[str, str]


def shown(document: Document, formats: Formats) -> Shown:
    """Write a document out."""
    number = _legible(document.number or "")
    language = formats.language
    return Shown(
        language=language.language,
        region=language.territory,
        direction=language.text_direction,
        paper="us-letter" if formats.locale.territory in _LETTER else "a4",
        title=f"{formats.word(_kind(document))} {number}".strip(),
        issued_on=document.issued_on,
        seller=_party(document.seller, formats, document.account),
        buyer=_party(document.buyer, formats, document.account),
        facts=tuple(_facts(document, formats)),
        status=document.status,
        stamp=_stamp(document, formats),
        headline=_headline(document, formats),
        notes=(formats.word(f"note_{document.status}"),) if document.status in _EXPLAINED else (),
        lines=tuple(_line(line, document, formats) for line in document.lines),
        totals=tuple(_totals(document, formats)),
        taxes=tuple(_tax(tax, document, formats) for tax in document.taxes),
        footnote=formats.word("note_zone", zone=document.time_zone),
        words=words_of(language.language),
    )


def _kind(document: Document) -> str:
    return "settled_credit_note" if document.is_credit_note else "invoice"


def _stamp(document: Document, formats: Formats) -> str:
    # What the buyer is owed is settled in the books' sense, but nobody has paid it.
    owed = document.status == "paid" and document.total < 0
    return formats.word(f"status_{document.status}") if document.status in _STAMPED and not owed else ""


def _party(party: Party, formats: Formats, account: str) -> ShownParty:
    tax_id = f"{formats.word('tax_id')}: {party.tax_id}" if party.tax_id else None
    details = (party.email, tax_id)
    return ShownParty(
        name=_legible(party.name or account),
        details=tuple(_legible(detail) for detail in details if detail is not None),
    )


def _legible(text: str) -> str:
    return _ILLEGIBLE.sub(" ", text).strip()


def _facts(document: Document, formats: Formats) -> Iterator[Labelled]:
    word = formats.word
    if document.credits_number is not None:
        yield Labelled(word("settled_credit_note"), document.number or "")
        yield Labelled(word("invoice"), document.credits_number)
    elif document.number is not None:
        yield Labelled(word("number"), document.number)
    if document.issued_on is not None:
        yield Labelled(word("issued_on"), formats.date(document.issued_on))
    if document.due_on is not None:
        yield Labelled(word("due_on"), formats.date(document.due_on))
    if document.terms is not None:
        yield Labelled(word("terms"), _terms(document.terms, formats))
    period = formats.period(document.period_start, document.period_end, document.time_zone)
    if period:
        yield Labelled(word("period"), period)
    if not document.is_credit_note:
        yield Labelled(word("status"), formats.word_or(f"status_{document.status}", document.status))
    yield Labelled(word("currency"), document.currency)
    yield Labelled(word("account"), document.account)


def _terms(terms: str, formats: Formats) -> str:
    net = _NET_DAYS.fullmatch(terms)
    return formats.days(int(net[1])) if net else _legible(terms)


def _headline(document: Document, formats: Formats) -> str:
    if document.status not in _ASKING or document.due_on is None or document.amount_due == 0:
        return ""
    due = formats.money(document.amount_due, document.currency)
    return formats.word("due_by", amount=due, date=formats.date(document.due_on))


def _line(line: Line, document: Document, formats: Formats) -> ShownLine:
    currency = document.currency
    return ShownLine(
        position=str(line.position),
        description=_legible(line.description),
        note=_adjusts(line, formats),
        period=formats.period(line.service_from, line.service_to, document.time_zone),
        quantity=formats.quantity(line.quantity),
        unit_price="" if line.unit_amount is None else formats.unit_price(line.unit_amount, currency),
        amount=formats.money(line.amount, currency),
        discounts=tuple(
            Labelled(formats.word("discount", name=_legible(one.name)), formats.money(-one.amount, currency))
            for one in line.discounts
        ),
    )


def _adjusts(line: Line, formats: Formats) -> str:
    if line.adjusts_line is None:
        return ""
    if line.adjusts_position is None:
        return formats.word("adjusts_earlier", line=line.adjusts_line)
    return formats.word("adjusts_position", line=str(line.adjusts_position))


def _totals(document: Document, formats: Formats) -> Iterator[Labelled]:
    """List what leads from the lines to the total, and from there to what is due."""

    def row(label: str, amount: int, kind: str = "") -> Labelled:
        return Labelled(label, formats.money(amount, document.currency), kind)

    word = formats.word
    yield row(word("subtotal"), document.subtotal)
    if any(line.discounts for line in document.lines):
        yield row(word("discounts"), -document.discount_total)
    for tax in document.taxes:
        if tax.behaviour == "exclusive":
            yield row(_tax_label(tax, formats), tax.amount)
    yield row(word("total"), document.total, "total")
    for tax in document.taxes:
        if tax.behaviour == "inclusive":
            yield row(word("includes", tax=_tax_label(tax, formats)), tax.amount, "within")
    for one in document.settlements:
        settles = one.amount if document.is_credit_note else -one.amount
        yield row(_settled_label(one, formats), settles, "settled")
    if document.status != "draft" and not document.is_credit_note:
        yield row(word("amount_due"), document.amount_due, "due")
        if document.total < 0 and document.status != "void":
            yield row(word("in_your_favour"), -document.total, "due")


def _settled_label(settled: Settled, formats: Formats) -> str:
    return f"{formats.word_or(f'settled_{settled.kind}', settled.kind)} {settled.reference or ''}".strip()


def _tax_label(tax: TaxTotal, formats: Formats) -> str:
    percent = "" if tax.percent is None else f" {formats.percent(tax.percent)}"
    return _legible(f"{tax.name}{percent} ({tax.jurisdiction})")


def _tax(tax: TaxTotal, document: Document, formats: Formats) -> ShownTax:
    return ShownTax(
        label=_tax_label(tax, formats),
        behaviour=formats.word_or(tax.behaviour, tax.behaviour),
        reason="" if tax.reason in _PLAIN_REASONS else _legible(tax.reason),
        base=formats.money(tax.base, document.currency),
        amount=formats.money(tax.amount, document.currency),
    )
