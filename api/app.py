"""The Flask application: routes every declared operation through one door."""

from __future__ import annotations

import logging
import time
import traceback
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec
import psycopg
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from api import resources
from api.edge import OPERATIONS, Call, Edge, Operation, replayed
from api.errors import problem, problem_of, status_of
from api.idempotency import Replay, slot_for
from api.metrics import Metrics
from commands.clock import time_in_book
from commands.keys import find_key, require_open
from ledger.errors import (
    DaybookError,
    Forbidden,
    Invalid,
    PayloadRefused,
    Refusal,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedContent,
)
from projections.applier import describe
from projections.measured import MeasuredUsage
from schemas.validation import schema_of, validated

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from marshmallow import Schema

    from consumers.feed_producer import FeedProducer
    from ledger.settings import Settings
    from ledger.store import Log

_MAX_VERSION_DIGITS: Final = 19
_access: Final = logging.getLogger("daybook.access")
_errors: Final = logging.getLogger("daybook.errors")


def create_app(
    log: Log,
    settings: Settings,
    clock: Callable[[], datetime],
    random_bytes: Callable[[int], bytes],
    feed: FeedProducer | None = None,
) -> Flask:
    """Make the application; it reads no clock and no environment of its own."""
    resources.load()
    app = Flask("daybook", static_folder=None)
    # Lets a body that is too large be refused before it is read.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_map.merge_slashes = False
    edge = Edge(log, settings, clock, random_bytes, feed, MeasuredUsage(log))
    metrics = Metrics()
    app.extensions["daybook"] = {"edge": edge, "metrics": metrics}
    for one in OPERATIONS:
        rule = one.path.replace("{", "<").replace("}", ">")
        app.add_url_rule(
            rule,
            f"{one.method} {one.path}",
            _door(edge, one),
            methods=[one.method],
            # What is not documented is not served.
            provide_automatic_options=False,
        )
    app.register_error_handler(HTTPException, _http_problem)
    app.before_request(_begin)
    app.after_request(lambda response: _finish(metrics, response))
    return app


def _door(edge: Edge, one: Operation) -> Callable[..., Response]:
    """Make the view of an operation: authenticate, validate, handle, and answer refusals by name."""

    def view(**path: str) -> Response:
        try:
            if one.scope is None:
                return one.handler(edge, **path)
            return _handled(one, _call(edge, one), path)
        except Replay as replay:
            return replayed(replay)
        except DaybookError as error:
            if status_of(error) is None:
                _report(one, error)
            return problem_of(error)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            return problem_of(Unavailable("the database is out of reach"))
        except HTTPException:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            _report(one, error)
            return problem(500, "internal", "the request could not be carried out")

    return view


def _handled(one: Operation, call: Call, path: dict[str, str]) -> Response:
    """Handle a call; one refused because the same request was carried out meanwhile gets its answer."""
    try:
        return one.handler(call, **path)
    except Refusal:
        known = None if call.slot is None else call.slot.find()
        if known is None:
            raise
        raise Replay(known) from None


def _report(one: Operation, error: Exception) -> None:
    """Log which defect it was and where, but not in its own words, which may quote what is in an event."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    _errors.error("operation %s failed: %s (%s)", one.name, describe(error), places)


def _call(edge: Edge, one: Operation) -> Call:
    wall = edge.clock()
    found = find_key(edge.log, edge.settings, _presented_key())
    # A test book may have a time of its own, which also tells whether the key opens.
    now = time_in_book(edge.log, found.book, found.mode, wall)
    checked = require_open(found, now)
    assert one.scope is not None
    if one.scope not in checked.scopes:
        message = f"this needs a key with the scope {one.scope}"
        raise Forbidden(message)
    if one.book_wide and checked.key.owner.startswith("acc_"):
        message = "an account's key does not see the whole book"
        raise Forbidden(message)
    query = {} if one.query is None else _query(edge, one.query)
    slot = None
    idempotency_key = request.headers.get("Idempotency-Key")
    if idempotency_key is not None and one.method == "POST":
        slot = slot_for(edge.log, checked.book, checked.key.key, idempotency_key, request, wall)
        known = slot.find()
        if known is not None:
            raise Replay(known)
    body = {} if one.body is None else validated(schema_of(one.body), _json_body(one))
    return Call(edge, checked, now, f"http:{g.request_id}", body, query, slot, _if_match())


@cache
def _unasked(kind: type[Schema]) -> dict[str, Any]:
    return validated(schema_of(kind), {})


def _query(edge: Edge, kind: type[Schema]) -> dict[str, Any]:
    if not request.query_string:
        return dict(_unasked(kind))
    names = [name for name, _ in request.args.items(multi=True)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid(f"{twice[0]} is given twice", {name: ["is given twice"] for name in twice})
    query = validated(schema_of(kind), request.args.to_dict())
    if query.get("at_least", 0) > 0 and query["at_least"] > edge.log.head():
        raise Invalid(
            "at_least: there is no such position yet", {"at_least": ["there is no such position yet"]}
        )
    return query


def _presented_key() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    key = request.headers.get("X-API-Key")
    if key:
        return key.strip()
    message = "send a key as `Authorization: Bearer …` or `X-API-Key: …`"
    raise Unauthenticated(message)


def _json_body(one: Operation) -> Any:
    raw = request.get_data(cache=True)
    if not raw and request.mimetype in ("", *one.content):
        return {}
    if request.mimetype not in one.content:
        raise UnsupportedContent(f"send {' or '.join(one.content)}")
    return decode_json(raw)


def decode_json(raw: bytes) -> Any:
    """Read JSON, or refuse it: malformed text is not a field that is wrong."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = "the body is not well-formed JSON in UTF-8"
        raise PayloadRefused(message) from error


def _if_match() -> int | None:
    text = request.headers.get("If-Match")
    if text is None:
        return None
    version = text.strip().removeprefix("W/").strip('"')
    if not (version.isascii() and version.isdecimal() and len(version) < _MAX_VERSION_DIGITS):
        message = "If-Match must be a version"
        raise Invalid(message, {"If-Match": ["must be a version"]})
    return int(version)


def _http_problem(error: HTTPException) -> Response:
    status = error.code or 500
    if status == 413:  # noqa: PLR2004 - HTTP's own number
        return problem_of(TooLarge("the body is larger than this installation takes"))
    codes = {404: "not_found", 405: "method_not_allowed", 415: "unsupported_media_type"}
    response = problem(status, codes.get(status, "bad_request"), error.description or error.name)
    allowed = error.get_headers()
    for name, value in allowed:
        if name == "Allow":
            response.headers["Allow"] = value
    return response


def _begin() -> None:
    g.request_id = uuid4().hex
    g.started = time.perf_counter()


def _finish(metrics: Metrics, response: Response) -> Response:
    route = request.url_rule.rule if request.url_rule is not None else "none"
    seconds = time.perf_counter() - g.started
    metrics.observe(request.method, route, response.status_code, seconds)
    response.headers["X-Request-Id"] = g.request_id
    # Answers hold money, and some a secret that is shown once: nothing on the way may keep them.
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    # What went well is counted in the metrics; a line for each would cost more than many a request.
    if _access.isEnabledFor(logging.INFO) and response.status_code >= 400:  # noqa: PLR2004 - HTTP's own number
        line = {
            "request": g.request_id,
            "method": request.method,
            "route": route,
            "status": response.status_code,
            "seconds": round(seconds, 6),
        }
        _access.info(msgspec.json.encode(line).decode())
    return response
