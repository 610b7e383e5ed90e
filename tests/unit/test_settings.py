"""Every setting is read, malformed ones are refused by name, and secrets never show."""

from __future__ import annotations

from base64 import b64encode
from decimal import Decimal

import pytest

from ledger.feed_settings import FeedSettings
from ledger.settings import VARIABLES, Settings, SettingsError, role_url

MASTER_KEY = b64encode(b"k" * 32).decode()
PEPPER = b64encode(b"p" * 32).decode()
OTHER_PEPPER = b64encode(b"q" * 32).decode()
GIVEN = {
    "DATABASE_URL": "postgresql://owner:s3cr3t-owner@db:5432/daybook?sslmode=require",
    "DAYBOOK_APP_URL": "postgresql://daybook_app:s3cr3t-app@db/daybook",
    "DAYBOOK_INGEST_URL": "postgresql://daybook_ingest:s3cr3t-ingest@db/daybook",
    "DAYBOOK_FOLLOWER_URL": "postgres://daybook_follower:s3cr3t-follower@db/daybook",
    "DAYBOOK_ROLE_PASSWORD": "s3cr3t-role",
    "DAYBOOK_MASTER_KEY": MASTER_KEY,
    "DAYBOOK_PEPPERS": f"1:{PEPPER},2:{OTHER_PEPPER}",
    "DAYBOOK_KEY_PREFIX": "acme",
    "DAYBOOK_DATA": "/var/lib/daybook",
    "DAYBOOK_MAX_BODY_BYTES": "1000",
    "DAYBOOK_USAGE_MAX_PAST_SECONDS": "2000",
    "DAYBOOK_USAGE_MAX_FUTURE_SECONDS": "30",
    "DAYBOOK_WEBHOOK_TOLERANCE_SECONDS": "40",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka-1:9092,kafka-2:9092",
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_CA_FILE": "/etc/kafka/ca.pem",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "acme",
    "KAFKA_SASL_PASSWORD": "s3cr3t-kafka",
    "DAYBOOK_KAFKA_PARTITIONS": "12",
    "DAYBOOK_KAFKA_REPLICATION": "2",
    "DAYBOOK_KAFKA_RETENTION_SECONDS": "5000",
    "DAYBOOK_KAFKA_EVENTS_RETENTION_SECONDS": "6000",
    "DAYBOOK_KAFKA_GROUP": "books",
    "DAYBOOK_PARKED_SECONDS": "7000",
    "DAYBOOK_MAX_BAD_SHARE": "0.25",
}
OTHERWISE = {
    "DATABASE_URL": "postgresql://owner@elsewhere/daybook",
    "DAYBOOK_APP_URL": "postgresql://daybook_app@elsewhere/daybook",
    "DAYBOOK_INGEST_URL": "postgresql://daybook_ingest@elsewhere/daybook",
    "DAYBOOK_FOLLOWER_URL": "postgresql://daybook_follower@elsewhere/daybook",
    "DAYBOOK_ROLE_PASSWORD": "other",
    "DAYBOOK_MASTER_KEY": PEPPER,
    "DAYBOOK_PEPPERS": f"1:{PEPPER}",
    "DAYBOOK_KEY_PREFIX": "dbk",
    "DAYBOOK_DATA": "/srv/daybook",
    "DAYBOOK_MAX_BODY_BYTES": "1001",
    "DAYBOOK_USAGE_MAX_PAST_SECONDS": "2001",
    "DAYBOOK_USAGE_MAX_FUTURE_SECONDS": "31",
    "DAYBOOK_WEBHOOK_TOLERANCE_SECONDS": "41",
    "KAFKA_BOOTSTRAP_SERVERS": "elsewhere:9092",
    "KAFKA_SECURITY_PROTOCOL": "SSL",
    "KAFKA_CA_FILE": "/etc/other.pem",
    "KAFKA_SASL_MECHANISM": "PLAIN",
    "KAFKA_SASL_USERNAME": "other",
    "KAFKA_SASL_PASSWORD": "other",
    "DAYBOOK_KAFKA_PARTITIONS": "13",
    "DAYBOOK_KAFKA_REPLICATION": "1",
    "DAYBOOK_KAFKA_RETENTION_SECONDS": "5001",
    "DAYBOOK_KAFKA_EVENTS_RETENTION_SECONDS": "6001",
    "DAYBOOK_KAFKA_GROUP": "others",
    "DAYBOOK_PARKED_SECONDS": "7001",
    "DAYBOOK_MAX_BAD_SHARE": "1",
}


