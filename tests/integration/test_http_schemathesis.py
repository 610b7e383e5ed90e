"""Made-up requests, many and odd: none breaks the service, and every answer is one that is described."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api import resources
from api.edge import OPERATIONS
from ledger.identifiers import stream_of
from ledger.store import Log
from projections.follower import Follower
from projections.registry import PROJECTIONS
from tests.integration.feed_letters import keep, rejected
from tests.integration.http_world import MASTER_KEY, http_world, ok, usage_event
from tests.postgres import temporary_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import BaseSchema

    from api.edge import Operation
    from tests.integration.http_world import HttpWorld

_EXAMPLES = 12
_NOTHING_THERE = 1 << 62
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    response_schema_conformance,
    content_type_conformance,
]

resources.load()


@dataclass(frozen=True)
class Fuzzed:
    """The service, its description as it serves it, and ids that name something in its book."""

    world: HttpWorld
    schema: BaseSchema
    known: dict[str, list[str]]


@pytest.fixture(scope="module")
def fuzzed(server_url: str, template_database: str) -> Iterator[Fuzzed]:
    stop = threading.Event()
    with temporary_database(server_url, template_database) as database, http_world(database) as world:
        follower = Follower(database.follower_url, MASTER_KEY, PROJECTIONS.values())
        thread = threading.Thread(target=follower.run, args=(stop,))
        thread.start()
        try:
            known = _begin(world)
            yield Fuzzed(
                world, schemathesis.openapi.from_wsgi("/openapi.json", world.client.application), known
            )
        finally:
            stop.set()
            thread.join()


def _begin(world: HttpWorld) -> dict[str, list[str]]:
    """Put one of everything into the book and give the ids by the names that paths know them under."""
    operator = world.operator
    account = operator.new_account("Ada", email="ada@example.com")
    subscription = operator.subscribed(account)
    key = ok(operator.post(f"/v1/accounts/{account}/keys", {"name": "k"}), 201)["id"]
    principal = ok(operator.post("/v1/principals", {"kind": "person", "name": "Ann"}), 201)["id"]
    product = ok(operator.post("/v1/products", {"name": "API"}), 201)["id"]
    meter = ok(operator.post("/v1/meters", {"code": "tokens"}), 201)["id"]
    vat = {"name": "VAT", "jurisdiction": "DE", "percent": "19"}
    tax_rate = ok(operator.post("/v1/tax-rates", vat), 201)["id"]
    coupon = ok(operator.post("/v1/coupons", {"code": "HELLO", "percent_off": "10"}), 201)["id"]
    given = {"amount": 500, "currency": "USD", "kind": "paid"}
    grant = ok(operator.post(f"/v1/accounts/{account}/credit-grants", given), 201)["id"]
    credited = operator.post(f"/v1/invoices/{subscription['invoice']}/credit-notes", {"amount": 1})
    used = ok(operator.post("/v1/usage", {"events": [usage_event(account, "1")]}))["position"]
    return {
        "account": [account],
        "key": [key],
        "product": [product],
        "meter": [meter, "tokens"],
        "tax_rate": [tax_rate],
        "coupon": [coupon, "HELLO"],
        "billing_entity": ["default"],
        "plan": [subscription["plan"]],
        "subscription": [subscription["id"]],
        "item": [subscription["items"][0]["id"]],
        "invoice": [subscription["invoice"]],
        "line": [line["id"] for line in ok(operator.get(f"/v1/invoices/{subscription['invoice']}"))["lines"]],
        "credit_note": [ok(credited, 201)["id"]],
        "grant": [grant],
        "principal": [principal],
        "endpoint": [world.founded.endpoint],
        "dead_letter": _dead_letters(world),
        "position": [str(position) for position in range(1, used + 1)],
        "run": [str(used)],
    }


def _dead_letters(world: HttpWorld) -> list[str]:
    book = stream_of("book", world.founded.live_book)
    with closing(Log(world.database.ingest_url, MASTER_KEY)) as log:
        return keep(log, *[rejected(value, book=book) for value in (b"{}", b"\xff", None)])


def _cases() -> Iterator[Any]:
    """Give every operation with requests as described, and with others if it takes anything at all."""
    for one in OPERATIONS:
        for mode in GenerationMode:
            if mode == GenerationMode.POSITIVE or one.scope is not None or one.method != "GET":
                yield pytest.param(one, mode, id=f"{one.method} {one.path} {mode.value}")


@pytest.mark.parametrize(("operation", "mode"), list(_cases()))
def test_made_up_requests_are_answered_as_described(
    fuzzed: Fuzzed, operation: Operation, mode: GenerationMode
) -> None:
    described = fuzzed.schema[operation.path][operation.method]
    strategy = described.as_strategy(generation_mode=mode)

    @seed(1)
    @settings(
        max_examples=_EXAMPLES,
        database=None,
        deadline=None,
        # What an operation does not take cannot be made wrong, and filtering for it is no defect.
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy, data=st.data())
    def run(case: Any, data: st.DataObject) -> None:
        for name in case.path_parameters or {}:
            if data.draw(st.booleans(), label=f"a known {name}"):
                case.path_parameters[name] = data.draw(st.sampled_from(fuzzed.known[name]), label=name)
        if operation.path.endswith("/set-aside"):
            # Setting aside what projections have applied already stops them, as it must, for all tests.
            case.path_parameters["position"] = str(_NOTHING_THERE)
        headers = {"Authorization": f"Bearer {fuzzed.world.founded.live_key}"}
        case.call_and_validate(headers=headers, checks=_CHECKS)

    run()
