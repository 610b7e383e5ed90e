"""How fast one account's balance and timeline are served, against what the server does for `/healthz`."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from contextlib import closing
from datetime import UTC, datetime
from random import Random
from typing import Final

import msgspec

from bench.database import MASTER_KEY, Database, fill, fresh_database
from bench.load import Measured
from bench.processes import ROOT, daybook, free_port, wait_until_ready
from bench.progress import bar
from bench.results import Result, result
from commands.accounts import register_account
from commands.bootstrap import Founding, found_organisation
from commands.context import Context
from commands.invoicing import pay_invoice
from commands.keys import check_key
from commands.plans import create_plan
from commands.subscriptions import subscribe
from ledger.events import Actor
from ledger.settings import Settings
from projections.follower import Follower
from projections.registry import PROJECTIONS

_EVENTS: Final = 1_000_000
_CONNECTIONS: Final = 50
_SECONDS: Final = 10.0
_WORKERS: Final = 2
_NOW: Final = datetime(2026, 11, 1, tzinfo=UTC)
_LIMIT_P95_MS: Final = 60.0


def get_balance(scale: float) -> list[Result]:
    """Ask for the balance of an account with a million usage events."""
    return _get("get_balance", "/v1/accounts/{account}/balance", scale)


def get_timeline(scale: float) -> list[Result]:
    """Ask for the newest 50 rows of the timeline of an account with a million usage events."""
    return _get("get_timeline", "/v1/accounts/{account}/timeline?limit=50", scale)


def _get(name: str, path: str, scale: float) -> list[Result]:
    """Serve, and ask for `/healthz` before and after, so that the limit is of the same minute."""
    with fresh_database() as database:
        account, key = _live(database, int(_EVENTS * scale))
        port = free_port()
        with daybook(
            "serve", "--port", str(port), "--workers", str(_WORKERS), variables=_variables(database)
        ):
            wait_until_ready(port)
            before = _load(port, "/healthz")
            measured = _load(port, path.format(account=account), key)
            after = _load(port, "/healthz")
    limit = (before.requests + after.requests) / (before.seconds + after.seconds)
    print(f"{name}: {measured}", file=sys.stderr)
    return [
        result(name, measured.rate, "requests/s", limit),
        result(f"{name}_p95", measured.p95, "ms", _LIMIT_P95_MS),
    ]


def _load(port: int, path: str, key: str | None = None) -> Measured:
    command = [sys.executable, "-m", "bench.load", str(port), str(_CONNECTIONS), str(_SECONDS), path]
    done = subprocess.run([*command, *filter(None, [key])], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout, type=Measured)


def _variables(database: Database) -> dict[str, str]:
    """Give what the server is told: the run-time role, not the owner."""
    return {
        "DAYBOOK_APP_URL": database.url("app"),
        "DAYBOOK_MASTER_KEY": b64encode(MASTER_KEY).decode(),
        "DAYBOOK_PEPPERS": "1:" + b64encode(b"p" * 32).decode(),
    }


def _live(database: Database, events: int) -> tuple[str, str]:
    """Let an account live: register, subscribe, pay, and use; give it and a key of its book's operator."""
    settings = Settings.from_mapping(_variables(database))
    random_bytes = Random(1).randbytes
    with database.log("app") as log:
        founded = found_organisation(log, settings, Founding(name="Acme"), _NOW, random_bytes)
        checked = check_key(log, settings, founded.live_key, _NOW)
        actor = Actor(principal=checked.key.owner, kind="person", key=checked.key.key)
        context = Context(log, settings, checked.book, actor, "bench", _NOW, random_bytes)
        account = _subscribed_account(context)
    fill(database, events, book=checked.book, accounts=[account])
    follower = Follower(database.url("follower"), MASTER_KEY, PROJECTIONS.values())
    with closing(follower), bar("projecting") as progress:
        follower.catch_up(progress=progress)
    return account, founded.live_key


def _subscribed_account(context: Context) -> str:
    registered = register_account(context, "Ada Lovelace", "ada@example.com", "USD").result.state
    assert registered is not None, "it was just registered"
    plan = create_plan(context, "Pro", "USD", "month", 2_900).result.state
    assert plan is not None, "it was just created"
    invoice = subscribe(context, registered.account, plan.plan).result.invoice
    assert invoice is not None, "the first period is invoiced at once"
    assert invoice.state is not None, "an invoice begins with its first event"
    pay_invoice(context, invoice.state.draft.invoice, 2_900, "USD", "stripe", "pi_1")
    return registered.account
