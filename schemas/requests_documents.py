"""What the edge takes to make a document."""

from __future__ import annotations

from marshmallow import fields, validate

from schemas.fields import Text
from schemas.locales import MAX_LOCALE_CHARACTERS, require_known_locale
from schemas.requests import Read


class DocumentLocale(Read):
    """The locale to write in; without one, what the caller's Accept-Language prefers."""

    locale = Text(MAX_LOCALE_CHARACTERS, validate=require_known_locale)


class DocumentQuery(DocumentLocale):
    """What to make of the invoice, and the locale to write in."""

    format = fields.String(load_default="html", validate=validate.OneOf(["html", "pdf", "csv", "json"]))