def test_settings_are_what_the_variables_say() -> None:
    settings = Settings.from_mapping(GIVEN)
    assert settings == Settings(
        database_url=GIVEN["DATABASE_URL"],
        app_url=GIVEN["DAYBOOK_APP_URL"],
        ingest_url=GIVEN["DAYBOOK_INGEST_URL"],
        follower_url=GIVEN["DAYBOOK_FOLLOWER_URL"],
        role_password="s3cr3t-role",
        master_key=b"k" * 32,
        peppers=((1, b"p" * 32), (2, b"q" * 32)),
        key_prefix="acme",
        data="/var/lib/daybook",
        max_body_bytes=1000,
        usage_max_past_seconds=2000,
        usage_max_future_seconds=30,
        webhook_tolerance_seconds=40,
        feed=FeedSettings(
            bootstrap_servers="kafka-1:9092,kafka-2:9092",
            security_protocol="SASL_SSL",
            ca_file="/etc/kafka/ca.pem",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username="acme",
            sasl_password="s3cr3t-kafka",
            partitions=12,
            replication=2,
            retention_seconds=5000,
            events_retention_seconds=6000,
            group="books",
            parked_seconds=7000,
            max_bad_share=Decimal("0.25"),
        ),
    )


def test_the_list_of_variables_is_complete() -> None:
    assert GIVEN.keys() == OTHERWISE.keys() == VARIABLES.keys()
    assert all(VARIABLES.values())


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_variable_is_read(variable: str) -> None:
    changed = {**GIVEN, variable: OTHERWISE[variable]}
    assert Settings.from_mapping(changed) != Settings.from_mapping(GIVEN)


@pytest.mark.parametrize("variable", VARIABLES)
def test_an_empty_variable_is_one_that_is_not_set(variable: str) -> None:
    absent = {name: value for name, value in GIVEN.items() if name != variable}
    assert Settings.from_mapping({**GIVEN, variable: ""}) == Settings.from_mapping(absent)


