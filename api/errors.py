"""Refusals to answers: the one table from error class to status, and RFC 9457 problems."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from flask import Response

from ledger import errors

# The first class in the error's ancestry that is here decides.
STATUSES: Final[dict[type[BaseException], int]] = {
    errors.Invalid: 422,
    errors.IdempotencyMismatch: 422,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.TooLarge: 413,
    errors.UnsupportedContent: 415,
    errors.SignatureRefused: 400,
    errors.PayloadRefused: 400,
    errors.Unavailable: 503,
}
TITLES: Final = {
    400: "The request cannot be read",
    401: "The key does not open",
    403: "The key may not do this",
    404: "There is no such thing here",
    405: "This is not done here",
    409: "The state of things does not allow this",
    413: "The request is too large",
    415: "This kind of content is not taken here",
    422: "The request is not valid",
    500: "Something broke on our side",
    503: "Not available right now",
}
_RETRY_AFTER_SECONDS: Final = 1


def status_of(error: BaseException) -> int | None:
    """Give the status of an error, if it is one that callers are told about."""
    for ancestor in type(error).__mro__:
        if ancestor in STATUSES:
            return STATUSES[ancestor]
    return None


def problem(
    status: int, code: str, detail: str, field_errors: dict[str, list[str]] | None = None
) -> Response:
    """Make a problem answer; `code` is permanent, `errors` maps field paths to reasons."""
    body: dict[str, Any] = {
        "type": f"urn:daybook:problem:{code}",
        "title": TITLES.get(status, "The request failed"),
        "status": status,
        "code": code,
        "detail": detail,
    }
    if field_errors:
        body["errors"] = field_errors
    response = Response(msgspec.json.encode(body), status, content_type="application/problem+json")
    if status == 401:  # noqa: PLR2004 - HTTP's own number
        response.headers["WWW-Authenticate"] = 'Bearer realm="daybook"'
    if status == 503:  # noqa: PLR2004 - HTTP's own number
        response.headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    return response


def problem_of(error: errors.DaybookError) -> Response:
    """Make the answer to a named error."""
    status = status_of(error) or 500
    detail = str(error) if status != 500 else "the request could not be carried out"  # noqa: PLR2004 - HTTP's own number
    field_errors = error.errors if isinstance(error, errors.Invalid) else None
    return problem(status, error.code, detail, field_errors)
