"""The service over HTTP on a real PostgreSQL: two organisations, a clock to move, a follower to step."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from api.app import create_app
from commands.bootstrap import Founded, Founding, found_organisation
from consumers.feed_producer import FeedProducer
from ledger.settings import Settings
from ledger.store import Log
from projections.follower import Follower
from projections.registry import PROJECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from tests.postgres import Database

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
MASTER_KEY = b"k" * 32
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Caller:
    """Somebody with a key."""

    client: FlaskClient
    secret: str

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        """Send a request; `body` goes as JSON, header names are given with underscores for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = {"Authorization": f"Bearer {self.secret}", **named}
        if body is None:
            return self.client.open(path, method=method, headers=named)
        return self.client.open(path, method=method, headers=named, json=body)

    def get(self, path: str, **query: Any) -> TestResponse:
        """Read."""
        headers = {"Authorization": f"Bearer {self.secret}"}
        return self.client.get(path, query_string=query, headers=headers)

    def post(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        """Write."""
        return self.call("POST", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> TestResponse:
        """Change."""
        return self.call("PATCH", path, body, **headers)

    def send(self, path: str, raw: bytes | str, content_type: str, **headers: str) -> TestResponse:
        """Post raw bytes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = {"Authorization": f"Bearer {self.secret}", "Content-Type": content_type, **named}
        return self.client.post(path, data=raw, headers=named)

    # -- what most tests begin with -----------------------------------------------------------------

    def new_account(self, name: str = "Ada", **more: Any) -> str:
        """Register an account and give its id."""
        return str(ok(self.post("/v1/accounts", {"name": name, **more}), 201)["id"])

    def new_plan(self, amount: int = 2900, **more: Any) -> str:
        """Create a plan and give its id."""
        body = {"name": "Pro", "currency": "USD", "interval": "month", "amount": amount, **more}
        return str(ok(self.post("/v1/plans", body), 201)["id"])

    def subscribed(self, account: str, amount: int = 2900) -> dict[str, Any]:
        """Subscribe an account to a new plan and give the subscription."""
        body = {"plan": self.new_plan(amount)}
        return ok(self.post(f"/v1/accounts/{account}/subscriptions", body), 201)

    def new_key(self, account: str, *scopes: str) -> Caller:
        """Issue a key of an account and give the caller who holds it."""
        body = {"name": "key", "scopes": list(scopes)} if scopes else {"name": "key"}
        issued = ok(self.post(f"/v1/accounts/{account}/keys", body), 201)
        return Caller(self.client, issued["secret"])


@dataclass
class HttpWorld:
    """The application, an organisation's operators in its two books, and another organisation's."""

    database: Database
    log: Log
    settings: Settings
    client: FlaskClient
    founded: Founded
    other: Founded
    now: datetime = NOW
    feed: FeedProducer | None = None
    _follower: Follower | None = field(default=None, repr=False)

    @property
    def operator(self) -> Caller:
        """The operator of the live book."""
        return Caller(self.client, self.founded.live_key)

    @property
    def test_operator(self) -> Caller:
        """The operator of the same organisation's test book."""
        return Caller(self.client, self.founded.test_key)

    @property
    def stranger(self) -> Caller:
        """The operator of another organisation."""
        return Caller(self.client, self.other.live_key)

    @property
    def anonymous(self) -> FlaskClient:
        """Somebody without a key."""
        return self.client

    def follow(self) -> Self:
        """Let every projection catch up."""
        if self._follower is None:
            self._follower = Follower(self.database.follower_url, MASTER_KEY, PROJECTIONS.values())
        self._follower.catch_up()
        return self

    def close(self) -> None:
        """Close what is open."""
        if self._follower is not None:
            self._follower.close()
        if self.feed is not None:
            self.feed.close()
        self.log.close()

    def limited_operator(self, *scopes: str) -> Caller:
        """Register a principal with a key of these scopes and give the caller who holds it."""
        principal = ok(self.operator.post("/v1/principals", {"kind": "service", "name": "Limited"}), 201)
        body = {"name": "limited", "scopes": list(scopes)}
        issued = ok(self.operator.post(f"/v1/principals/{principal['id']}/keys", body), 201)
        return Caller(self.client, issued["secret"])


def settings_of(database: Database, **changes: Any) -> Settings:
    """Give the settings of a service on a database."""
    return Settings(
        app_url=database.app_url,
        follower_url=database.follower_url,
        master_key=MASTER_KEY,
        peppers=((1, b"p" * 32),),
        **changes,
    )


@contextmanager
def http_world(database: Database, **changes: Any) -> Iterator[HttpWorld]:
    """Serve a fresh database in which two organisations were founded."""
    settings = settings_of(database, **changes)
    assert settings.app_url is not None
    feed = None if settings.feed.bootstrap_servers is None else FeedProducer(settings.feed)
    with closing(Log(settings.app_url, MASTER_KEY, pool_size=12)) as log:
        founded = found_organisation(log, settings, Founding(name="Acme"), NOW, os.urandom)
        other = found_organisation(log, settings, Founding(name="Beta"), NOW, os.urandom)
        world: HttpWorld
        app = create_app(log, settings, lambda: world.now, os.urandom, feed)
        world = HttpWorld(database, log, settings, app.test_client(), founded, other, feed=feed)
        try:
            yield world
        finally:
            world.close()


def ok(response: TestResponse, status: int = 200) -> dict[str, Any]:
    """Give the body of an answer, which must have this status."""
    assert response.status_code == status, (response.status_code, response.get_data(as_text=True))
    body: dict[str, Any] = response.get_json()
    return body


def refused(response: TestResponse, status: int, code: str | None = None) -> dict[str, Any]:
    """Give the problem that a refusal says, which must have this status, and this code if one is named."""
    assert response.status_code == status, (response.status_code, response.get_data(as_text=True))
    assert response.content_type == PROBLEM
    body: dict[str, Any] = response.get_json()
    assert {"type", "title", "status", "detail", "code"} <= body.keys()
    assert body["status"] == status
    if code is not None:
        assert body["code"] == code, body
    return body


def position_of(response: TestResponse) -> int:
    """Give the position that an answer carries."""
    return int(response.headers["Daybook-Position"])


def usage_event(account: str, event_id: str, quantity: Any = "1", **more: Any) -> dict[str, Any]:
    """Make a usage event as a producer publishes it."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": f"gateway/{account}",
        "type": "api_calls",
        "subject": account,
        "time": "2027-01-15T11:30:00Z",
        "data": {"quantity": quantity},
        **more,
    }
