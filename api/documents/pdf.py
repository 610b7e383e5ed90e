"""The document as a PDF, set by Typst in this process: fonts embedded, the same bytes for the same invoice.

Typst does its work outside Python's own lock, so other requests go on meanwhile.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib.resources import files
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec
import typst

from ledger.errors import Conflict

if TYPE_CHECKING:
    from typst import PDFStandard

    from api.documents.shown import Shown

# To be read aloud (PDF/UA), and once it has a date, to be kept for as long as the law says (PDF/A).
_READABLE: Final[PDFStandard] = "ua-1"
_LASTING: Final[PDFStandard] = "a-2a"

# About 80 pages, a second of work and 400 MB.
MAX_LINES: Final = 2_000
_LARGE_LINES: Final = 100
_RUNS_KEPT: Final = 10
_one_large_at_a_time: Final = Lock()


class TooManyLines(Conflict):
    """The invoice has more line items than a PDF is made of."""

    code = "too_many_lines"


def pdf_of(document: Shown) -> bytes:
    """Set a document; its text reaches Typst as data, which is never read as markup."""
    lines = len(document.lines)
    if lines > MAX_LINES:
        message = f"the invoice has {lines} line items, and a PDF at most {MAX_LINES}: ask for html or csv"
        raise TooManyLines(message)
    if lines <= _LARGE_LINES:
        return _set(document)
    with _one_large_at_a_time:
        try:
            return _set(document)
        finally:
            _forget()


def _set(document: Shown) -> bytes:
    """Set a document by the standards if there are fonts for all of it.

    The standards refuse text that no font has a shape for. The font in use knows Latin, Greek, Cyrillic and
    Hebrew; for other scripts the machine's fonts are asked, and without those a box stands for a letter.
    """
    standards = [_READABLE] if document.issued_on is None else [_LASTING, _READABLE]
    for machine_fonts in (False, True):
        with suppress(typst.TypstError):
            return _compiled(document, standards, machine_fonts=machine_fonts)
    return _compiled(document, [], machine_fonts=True)


def _forget() -> None:
    """Let Typst drop what it keeps of its last ten runs, in case one comes again: 0.15 MB a line item."""
    for _ in range(_RUNS_KEPT + 1):
        typst.compile(b"", format="pdf", font_paths=_fonts(machine_fonts=False), ignore_system_fonts=True)


def _compiled(document: Shown, standards: list[PDFStandard], *, machine_fonts: bool) -> bytes:
    data = {**msgspec.to_builtins(document), "machine_fonts": machine_fonts}
    return typst.compile(
        _template(),
        format="pdf",
        font_paths=_fonts(machine_fonts=machine_fonts),
        ignore_system_fonts=not machine_fonts,
        sys_inputs={"document": msgspec.json.encode(data).decode()},
        pdf_standards=standards,
        # No clock: a document that is asked for twice is the same twice.
        timestamp=0,
    )


@cache
def _template() -> bytes:
    return files("api.documents").joinpath("templates", "invoice.typ").read_bytes()


@cache
def _fonts(*, machine_fonts: bool) -> typst.Fonts:
    return typst.Fonts(include_system_fonts=machine_fonts)
