"""The document as a page: one file, printable, with no script and nothing loaded from anywhere."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, StrictUndefined, Template

if TYPE_CHECKING:
    from api.documents.shown import Shown

_TEMPLATES: Final = files("api.documents").joinpath("templates")


def html_of(document: Shown) -> str:
    """Lay a document out as a page; all that is not ours is escaped."""
    return _template().render(
        document=document,
        words=document.words,
        priced=any(line.unit_price for line in document.lines),
        style=style(),
    )


@cache
def style() -> str:
    """Give the page's own style sheet."""
    return _TEMPLATES.joinpath("invoice.css").read_text(encoding="utf-8")


@cache
def content_security_policy() -> str:
    """Say what the page may load: its own style sheet, named by its digest, and nothing else."""
    digest = b64encode(sha256(style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=None
    )
    return environment.from_string(_TEMPLATES.joinpath("invoice.html").read_text(encoding="utf-8"))
