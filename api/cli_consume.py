"""The subcommand `consume`: reads Kafka into the log."""

from __future__ import annotations

import sys

import click

from api.cli_support import begin, child_option, require_secrets, required, settings_from_environment
from schemas import topics as names


@click.command()
@click.option(
    "--topic",
    "topics",
    multiple=True,
    type=click.Choice(names.INBOUND),
    help="A topic to read; may be given again. All of them by default.",
)
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve Prometheus metrics on this port.")
@click.option(
    "--instance",
    help="A name that is this consumer's alone: started again under it, it gets its partitions back at once.",
)
@click.option("--resume", is_flag=True, help="Go on although too many messages were bad the last time.")
@child_option
def consume(
    topics: tuple[str, ...], metrics_port: int | None, instance: str | None, *, resume: bool, child: bool
) -> None:
    """Read Kafka's topics into the log, each message exactly once, until SIGTERM or Ctrl-C."""
    settings = settings_from_environment()
    required(settings.feed.bootstrap_servers, "KAFKA_BOOTSTRAP_SERVERS")
    required(settings.ingest_url, "DAYBOOK_INGEST_URL", "DATABASE_URL")
    required(settings.app_url, "DAYBOOK_APP_URL", "DATABASE_URL")
    require_secrets(settings)
    from api.consuming import consume_until_stopped

    begin(child=child)
    if not consume_until_stopped(
        settings, topics or names.INBOUND, metrics_port=metrics_port, instance=instance, resume=resume
    ):
        sys.exit(1)
