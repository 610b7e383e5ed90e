"""The API's own description: OpenAPI from the declared operations."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from api.edge import OPERATIONS, Operation
from api.errors import TITLES
from schemas import responses
from schemas.usage_wire import BATCH, ENVELOPE, SINGLE

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
_ACCEPTED: Final = 202
_JSON: Final = "application/json"
# What is answered with, where it is not JSON alone.
_OTHER_CONTENT: Final[dict[str, tuple[str, ...]]] = {
    "/metrics": ("text/plain",),
    "/docs": ("text/html",),
    **{
        f"{one}{suffix}": kinds
        for one in ("/v1/invoices/{invoice}", "/v1/credit-notes/{credit_note}")
        for suffix, kinds in {
            "/document": ("text/html", "application/pdf", "text/csv", _JSON),
            ".html": ("text/html",),
            ".pdf": ("application/pdf",),
            ".csv": ("text/csv",),
        }.items()
    },
}


def name_of(schema: Any) -> str:
    """Name a schema as the documentation does."""
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
        plugins=[MarshmallowPlugin(schema_name_resolver=name_of)],
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
        "responses": {
            **{str(status): _success(one, status) for status in (one.status, *one.also)},
            **_refusals(one),
        },
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


def _success(one: Operation, status: int) -> dict[str, Any]:
    description = "Taken; Kafka has it, and the rest follows." if status == _ACCEPTED else "Done."
    content = {kind: {"schema": _answered(one, kind)} for kind in _OTHER_CONTENT.get(one.path, (_JSON,))}
    return {"description": description, "content": content}


def _answered(one: Operation, content_type: str) -> Any:
    if content_type == _JSON:
        return one.answer if one.answer is not None else {"type": "object"}
    binary = {} if content_type.startswith("text/") else {"format": "binary"}
    return {"type": "string", **binary}


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
