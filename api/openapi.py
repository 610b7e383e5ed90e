"""The API's own description: OpenAPI from the declared operations, and the same as a page."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any, Final

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from api.edge import OPERATIONS, Operation
from api.errors import TITLES
from schemas import responses
from schemas.usage_wire import BATCH, ENVELOPE, SINGLE

if TYPE_CHECKING:
    from marshmallow import Schema

_USAGE_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "subject", "time", "data"],
    "properties": {
        "specversion": {"type": "string", "enum": ["1.0"]},
        "id": {"type": "string", "minLength": 1, "maxLength": 255},
        "source": {"type": "string", "minLength": 1, "maxLength": 255},
        "type": {"type": "string", "minLength": 1, "maxLength": 100, "description": "the meter"},
        "subject": {"type": "string", "description": "the account, acc_…"},
        "time": {"type": "string", "format": "date-time"},
        "data": {
            "type": "object",
            "required": ["quantity"],
            "properties": {"quantity": {"type": "string", "description": "a decimal number"}},
        },
    },
}
_EVENT_REFERENCE: Final = {"$ref": "#/components/schemas/UsageEvent"}
_USAGE_CONTENT: Final[dict[str, Any]] = {
    SINGLE: {"schema": _EVENT_REFERENCE},
    BATCH: {"schema": {"type": "array", "items": _EVENT_REFERENCE, "maxItems": 10_000}},
    ENVELOPE: {
        "schema": {
            "type": "object",
            "required": ["events"],
            "additionalProperties": False,
            "properties": {"events": {"type": "array", "items": _EVENT_REFERENCE, "maxItems": 10_000}},
        }
    },
}
_OTHER_CONTENT: Final = {"/metrics": "text/plain", "/docs": "text/html"}


def _name_of(schema: Any) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("View").lstrip("_") or kind.__name__


@cache
def document() -> dict[str, Any]:
    """Describe every declared operation."""
    spec = APISpec(
        title="Daybook",
        version="1",
        openapi_version="3.0.3",
        info={"description": "The event-sourced billing ledger."},
        plugins=[MarshmallowPlugin(schema_name_resolver=_name_of)],
    )
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    spec.components.security_scheme("header", {"type": "apiKey", "in": "header", "name": "X-API-Key"})
    spec.components.schema("UsageEvent", _USAGE_EVENT)
    spec.components.schema("Problem", schema=responses.ProblemView)
    for one in OPERATIONS:
        spec.path(path=one.path, operations={one.method.lower(): _operation(one)})
    described: dict[str, Any] = spec.to_dict()
    return described


def _operation(one: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": f"{one.tag}_{one.name}",
        "summary": one.summary,
        "tags": [one.tag],
        "parameters": [*_path_parameters(one), *_query_parameters(one), *_header_parameters(one)],
        "responses": {str(one.status): _success(one), **_refusals(one)},
        "security": [] if one.scope is None else [{"bearer": []}, {"header": []}],
    }
    note = one.description
    if one.scope is not None:
        note = f"{note} Scope: `{one.scope}`.".strip()
    if note:
        described["description"] = note
    if one.tag == "usage":
        described["requestBody"] = {"required": True, "content": _USAGE_CONTENT}
    elif one.tag == "webhooks":
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    elif one.body is not None:
        described["requestBody"] = {
            "required": any(field.required for field in one.body().fields.values()),
            "content": {"application/json": {"schema": one.body}},
        }
    return described


def _path_parameters(one: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", one.path)
    ]


def _query_parameters(one: Operation) -> list[Any]:
    return [] if one.query is None else [{"in": "query", "schema": one.query}]


def _header_parameters(one: Operation) -> list[dict[str, Any]]:
    if one.method != "POST" or one.scope is None:
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": 255}
    return [{"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema}]


def _success(one: Operation) -> dict[str, Any]:
    content_type = _OTHER_CONTENT.get(one.path, "application/json")
    schema: Any = one.answer if one.answer is not None else {"type": "object"}
    if content_type != "application/json":
        schema = {"type": "string"}
    return {"description": "Done.", "content": {content_type: {"schema": schema}}}


def _refusals(one: Operation) -> dict[str, Any]:
    statuses = set(one.refusals)
    if one.scope is not None:
        statuses |= {400, 401, 403, 422, 503}
        if "{" in one.path:
            statuses.add(404)
        if one.method != "GET":
            statuses |= {404, 409, 413, 415}
    reference = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {"description": TITLES.get(status, "Refused."), "content": reference}
        for status in sorted(statuses)
    }


@cache
def readable() -> str:
    """Write the reference as one HTML page that loads nothing from anywhere."""
    described = document()
    rows = [_section(tag) for tag in dict.fromkeys(one.tag for one in OPERATIONS)]
    return _PAGE.format(
        title=escape(described["info"]["title"]),
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
    result = "" if one.answer is None else f"<h4>Answers {one.status}</h4>{_fields(one.answer)}"
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
    return _name_of(nested) if nested is not None else type(field).__name__.lstrip("_").lower()


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
