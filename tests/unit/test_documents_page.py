"""The document as a page."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from api.documents.page import content_security_policy, html_of
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

_VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """A page as its reader finds it; tags must close in the order they opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.style = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += "\n" if tag in {"td", "th", "dd", "dt", "p", "span"} else ""
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            self.style += data
        else:
            self.text += data

    @property
    def seen(self) -> str:
        return " ".join(self.text.split())


RICH = issued(*RICH_LINES, paid=[5000])


def test_a_page_says_all_that_an_invoice_must() -> None:
    seen = Page(html_of(written(RICH))).seen
    for text in (
        "Invoice INV-000007",
        "Acme Inc.",
        "Tax ID: DE123456789",
        "Ada at the time",
        "ada@then.example",
        "Tax ID: GB999",
        "February 1, 2027",
        "February 15, 2027",
        "14 days",
        "Partially paid",
        "USD",
        "API calls, first 10,000",
        "10,000 $0.005 $50.00",
        "4,114.5 $0.003 $12.34",
        "Discount Welcome: -$3.00",
        "Adjusts line 1",
        "Adjusts an earlier invoice (line_",
        "Subtotal $185.64",
        "Discounts -$3.00",
        "VAT 19% (DE) $16.78",
        "VAT 7% (DE) $0.70",
        "Total $200.12",
        "-$50.00",
        "Amount due $150.12",
        "$150.12 due on February 15, 2027",
        "added to the prices",
        "Reverse charge",
        "Periods are given in the time zone UTC.",
    ):
        assert text in seen, text


def test_tax_within_the_prices_is_told_apart_from_tax_on_top() -> None:
    both = issued(line(2900, 1, taxes=(tax(463, 2900, "inclusive"),)), line(1000, 2, taxes=(tax(190, 1000),)))
    seen = Page(html_of(written(both))).seen
    assert "VAT 19% (DE) $1.90 Total $40.90 Including VAT 19% (DE) $4.63" in seen
    assert "added to the prices $10.00 $1.90" in seen
    assert "included in the prices $29.00 $4.63" in seen


def test_a_page_runs_nothing_and_loads_nothing() -> None:
    page = Page(html_of(written(RICH)))
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "form", "base", "a", "svg"}
        assert not {name for name in attributes if name in {"src", "href", "style"} or name.startswith("on")}
    assert "url(" not in page.style
    assert "@import" not in page.style
    assert "://" not in html_of(written(RICH))


def test_the_policy_allows_the_page_s_own_style_and_nothing_else() -> None:
    page = Page(html_of(written(RICH)))
    digest = b64encode(sha256(page.style.encode()).digest()).decode()
    policy = dict(part.strip().split(" ", 1) for part in content_security_policy().split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


EVIL = "<script>alert('1')</script> \"><img src=x onerror=alert(1)> {{ 7*7 }} {% raw %} &amp; </style>"


def test_whatever_things_are_called_the_page_stays_a_page() -> None:
    evil = issued(
        line(2900, description=EVIL, discounts=(discount(1),), taxes=(tax(1, 2, rate=EVIL, reason=EVIL),)),
        formatted_number=EVIL,
        seller_name=EVIL,
        seller_tax_id=EVIL,
        buyer_name=EVIL,
        buyer_email=EVIL,
        terms=EVIL,
    )
    plain = Page(
        html_of(written(issued(line(2900, discounts=(discount(1),), taxes=(tax(1, 2, reason="r"),)))))
    )
    page = Page(html_of(written(evil)))
    assert page.tags == plain.tags
    assert EVIL in page.text


def test_text_cannot_turn_the_direction_or_break_the_line() -> None:
    page = Page(html_of(written(issued(line(2900, description="a\u202eb\u2066c\nd\x07e\u200ff")))))
    assert "a b c d e\u200ff" in page.text


@pytest.mark.parametrize(
    ("invoice", "stamp", "note"),
    [
        (draft(line(2900)), "Draft", "This is a draft"),
        (made_void(issued(line(2900))), "Void", "This invoice was made void"),
        (issued(line(2900), paid=[2900]), "Paid", None),
        (issued(line(0)), "Paid", None),
        (issued(line(2900)), None, None),
        (issued(line(2900), paid=[900]), None, None),
    ],
    ids=["draft", "void", "paid", "nothing to pay", "open", "partially paid"],
)
def test_a_state_that_matters_is_stamped(invoice: object, stamp: str | None, note: str | None) -> None:
    html = html_of(written(invoice))  # type: ignore[arg-type]
    found = re.search(r'<p class="stamp">(.*?)</p>', html)
    assert (found[1] if found else None) == stamp
    assert ('role="note"' in html) == (note is not None)
    assert note is None or note in html


def test_what_a_buyer_is_owed_is_not_stamped_paid() -> None:
    html = html_of(written(issued(line(-9900, 1), line(2900, 2))))
    assert "stamp" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    seen = Page(html).seen
    assert "Total -$70.00 Amount due $0.00 In your favour $70.00" in seen


def test_a_draft_asks_for_nothing_yet() -> None:
    assert "Amount due" not in Page(html_of(written(draft(line(2900))))).seen


def test_an_invoice_without_lines_says_so() -> None:
    assert "There is nothing on this invoice." in Page(html_of(written(issued()))).seen


def test_somebody_forgotten_is_named_as_forgotten() -> None:
    forgotten = issued(line(2900), buyer_name=FORGOTTEN, buyer_email=FORGOTTEN, buyer_tax_id=FORGOTTEN)
    seen = Page(html_of(written(forgotten))).seen
    assert seen.count(FORGOTTEN) == 3
    assert "Ada" not in seen


@pytest.mark.parametrize(
    ("locale", "language", "direction", "heading", "total"),
    [
        ("en", "en", "ltr", "Invoice", "$29.00"),
        ("de_CH", "de-CH", "ltr", "Rechnung", "$\xa029.00"),
        ("fr", "fr", "ltr", "Facture", "29,00\xa0$US"),
        ("ar", "ar", "rtl", "فاتورة", "\u200f29.00\xa0US$"),
        ("he", "he", "rtl", "חשבונית", "\u200f29.00\xa0\u200f$"),
        ("ja", "en", "ltr", "Invoice", "$29.00"),
    ],
)
def test_a_page_is_in_the_language_of_its_reader(
    locale: str, language: str, direction: str, heading: str, total: str
) -> None:
    page = Page(html_of(written(issued(line(2900)), locale)))
    assert page.tags[0] == ("html", {"lang": language, "dir": direction})
    assert f"{heading} INV-000007" in page.text
    assert total in page.text


def test_names_and_figures_keep_their_own_direction() -> None:
    html = html_of(written(issued(line(2900), buyer_name="Acme (KW)"), "ar"))
    assert "<bdi>Acme (KW)</bdi>" in html
    assert "<bdi>\u200f29.00\xa0US$</bdi>" in html


def test_tables_can_be_read_aloud() -> None:
    html = html_of(written(RICH))
    page = Page(html)
    assert html.count("<table") == html.count("<caption")
    assert all(attributes.get("scope") in {"col", "row"} for tag, attributes in page.tags if tag == "th")
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert {"main", "header", "footer"} <= {tag for tag, _ in page.tags}
    columns = page.tags.count(("th", {"scope": "row"}))
    assert columns == len(RICH_LINES) + len(written(RICH).totals) + len(written(RICH).taxes)


def test_prices_have_a_column_only_where_there_are_some() -> None:
    assert "Unit price" in html_of(written(RICH))
    assert "Unit price" not in html_of(written(issued(line(2900))))
