"""Settings of the feed: where Kafka is, how its topics are made, and when the consumer gives up."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from ledger.variables import SettingsError, whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES: Final[Mapping[str, str]] = {
    "KAFKA_BOOTSTRAP_SERVERS": "host:port pairs of Kafka, separated by commas;"
    " when set, usage and webhooks that HTTP takes go through it",
    "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT (default), SSL, SASL_PLAINTEXT or SASL_SSL",
    "KAFKA_CA_FILE": "a file of the certificates that Kafka's own is checked against (default: the system's)",
    "KAFKA_SASL_MECHANISM": "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "the user at Kafka",
    "KAFKA_SASL_PASSWORD": "that user's password",
    "DAYBOOK_KAFKA_PARTITIONS": "how many partitions `daybook topics create` gives a topic (default 4)",
    "DAYBOOK_KAFKA_REPLICATION": "how many brokers keep each (default 3, or as many as there are)",
    "DAYBOOK_KAFKA_RETENTION_SECONDS": "how long the topics that are read keep a message (default 7 days)",
    "DAYBOOK_KAFKA_EVENTS_RETENTION_SECONDS": "how long daybook.events and daybook.rejected keep a message"
    " (default 30 days)",
    "DAYBOOK_KAFKA_GROUP": "the consumer group (default daybook)",
    "DAYBOOK_PARKED_SECONDS": "how long a message waits for what it names to be there,"
    " before it is a dead letter (default 7 days)",
    "DAYBOOK_MAX_BAD_SHARE": "the share of bad messages, of the last thousand, that consumption stops above"
    " (default 0.5)",
}

_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True)
class FeedSettings:
    """What reaches Kafka, and the feed's limits; no bootstrap servers means that there is no Kafka."""

    bootstrap_servers: str | None = None
    security_protocol: str = "PLAINTEXT"
    ca_file: str | None = None
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    partitions: int = 4
    replication: int | None = None
    retention_seconds: int = 7 * 24 * 3600
    events_retention_seconds: int = 30 * 24 * 3600
    group: str = "daybook"
    parked_seconds: int = 7 * 24 * 3600
    max_bad_share: Decimal = Decimal("0.5")

    @classmethod
    def from_mapping(cls, variables: Mapping[str, str]) -> FeedSettings:
        """Read the settings from environment variables, or refuse what is malformed."""
        return cls(
            bootstrap_servers=variables.get("KAFKA_BOOTSTRAP_SERVERS") or None,
            security_protocol=_one_of(variables, "KAFKA_SECURITY_PROTOCOL", _PROTOCOLS) or "PLAINTEXT",
            ca_file=variables.get("KAFKA_CA_FILE") or None,
            sasl_mechanism=_one_of(variables, "KAFKA_SASL_MECHANISM", _MECHANISMS),
            sasl_username=variables.get("KAFKA_SASL_USERNAME") or None,
            sasl_password=variables.get("KAFKA_SASL_PASSWORD") or None,
            partitions=_at_least_one(variables, "DAYBOOK_KAFKA_PARTITIONS", cls.partitions),
            replication=whole_number(variables, "DAYBOOK_KAFKA_REPLICATION", 0) or None,
            retention_seconds=whole_number(
                variables, "DAYBOOK_KAFKA_RETENTION_SECONDS", cls.retention_seconds
            ),
            events_retention_seconds=whole_number(
                variables, "DAYBOOK_KAFKA_EVENTS_RETENTION_SECONDS", cls.events_retention_seconds
            ),
            group=variables.get("DAYBOOK_KAFKA_GROUP") or cls.group,
            parked_seconds=whole_number(variables, "DAYBOOK_PARKED_SECONDS", cls.parked_seconds),
            max_bad_share=_share(variables, "DAYBOOK_MAX_BAD_SHARE", cls.max_bad_share),
        )


def _at_least_one(variables: Mapping[str, str], name: str, default: int) -> int:
    number = whole_number(variables, name, default)
    if number < 1:
        message = f"{name} must be at least 1"
        raise SettingsError(message)
    return number


def _one_of(variables: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str | None:
    text = variables.get(name) or None
    if text is not None and text not in allowed:
        message = f"{name} must be one of {', '.join(allowed)}"
        raise SettingsError(message)
    return text


def _share(variables: Mapping[str, str], name: str, default: Decimal) -> Decimal:
    text = variables.get(name, "")
    try:
        share = Decimal(text) if text else default
    except InvalidOperation:
        share = Decimal(-1)
    if not (share.is_finite() and 0 <= share <= 1):
        message = f"{name} must be a number from 0 to 1"
        raise SettingsError(message)
    return share
