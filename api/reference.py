"""The API's reference for people: as a page of the running service, and as a page of the documentation."""

from __future__ import annotations

from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any, Final

from api.edge import OPERATIONS, Operation
from api.openapi import name_of
from schemas.responses import ProblemView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from marshmallow import Schema


def markdown() -> str:
    """Write the reference in Markdown."""
    return "".join(_lines())


def _lines() -> Iterator[str]:
    yield "# HTTP\n\nWritten from the code by `daybook docs http`. The same is at `/docs` of the running service.\n\n"
    yield "Send a key as `Authorization: Bearer …` or `X-API-Key: …`. Errors are `application/problem+json`. Every POST "
    yield "takes\nan `Idempotency-Key`. A write answers with `Daybook-Position`; a read waits for it with `at_least`.\n"
    for one in OPERATIONS:
        yield f"\n## {one.method} {one.path}\n\n{one.summary}.\n"
        notes = [one.description, f"Scope: `{one.scope}`." if one.scope else ""]
        for note in filter(None, notes):
            yield f"\n{note}\n"
        for title, schema in (
            ("Query", one.query),
            ("Body", one.body),
            (f"Answers {_statuses(one)}", one.answer),
        ):
            if schema is not None and schema().fields:
                yield f"\n{title}: {_inline(schema)}\n"
    yield "\n## What is inside\n"
    for schema in _nested():
        yield f"\n**{name_of(schema)}**: {_inline(schema)}\n"


def _statuses(one: Operation) -> str:
    return " or ".join(str(status) for status in (one.status, *one.also))


def _inline(schema: type[Schema]) -> str:
    return ", ".join(
        f"`{field.data_key or name}` ({_kind(field)}{'' if field.required else ', optional'})"
        for name, field in schema().fields.items()
    )


def _nested() -> list[type[Schema]]:
    """List what the bodies and answers of all operations have inside, however deep, by name."""
    found: dict[str, type[Schema]] = {name_of(ProblemView): ProblemView}
    waiting = [kind for one in OPERATIONS for kind in (one.body, one.answer) if kind is not None]
    while waiting:
        for field in waiting.pop()().fields.values():
            inside = _inside(field)
            if inside is not None and name_of(inside) not in found:
                found[name_of(inside)] = inside
                waiting.append(inside)
    return [found[name] for name in sorted(found)]


def _inside(field: Any) -> type[Schema] | None:
    inner = getattr(field, "inner", None) or getattr(field, "value_field", None)
    if inner is not None:
        return _inside(inner)
    nested: type[Schema] | None = getattr(field, "nested", None)
    return nested


@cache
def readable() -> str:
    """Write the reference as one HTML page that loads nothing from anywhere."""
    rows = [_section(tag) for tag in dict.fromkeys(one.tag for one in OPERATIONS)]
    inside = "".join(f"<h3>{escape(name_of(kind))}</h3>{_fields(kind)}" for kind in _nested())
    rows.append(f'<section id="inside"><h2>What is inside</h2>{inside}</section>')
    return _PAGE.format(
        title="Daybook",
        contents="".join(
            f'<a href="#{tag}">{tag}</a>' for tag in dict.fromkeys(one.tag for one in OPERATIONS)
        ),
        sections="".join(rows),
    )


def _section(tag: str) -> str:
    operations = [_article(one) for one in OPERATIONS if one.tag == tag]
    return f'<section id="{tag}"><h2>{tag}</h2>{"".join(operations)}</section>'


def _article(one: Operation) -> str:
    scope = f"<p>Scope <code>{one.scope}</code></p>" if one.scope else ""
    body = "" if one.body is None else f"<h4>Body</h4>{_fields(one.body)}"
    query = "" if one.query is None else f"<h4>Query</h4>{_fields(one.query)}"
    result = "" if one.answer is None else f"<h4>Answers {_statuses(one)}</h4>{_fields(one.answer)}"
    note = f"<p>{escape(one.description)}</p>" if one.description else ""
    return (
        f"<article><h3><code>{one.method} {escape(one.path)}</code></h3><p>{escape(one.summary)}.</p>"
        f"{note}{scope}{query}{body}{result}</article>"
    )


def _fields(schema: type[Schema]) -> str:
    described = "".join(
        f"<tr><td><code>{escape(field.data_key or name)}</code></td><td>{_kind(field)}</td>"
        f"<td>{'required' if field.required else ''}</td></tr>"
        for name, field in schema().fields.items()
    )
    return f"<table>{described}</table>"


def _kind(field: Any) -> str:
    inner = getattr(field, "inner", None)
    if inner is not None:
        return f"list of {_kind(inner)}"
    nested = getattr(field, "nested", None)
    if nested is not None:
        return name_of(nested)
    return _WORDS.get(type(field).__name__.lstrip("_"), type(field).__name__.lstrip("_").lower())


_WORDS: Final = {
    "AwareDateTime": "instant",
    "Boolean": "true or false",
    "ChosenId": "id",
    "CurrencyAmounts": "amounts by currency",
    "Date": "day",
    "DecimalText": "decimal number",
    "Dict": "object",
    "EventCount": "whole number",
    "Integer": "whole number",
    "Metadata": "texts by name",
    "PublicId": "id",
    "QueryInteger": "whole number",
    "Raw": "position or instant",
    "String": "text",
    "StrictInteger": "whole number",
    "TrueOrFalse": "true or false",
}


_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; color: #1c1c1c; }}
nav a {{ margin-right: 1rem; }}
article {{ border-top: 1px solid #ddd; padding: .5rem 0 1rem; }}
h3 code {{ background: #eef3f8; padding: .2rem .4rem; border-radius: .2rem; }}
h4 {{ margin: .6rem 0 .2rem; }}
table {{ border-collapse: collapse; }}
td {{ border-bottom: 1px solid #eee; padding: .1rem 1rem .1rem 0; }}
</style></head><body>
<h1>{title} API</h1>
<p>Send a key as <code>Authorization: Bearer …</code> or <code>X-API-Key: …</code>. Errors are
<code>application/problem+json</code>. Every POST takes an <code>Idempotency-Key</code>. A write answers with
<code>Daybook-Position</code>; a read waits for it with <code>at_least</code>. The machine-readable description is at
<a href="/openapi.json">/openapi.json</a>.</p>
<nav>{contents}</nav>
{sections}
</body></html>
"""