def test_nothing_set_is_enough_for_the_embedded_database() -> None:
    settings = Settings.from_mapping({})
    assert settings == Settings()
    assert (settings.database_url, settings.app_url, settings.key_prefix) == (None, None, "dbk")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "host=db dbname=daybook"),
        ("DATABASE_URL", "mysql://owner@db/daybook"),
        ("DAYBOOK_APP_URL", "db"),
        ("DAYBOOK_INGEST_URL", "http://db"),
        ("DAYBOOK_FOLLOWER_URL", "postgresql"),
        ("DAYBOOK_MASTER_KEY", "not base 64!"),
        ("DAYBOOK_MASTER_KEY", b64encode(b"k" * 31).decode()),
        ("DAYBOOK_MASTER_KEY", "é"),
        ("DAYBOOK_PEPPERS", PEPPER),
        ("DAYBOOK_PEPPERS", f"one:{PEPPER}"),
        ("DAYBOOK_PEPPERS", f"\N{ARABIC-INDIC DIGIT ONE}:{PEPPER}"),
        ("DAYBOOK_PEPPERS", f"-1:{PEPPER}"),
        ("DAYBOOK_PEPPERS", "1:"),
        ("DAYBOOK_PEPPERS", f"1:{b64encode(b'short').decode()}"),
        ("DAYBOOK_PEPPERS", f"1:{PEPPER},01:{OTHER_PEPPER}"),
        ("DAYBOOK_KEY_PREFIX", "Acme"),
        ("DAYBOOK_KEY_PREFIX", "ac_me"),
        ("DAYBOOK_KEY_PREFIX", "é"),
        ("DAYBOOK_KEY_PREFIX", "a" * 17),
        ("DAYBOOK_MAX_BODY_BYTES", "8M"),
        ("DAYBOOK_MAX_BODY_BYTES", "-1"),
        ("DAYBOOK_MAX_BODY_BYTES", "1.5"),
        ("DAYBOOK_MAX_BODY_BYTES", "9" * 5000),
        ("DAYBOOK_USAGE_MAX_PAST_SECONDS", "35 days"),
        ("DAYBOOK_USAGE_MAX_FUTURE_SECONDS", "\N{ARABIC-INDIC DIGIT THREE}"),
        ("DAYBOOK_WEBHOOK_TOLERANCE_SECONDS", "0x10"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("KAFKA_SASL_MECHANISM", "MD5"),
        ("DAYBOOK_KAFKA_PARTITIONS", "0"),
        ("DAYBOOK_KAFKA_REPLICATION", "two"),
        ("DAYBOOK_KAFKA_RETENTION_SECONDS", "-1"),
        ("DAYBOOK_MAX_BAD_SHARE", "1.5"),
        ("DAYBOOK_MAX_BAD_SHARE", "-0.1"),
        ("DAYBOOK_MAX_BAD_SHARE", "NaN"),
        ("DAYBOOK_MAX_BAD_SHARE", "half"),
    ],
)
def test_a_malformed_value_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        Settings.from_mapping({**GIVEN, variable: value})


@pytest.mark.parametrize(
    "variable", ["DATABASE_URL", "DAYBOOK_APP_URL", "DAYBOOK_MASTER_KEY", "DAYBOOK_PEPPERS"]
)
@pytest.mark.parametrize("value", ["s3cr3t", "1:s3cr3t"])
def test_a_refused_secret_is_not_shown(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable) as refusal:
        Settings.from_mapping({variable: value})
    assert "s3cr3t" not in f"{refusal.value!r}"


def test_secrets_never_show() -> None:
    shown = repr(Settings.from_mapping(GIVEN))
    for secret in ("s3cr3t", "owner", "kkkk", "pppp", "qqqq", MASTER_KEY, PEPPER):
        assert secret not in shown
    assert "acme" in shown


def test_run_time_urls_come_from_the_owner_s_with_the_role_in_its_place() -> None:
    settings = Settings.from_mapping({"DATABASE_URL": GIVEN["DATABASE_URL"], "DAYBOOK_ROLE_PASSWORD": "p/w"})
    assert settings.app_url == "postgresql://daybook_app:p%2Fw@db:5432/daybook?sslmode=require"
    assert settings.ingest_url == "postgresql://daybook_ingest:p%2Fw@db:5432/daybook?sslmode=require"
    assert settings.follower_url == "postgresql://daybook_follower:p%2Fw@db:5432/daybook?sslmode=require"


def test_a_role_without_a_password_and_a_socket_keep_their_url() -> None:
    url = "postgresql://postgres:@/daybook?host=/run/pg"
    assert role_url(url, "daybook_app", "") == "postgresql://daybook_app@/daybook?host=/run/pg"
    assert role_url(None, "daybook_app", "") is None


def test_new_secrets_are_hashed_under_the_highest_pepper_and_old_ones_stay_readable() -> None:
    settings = Settings.from_mapping({"DAYBOOK_PEPPERS": f"10:{PEPPER},9:{OTHER_PEPPER}"})
    assert settings.current_pepper_version() == 10
    assert (settings.pepper(10), settings.pepper(9)) == (b"p" * 32, b"q" * 32)


def test_a_lost_pepper_is_named() -> None:
    with pytest.raises(SettingsError, match="no version 3"):
        Settings.from_mapping(GIVEN).pepper(3)
    with pytest.raises(SettingsError, match="DAYBOOK_PEPPERS is not set"):
        Settings().current_pepper_version()
