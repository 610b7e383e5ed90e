"""`daybook topics`, `publish` and `epoch` as processes of their own."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from schemas import topics
from tests.e2e.running import daybook
from tests.kafka.broker import running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.broker import Cluster
    from tests.postgres import Database

NAMES = [*topics.INBOUND, *topics.OUTBOUND]
OUT_OF_REACH_SECONDS = 20.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Run a broker that no other test makes topics on."""
    with running_cluster() as started:
        yield started


@pytest.fixture(scope="module")
def made(cluster: Cluster) -> str:
    """Make the topics, and give what was said."""
    variables = {"KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers}
    return daybook("topics", "create", "--json", variables=variables).stdout


@pytest.fixture
def variables(cluster: Cluster, database: Database) -> dict[str, str]:
    return {"KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers, "DATABASE_URL": database.owner_url}


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_topics_are_made_once_and_listed(made: str, variables: dict[str, str]) -> None:
    assert [(one["topic"], one["created"]) for one in lines(made)] == [(name, True) for name in NAMES]
    again = daybook("topics", "create", variables={**variables, "DAYBOOK_KAFKA_PARTITIONS": "5"})
    assert again.returncode == 0
    assert again.stdout.count("there already, but: 4 partitions, not 5\n") == len(NAMES)
    listed = daybook("topics", "list", "--json", variables=variables)
    assert [one["topic"] for one in lines(listed.stdout)] == NAMES
    table = daybook("topics", "list", variables=variables)
    assert "daybook.events" in table.stdout
    assert "30 days" in table.stdout
    refused = daybook("topics", "accept-gap", topics.USAGE, "0", "--reason", "none", variables=variables)
    assert (refused.returncode, refused.stderr) == (
        1,
        "Error: partition 0 of daybook.usage was never read\n",
    )


def test_topics_are_listed_although_the_database_is_out_of_reach(
    made: str, variables: dict[str, str]
) -> None:
    assert made
    away = {**variables, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    listed = daybook("topics", "list", "--json", variables=away)
    assert listed.returncode == 0
    assert len(lines(listed.stdout)) == len(NAMES)
    assert "How far they are read is not known" in listed.stderr


@pytest.mark.parametrize("subcommand", ["create", "list"])
def test_kafka_out_of_reach_is_one_line_and_status_1_in_a_bounded_time(subcommand: str) -> None:
    began = time.monotonic()
    done = daybook("topics", subcommand, variables={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert time.monotonic() - began < OUT_OF_REACH_SECONDS
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("Error: Kafka is out of reach")


@pytest.mark.parametrize("arguments", [("topics", "list"), ("publish",)])
def test_without_kafka_in_the_settings_it_is_said_how_to_name_it(
    arguments: tuple[str, ...], database: Database
) -> None:
    done = daybook(*arguments, variables={"DATABASE_URL": database.owner_url})
    assert done.returncode == 1
    assert done.stderr.startswith("Error: KAFKA_BOOTSTRAP_SERVERS is not set")


def test_the_epoch_is_shown_and_raised(database: Database) -> None:
    variables = {"DATABASE_URL": database.owner_url}
    raised = daybook("epoch", "raise", "--reason", "restored", variables=variables)
    assert raised.stdout == "The log is in epoch 2 from position 1 on.\n"
    shown = daybook("epoch", "show", "--json", variables=variables)
    assert [(one["epoch"], one["reason"]) for one in lines(shown.stdout)] == [
        (1, "installed"),
        (2, "restored"),
    ]
    with psycopg.connect(database.owner_url) as connection:
        assert connection.execute("SELECT topic FROM log.events").fetchall() == [("feed.log_epoch_raised",)]
    refused = daybook("epoch", "raise", "--to", "2", "--reason", "again", variables=variables)
    assert (refused.returncode, refused.stderr) == (1, "Error: the log is in epoch 2 already\n")
