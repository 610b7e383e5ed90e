"""Webhooks: where Stripe delivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request

from api.edge import Edge, answer, operation
from consumers.stripe_intake import receive
from schemas import responses

if TYPE_CHECKING:
    from flask import Response


@operation(
    "POST",
    "/v1/stripe/webhook",
    answer=responses.ReceivedView,
    refusals=(400, 404, 413, 503),
    description="Signed by Stripe over the raw body; no key of ours.",
)
def stripe_default(edge: Edge) -> Response:
    """Take a delivery from Stripe through the default endpoint."""
    return _receive(edge, "")


@operation(
    "POST",
    "/v1/stripe/webhook/{endpoint}",
    answer=responses.ReceivedView,
    refusals=(400, 404, 413, 503),
    description="Signed by Stripe over the raw body; no key of ours.",
)
def stripe(edge: Edge, endpoint: str) -> Response:
    """Take a delivery from Stripe."""
    return _receive(edge, endpoint)


def _receive(edge: Edge, endpoint: str) -> Response:
    body = request.get_data(cache=False)
    signature = request.headers.get("Stripe-Signature")
    received = receive(edge.log, edge.settings, endpoint, body, signature, edge.clock())
    return answer({"received": True, "duplicate": not received.new}, 200, received.position)
