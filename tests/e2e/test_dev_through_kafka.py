"""`daybook dev` where there is a Kafka: what the server hands on is read, and what is bad is kept."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kafka import KafkaProducer

from tests.e2e.running import Dev, daybook, running_dev, until
from tests.kafka.broker import running_cluster

if TYPE_CHECKING:
    from pathlib import Path


def usage(account: str, event_id: str, **more: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "shell",
        "type": "api_calls",
        "subject": account,
        "time": datetime.now(UTC).isoformat(),
        "data": {"quantity": "3"},
        **more,
    }


def total(dev: Dev, key: str, account: str) -> str:
    answer = dev.ask(f"/v1/accounts/{account}/usage", key)
    assert answer.status == 200, answer.body
    return str(answer.body["totals"][0]["quantity"]) if answer.body["totals"] else "0"


def test_a_newcomer_s_usage_arrives_over_http_and_from_a_producer_of_their_own(data_folder: Path) -> None:
    with (
        running_cluster() as cluster,
        running_dev(data_folder / "data", KAFKA_BOOTSTRAP_SERVERS=cluster.bootstrap_servers) as dev,
    ):
        line = dev.ready()
        key, book = str(line["live_key"]), str(line["live_book"])
        account = str(dev.ask("/v1/accounts", key, {"name": "Ada"}).body["id"])
        assert dev.ask("/v1/sources", key, {"source": "shell"}).status == 201

        taken = dev.ask("/v1/usage", key, {"events": [usage(account, "over HTTP")]})
        assert (taken.status, taken.body["accepted"], taken.body["position"]) == (202, 1, None)
        with closing(KafkaProducer(bootstrap_servers=cluster.bootstrap_servers)) as producer:
            value = json.dumps(usage(account, "from a shell", book=book)).encode()
            producer.send("daybook.usage", value, account.encode())
            producer.send("daybook.usage", b"nonsense", b"anyone")
            producer.flush(timeout=30)

        until(lambda: total(dev, key, account) == "6", 30, "both events to be counted")
        until(lambda: "nonsense" in shown(dev), 30, "the bad message to be kept")
        assert "daybook.usage" in dev.said()


def shown(dev: Dev) -> str:
    """Show every dead letter there is, as a person would."""
    listed = daybook("dead-letters", "list", "--json", "--data", str(dev.folder))
    assert listed.returncode == 0, listed.stderr
    ids = [json.loads(line)["id"] for line in listed.stdout.splitlines()]
    return "".join(daybook("dead-letters", "show", one, "--data", str(dev.folder)).stdout for one in ids)
