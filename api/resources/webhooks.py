"""Webhooks: where Stripe delivers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import request

from api.edge import Edge, answer, operation
from consumers.outgoing import Outgoing
from consumers.stripe_intake import ENDPOINT_HEADER, STRIPE, keep, verify
from ledger.stamps import HEADER, Stamp, sign_stamp, stamp_key
from schemas import responses, topics

if TYPE_CHECKING:
    from datetime import datetime

    from flask import Response

    from consumers.stripe_intake import Verified

_DESCRIPTION: Final = (
    "Signed by Stripe over the raw body; no key of ours. Where webhooks go through Kafka, the answer is 202"
    " once the brokers have acknowledged the delivery; whether it is a duplicate is not known yet (null)."
)


@operation(
    "POST",
    "/v1/stripe/webhook",
    answer=responses.ReceivedView,
    also=(202,),
    refusals=(400, 404, 413, 503),
    description=_DESCRIPTION,
)
def stripe_default(edge: Edge) -> Response:
    """Take a delivery from Stripe through the default endpoint."""
    return _receive(edge, "")


@operation(
    "POST",
    "/v1/stripe/webhook/{endpoint}",
    answer=responses.ReceivedView,
    also=(202,),
    refusals=(400, 404, 413, 503),
    description=_DESCRIPTION,
)
def stripe(edge: Edge, endpoint: str) -> Response:
    """Take a delivery from Stripe."""
    return _receive(edge, endpoint)


def _receive(edge: Edge, endpoint: str) -> Response:
    body = request.get_data(cache=False)
    now = edge.clock()
    verified = verify(edge.log, edge.settings, endpoint, body, request.headers.get("Stripe-Signature"), now)
    if edge.feed is not None:
        edge.feed.send_all([_message(edge, verified, body, now)])
        return answer({"received": True, "duplicate": None}, 202)
    received = keep(edge.log, edge.settings, verified, now)
    return answer({"received": True, "duplicate": not received.new}, 200, received.position)


def _message(edge: Edge, verified: Verified, body: bytes, now: datetime) -> Outgoing:
    stamp = Stamp(
        accepted_at=now,
        book=verified.book,
        actor=STRIPE,
        cause=verified.cause,
        endpoint=verified.endpoint,
    )
    signed = sign_stamp(stamp, topics.STRIPE, body, stamp_key(edge.settings.master_key))
    headers = ((ENDPOINT_HEADER, verified.endpoint.encode()), (HEADER, signed))
    return Outgoing(topics.STRIPE, verified.envelope.event_id.encode(), body, headers)
