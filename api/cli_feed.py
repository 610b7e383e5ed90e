"""Subcommands of the feed: its topics (`topics`), what goes out (`publish`) and the log's epoch (`epoch`)."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from api.cli_support import (
    begin,
    child_option,
    console,
    print_json,
    required,
    say,
    settings_from_environment,
)
from ledger.errors import DaybookError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commands.context import Context
    from consumers.topic_states import TopicState
    from consumers.topics import Made
    from ledger.settings import Settings
    from ledger.store import Log

_as_json = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each.")
_reason = click.option("--reason", required=True, help="Why; it is kept in the log.")
_DAY_SECONDS: Final = 24 * 3600


@click.group()
def topics() -> None:
    """Make and look at the topics in Kafka."""
    # Its client says in many lines what ours says in one.
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    logging.getLogger("kafka").propagate = False


@topics.command()
@_as_json
def create(*, as_json: bool) -> None:
    """Make the topics that are not there, as the settings say.

    Those that are there are left as they are; where they differ from the settings, that is shown.
    """
    from consumers.topics import admin_client, broker_count, create_topics, planned_topics

    feed = settings_from_environment().feed
    with admin_client(feed) as admin:
        made = create_topics(admin, planned_topics(feed, broker_count(admin)))
    for one in made:
        if as_json:
            print_json(one)
        else:
            click.echo(f"{one.topic:<22} {_told(one)}")


def _told(made: Made) -> str:
    if made.created:
        return "made"
    return "there already" + (f", but: {'; '.join(made.differences)}" if made.differences else "")


@topics.command("list")
@_as_json
def list_(*, as_json: bool) -> None:
    """Show the topics: partitions, replicas, retention, offsets, and how far each is read."""
    from consumers.topic_states import topic_states
    from consumers.topics import admin_client

    settings = settings_from_environment()
    with admin_client(settings.feed) as admin:
        states = topic_states(admin)
    states = _with_offsets_read(settings, states)
    if as_json:
        for state in states:
            print_json(_described(state))
        return
    _print_table(states)


def _with_offsets_read(settings: Settings, states: list[TopicState]) -> list[TopicState]:
    """Add how far each partition is read, where a database can be asked."""
    import psycopg

    from consumers.topic_states import offsets_read
    from ledger.store import Log

    if settings.app_url is None:
        return states
    try:
        with closing(Log(settings.app_url, settings.master_key)) as log, log.connection() as connection:
            standing = offsets_read(connection, [state.feed for state in states])
    except (DaybookError, psycopg.Error) as error:
        say(f"How far they are read is not known: {str(error).strip()}")
        return states
    return [state.standing_at(standing) for state in states]


def _described(state: TopicState) -> dict[str, object]:
    partitions = [asdict(one) | {"lag": one.lag} for one in state.partitions]
    return asdict(state) | {"partitions": partitions}


def _print_table(states: list[TopicState]) -> None:
    from rich.table import Table

    table = Table("topic", "retention", "partition", "in sync", "first", "end", "next", "lag")
    for state in states:
        for number, one in enumerate(state.partitions):
            table.add_row(
                state.topic if number == 0 else "",
                _retention(state.retention_seconds) if number == 0 else "",
                str(one.partition),
                f"{one.in_sync} of {one.replicas}",
                *("" if value is None else f"{value:,}" for value in _offsets(one)),
            )
    console().print(table)


def _offsets(one: object) -> list[int | None]:
    return [getattr(one, name) for name in ("first_offset", "end_offset", "next_offset", "lag")]


def _retention(seconds: int | None) -> str:
    if seconds is None:
        return "for ever"
    return f"{seconds // _DAY_SECONDS} days" if seconds % _DAY_SECONDS == 0 else f"{seconds:,} s"


@topics.command("accept-gap")
@click.argument("topic")
@click.argument("partition", type=click.IntRange(min=0))
@_reason
@_as_json
def accept_gap_command(topic: str, partition: int, reason: str, *, as_json: bool) -> None:
    """Have reading of PARTITION of TOPIC go on although messages are missing from it.

    A gap stops `daybook consume`: Kafka deleted messages before they were read, or lost some that had been.
    Reading goes on at the first message that is left, or at the topic's end when that lies before what was
    read.
    """
    from commands.feed_gaps import accept_gap
    from consumers.gaps import find_gap
    from consumers.topics import admin_client
    from ledger.store import Log

    settings = settings_from_environment()
    url = required(settings.app_url, "DAYBOOK_APP_URL", "DATABASE_URL")
    with closing(Log(url, settings.master_key)) as log, admin_client(settings.feed) as admin:
        gap = find_gap(admin, log, topic, partition, reason)
        accept_gap(_installation(settings, log, "daybook topics accept-gap"), gap)
    if as_json:
        print_json(gap)
        return
    click.echo(f"{topic} {partition}: reading goes on at offset {gap.to_offset}, not at {gap.from_offset}.")


@click.command()
@child_option
def publish(*, child: bool) -> None:
    """Write every event of the log to the topic daybook.events, until SIGTERM or Ctrl-C.

    One publisher works at a time: a newer one takes the older one's place, which ends with exit status 1.
    """
    settings = settings_from_environment()
    required(settings.follower_url, "DAYBOOK_FOLLOWER_URL", "DATABASE_URL")
    required(settings.feed.bootstrap_servers, "KAFKA_BOOTSTRAP_SERVERS")
    from api.publishing import publish_until_stopped

    begin(child=child)
    # Its client tells of every connection; an outage is one line of ours at each try.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    if not publish_until_stopped(settings):
        sys.exit(1)


@click.group()
def epoch() -> None:
    """Show or raise the log's epoch: its life, of which a restored log begins a new one."""


@epoch.command()
@_as_json
def show(*, as_json: bool) -> None:
    """Show every epoch of the log, the present one last."""
    from commands.epochs import log_epochs

    with _owners_log() as (_, log):
        epochs = log_epochs(log)
    for one in epochs:
        if as_json:
            print_json(one)
        else:
            click.echo(f"{one.epoch:>4}  {one.began_at:%Y-%m-%d %H:%M:%S}  {one.reason}")


@epoch.command("raise")
@_reason
@click.option("--to", type=click.IntRange(min=2), help="The epoch to go to.  [default: the next one]")
@_as_json
def raise_(reason: str, to: int | None, *, as_json: bool) -> None:
    """Begin a new epoch, once the log was restored from a backup and before anything is published again.

    It tells readers of daybook.events that positions are given out a second time.
    """
    from commands.epochs import raise_epoch

    with _owners_log() as (settings, log):
        done = raise_epoch(_installation(settings, log, "daybook epoch raise"), reason, to)
    if as_json:
        print_json({"epoch": done.result.epoch, "position": done.position})
        return
    click.echo(f"The log is in epoch {done.result.epoch} from position {done.position} on.")


@contextmanager
def _owners_log() -> Iterator[tuple[Settings, Log]]:
    from ledger.store import Log

    settings = settings_from_environment()
    url = required(settings.database_url, "DATABASE_URL")
    with closing(Log(url, settings.master_key)) as log:
        yield settings, log


def _installation(settings: Settings, log: Log, cause: str) -> Context:
    """Give the context of whoever works at this command line, in the installation's own book."""
    from commands.context import Context
    from ledger.events import Actor
    from ledger.identifiers import INSTALLATION_BOOK

    actor = Actor(principal="operator", kind="system")
    return Context(log, settings, INSTALLATION_BOOK, actor, cause, datetime.now(UTC), os.urandom)
