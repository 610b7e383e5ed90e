"""The document as a PDF."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from pypdf import PdfReader

from api.documents import pdf
from api.documents.pdf import MAX_LINES, TooManyLines, pdf_of
from tests.document_samples import (
    FORGOTTEN,
    RICH_LINES,
    discount,
    draft,
    issued,
    line,
    made_void,
    tax,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typst

    from api.documents.shown import Shown
    from ledger.streams.invoice import Invoice

RICH = issued(*RICH_LINES, paid=[5000])


class Read:
    """A PDF as its reader finds it."""

    def __init__(self, content: bytes) -> None:
        self.reader = PdfReader(BytesIO(content))
        self.pages = [" ".join(page.extract_text().split()) for page in self.reader.pages]
        self.text = " ".join(self.pages)

    def root(self, name: str) -> Any:
        return self.reader.root_object.get(name)

    def follows(self, standard: str) -> bool:
        """Say whether the file says of itself that it follows a standard: pdfaid or pdfuaid."""
        described = self.root("/Metadata").get_data().decode()
        return bool(re.search(rf"<{standard}:part>[12]</", described))

    def fonts(self) -> Iterator[tuple[str, bool, bool]]:
        """Give each font's name, whether it is embedded, and whether its letters can be copied."""
        for page in self.reader.pages:
            for font in page["/Resources"].get("/Font", {}).values():  # type: ignore[attr-defined]
                described = font.get_object()
                shapes = described["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
                embedded = any(name.startswith("/FontFile") for name in shapes)
                yield described["/BaseFont"], embedded, "/ToUnicode" in described


def read(invoice: Invoice, locale: str = "en") -> Read:
    return Read(pdf_of(written(invoice, locale)))


def test_a_pdf_says_all_that_an_invoice_must() -> None:
    found = read(RICH)
    for text in (
        "Invoice INV-000007",
        "Acme Inc.",
        "Tax ID: DE123456789",
        "Ada at the time",
        "ada@then.example",
        "Due date February 15, 2027",
        "API calls, first 10,000",
        "10,000 $0.005 $50.00",
        "Discount Welcome: -$3.00",
        "Adjusts line 1",
        "Subtotal $185.64",
        "VAT 19% (DE) $16.78",
        "Total $200.12",
        "Amount due $150.12",
        "Reverse charge",
        "Page 1 of 1",
    ):
        assert text in found.text, text


@pytest.mark.parametrize("locale", ["en", "de", "fr", "es", "it", "nl", "pt", "he", "ar", "ru", "el"])
def test_fonts_are_inside_and_their_text_can_be_copied(locale: str) -> None:
    found = read(issued(line(2900, description="Łódź Ελληνικά Українська"), currency="UAH"), locale)
    fonts = list(found.fonts())
    assert fonts
    assert all(embedded and copyable for _, embedded, copyable in fonts), fonts
    assert "Łódź Ελληνικά Українська" in found.text


@pytest.mark.parametrize(
    "currency", ["JPY", "EUR", "KWD", "CLF", "RUB", "ILS", "INR", "NGN", "KRW", "VND", "UAH", "THB", "PYG"]
)
@pytest.mark.parametrize("locale", ["en", "de", "he", "ja"])
def test_the_typesetter_s_own_fonts_have_the_signs_of_currencies(
    currency: str, locale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*, machine_fonts: bool) -> typst.Fonts:
        assert not machine_fonts
        return fonts(machine_fonts=False)

    fonts = pdf._fonts
    monkeypatch.setattr(pdf, "_fonts", refuse)
    read(issued(line(123_456), currency=currency), locale)


def test_it_is_made_to_be_kept_and_to_be_read_aloud() -> None:
    found = read(RICH, "de_CH")
    assert found.follows("pdfaid")
    assert found.follows("pdfuaid")
    assert found.root("/MarkInfo")["/Marked"]
    assert found.root("/Lang") == "de-CH"
    assert found.reader.metadata is not None
    assert found.reader.metadata.title == "Rechnung INV-000007"


def test_the_same_invoice_is_the_same_bytes() -> None:
    first = pdf_of(written(RICH))
    pdf._forget()
    assert pdf_of(written(RICH)) == first
    assert pdf_of(written(issued(*RICH_LINES, paid=[5001]))) != first


def test_its_dates_are_the_invoice_s_and_no_clock_s() -> None:
    found = read(RICH).reader.metadata
    assert found is not None
    assert str(found["/CreationDate"]) == str(found["/ModDate"]) == "D:20270201000000Z"
    assert not {"/CreationDate", "/ModDate"} & set(read(draft(line(2900))).reader.metadata or {})


def test_five_hundred_lines_go_over_pages_each_with_its_header_and_number() -> None:
    lines = [line(number, number, description=f"Item {number};") for number in range(1, 501)]
    found = read(issued(*lines))
    count = len(found.pages)
    assert count > 5
    for number, page in enumerate(found.pages, 1):
        assert f"Page {number} of {count}" in page
        assert "# Description Quantity Amount" in page
        assert "INV-000007" in page
    assert [int(found) for found in re.findall(r"Item (\d+);", found.text)] == list(range(1, 501))
    assert found.pages[-1].count("Total $1,252.50") == 1


EVIL = '#panic("x") $1/0$ *b* _i_ `r` @ref <label> \\ #import "@preview/x:1.0.0" // c /* d */ = h <script> "'


def test_no_text_is_read_as_markup() -> None:
    evil = issued(
        line(2900, description=EVIL, discounts=(discount(1),), taxes=(tax(1, 2, rate=EVIL, reason=EVIL),)),
        formatted_number=EVIL,
        seller_name=EVIL,
        buyer_name=EVIL,
        buyer_email=EVIL,
        terms=EVIL,
    )
    found = read(evil)
    bare = re.sub(r"\s", "", found.text)
    assert bare.count(re.sub(r"\s", "", EVIL)) >= 10
    assert found.follows("pdfaid")


def test_a_name_without_an_end_breaks_and_an_id_does_not() -> None:
    found = read(issued(line(2900, description="A" * 400)))
    runs = re.findall("A{2,}", found.reader.pages[0].extract_text().replace("\u200b", ""))
    assert sum(map(len, runs)) == 400
    assert max(map(len, runs)) < 100
    assert written(issued(line(2900))).facts[-1].text in found.text


@pytest.mark.parametrize(
    ("invoice", "stamp"),
    [
        (draft(line(2900)), "DRAFT"),
        (made_void(issued(line(2900))), "VOID"),
        (issued(line(2900), paid=[2900]), "PAID"),
    ],
    ids=["draft", "void", "paid"],
)
def test_a_state_that_matters_is_stamped(invoice: Invoice, stamp: str) -> None:
    assert stamp in read(invoice).text
    assert stamp not in read(issued(line(2900))).text


def test_somebody_forgotten_is_named_as_forgotten() -> None:
    found = read(issued(line(2900), buyer_name=FORGOTTEN, buyer_email=FORGOTTEN, buyer_tax_id=FORGOTTEN))
    assert found.text.count(FORGOTTEN) == 3


@pytest.mark.parametrize("name", ["株式会社", "شركة", "\U00010600\U00010601", "\ue000", "👩‍👩‍👧"])
def test_a_script_that_no_font_here_knows_is_no_reason_to_have_no_invoice(name: str) -> None:
    found = read(issued(line(2900), buyer_name=name))
    assert "Total $29.00" in found.text


def test_right_to_left_pages_hold_their_figures_and_foreign_names() -> None:
    found = read(issued(line(2900), buyer_name="Acme (KW)", currency="ILS"), "he")
    assert found.root("/Lang") == "he"
    assert found.root("/ViewerPreferences") is None or "/Direction" in found.root("/ViewerPreferences")
    for text in ("חשבונית", "29.00", "₪", "Acme", "INV-000007"):
        assert text in found.text


def test_paper_is_that_of_the_country() -> None:
    def width(locale: str) -> int:
        return round(float(read(issued(line(2900)), locale).reader.pages[0].mediabox.width))

    assert (width("en_US"), width("en_GB"), width("de"), width("en")) == (612, 595, 595, 595)


def test_several_are_made_at_once() -> None:
    documents = [written(issued(line(amount))) for amount in range(100, 116)]
    large = written(issued(*(line(1, number) for number in range(1, 150))))
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(pdf_of, [*documents, large, large]))
    assert made == [pdf_of(one) for one in [*documents, large, large]]


def test_large_ones_are_made_one_at_a_time_and_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    small = written(issued(line(2900)))
    large = replace(small, lines=small.lines * 101)
    doing, together = [0], [0]
    happened: list[int | str] = []

    def make(document: Shown) -> bytes:
        doing[0] += 1
        together[0] = max(together[0], doing[0])
        made = set_document(document)
        happened.append(len(document.lines))
        doing[0] -= 1
        return made

    set_document = pdf._set
    monkeypatch.setattr(pdf, "_set", make)
    monkeypatch.setattr(pdf, "_forget", lambda: happened.append("forgotten"))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(pdf_of, [large] * 4))
    pdf_of(small)
    assert together == [1]
    assert happened == [101, "forgotten"] * 4 + [1]


def test_more_lines_than_a_pdf_is_made_of_are_refused() -> None:
    few = written(issued(line(2900)))
    with pytest.raises(TooManyLines, match="ask for html or csv"):
        pdf_of(replace(few, lines=few.lines * (MAX_LINES + 1)))
