"""docker-compose.yml says nothing that the code does not know: no Docker engine is needed to find out."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import click
import pytest
import yaml

from api.cli import daybook
from api.cli_support import require_secrets
from api.consuming import _STOP_SECONDS
from api.scheduling import _STOP_SECONDS as SCHEDULER_STOP_SECONDS
from ledger.settings import VARIABLES, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()

# Which service may know which database role: nothing that keeps running knows the owner.
DATABASE_USERS = {
    "DATABASE_URL": "daybook",
    "DAYBOOK_APP_URL": "daybook_app",
    "DAYBOOK_INGEST_URL": "daybook_ingest",
    "DAYBOOK_FOLLOWER_URL": "daybook_follower",
}
TALK_TO_KAFKA = {"consume", "publish", "serve", "topics"}
RUN_ONCE = {"migrate", "topics"}


# Values of the shape that `.env.example` says how to make.
KEY = b64encode(bytes(32)).decode()
FILLED_IN = {
    "POSTGRES_PASSWORD": "owner",
    "DAYBOOK_ROLE_PASSWORD": "role",
    "DAYBOOK_MASTER_KEY": KEY,
    "DAYBOOK_PEPPERS": f"1:{KEY}",
}


def filled_in(service: dict[str, Any]) -> dict[str, str]:
    """Return a service's variables as they are once `.env` is filled in."""
    return {
        variable: re.sub(r"\$\{(\w+)[^}]*\}", lambda found: FILLED_IN[found[1]], value)
        for variable, value in environment(service).items()
    }


def options(service: dict[str, Any]) -> dict[str, Any]:
    """Parse a service's command line as click would, without running it."""
    command: click.Command = daybook
    context, arguments = click.Context(daybook), list(service["command"])
    while isinstance(command, click.Group):
        name = arguments.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"there is no `{command.name} {name}`"
        command, context = found, click.Context(found, parent=context, info_name=name)
    return command.make_context(context.info_name, arguments).params


def environment(service: dict[str, Any]) -> dict[str, str]:
    """Return the variables a service is given."""
    return cast("dict[str, str]", service.get("environment", {}))


def published(service: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Yield (interface, port outside, port inside) of every port a service publishes."""
    for mapping in service.get("ports", []):
        interface, outside, inside = mapping.split(":")
        yield interface, int(outside), int(inside)


def waits(service: dict[str, Any]) -> dict[str, str]:
    """Return what a service waits for, and for which condition."""
    return {name: entry["condition"] for name, entry in service.get("depends_on", {}).items()}


def test_every_process_of_this_version_has_a_service_named_after_its_command() -> None:
    assert {name: service["command"][0] for name, service in OURS.items()} == {
        "consume": "consume",
        "migrate": "migrate",
        "project": "project",
        "publish": "publish",
        "schedule": "schedule",
        "serve": "serve",
        "topics": "topics",
    }


def test_the_topics_are_made_and_not_only_looked_at() -> None:
    assert OURS["topics"]["command"] == ["topics", "create"]


@pytest.mark.parametrize(
    "command", [["topic"], ["topics", "make"], ["topics", "create", "--all"], ["topics"]]
)
def test_a_command_line_that_the_cli_does_not_take_would_be_found(command: list[str]) -> None:
    with pytest.raises((AssertionError, IndexError, click.UsageError)):
        options({"command": command})


@pytest.mark.parametrize("name", OURS)
def test_every_command_line_is_one_that_the_cli_takes(name: str) -> None:
    assert options(OURS[name]) is not None


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_one_that_the_settings_read(name: str) -> None:
    assert set(environment(OURS[name])) <= set(VARIABLES)


def test_the_settings_accept_what_each_service_is_given() -> None:
    migrate, serve, project = (
        Settings.from_mapping(filled_in(OURS[name])) for name in ("migrate", "serve", "project")
    )
    assert migrate.database_url
    assert migrate.role_password == FILLED_IN["DAYBOOK_ROLE_PASSWORD"]
    assert serve.app_url
    assert serve.ingest_url
    assert serve.master_key == bytes(32)
    assert serve.current_pepper_version() == 1
    assert project.follower_url
    assert project.app_url
    assert project.master_key == bytes(32)
    consume, publish, topics = (
        Settings.from_mapping(filled_in(OURS[name])) for name in ("consume", "publish", "topics")
    )
    assert consume.app_url
    assert consume.ingest_url
    require_secrets(consume)
    assert publish.follower_url
    schedule = Settings.from_mapping(filled_in(OURS["schedule"]))
    assert schedule.app_url
    assert schedule.follower_url
    require_secrets(schedule, peppers=False)
    assert all(one.feed.bootstrap_servers for one in (serve, consume, publish, topics))


@pytest.mark.parametrize("name", OURS)
def test_every_variable_passed_through_keeps_its_name_and_has_no_default(name: str) -> None:
    for variable, value in environment(OURS[name]).items():
        for reference in re.findall(r"\$\{[^}]*\}", value):
            assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", reference), f"{variable} needs `:?`"
        if value.startswith("${"):
            assert value.startswith("${" + variable + ":")


def test_every_variable_of_the_compose_file_is_explained_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    explained = set(re.findall(r"^(?:# )?(\w+)=", ENV_EXAMPLE, flags=re.MULTILINE))
    assert used == explained


def test_the_example_holds_no_secret() -> None:
    assert re.findall(r"^\w+=(.+)$", ENV_EXAMPLE, flags=re.MULTILINE) == []


@pytest.mark.parametrize("name", OURS)
def test_every_database_url_reaches_the_compose_database_as_its_own_role(name: str) -> None:
    database = environment(SERVICES["postgres"])["POSTGRES_DB"]
    for variable, value in filled_in(OURS[name]).items():
        if not variable.endswith("_URL"):
            continue
        url = urlsplit(value)
        assert (url.scheme, url.hostname, url.port, url.path) == (
            "postgresql",
            "postgres",
            5432,
            f"/{database}",
        )
        assert url.username == DATABASE_USERS[variable]


def test_only_the_migration_knows_the_owner_of_the_database() -> None:
    assert [name for name in OURS if "DATABASE_URL" in environment(OURS[name])] == ["migrate"]


@pytest.mark.parametrize("name", sorted(TALK_TO_KAFKA))
def test_kafka_is_reached_where_it_says_it_is_from_inside(name: str) -> None:
    advertised = environment(SERVICES["kafka"])["KAFKA_ADVERTISED_LISTENERS"].split(",")
    servers = environment(OURS[name])["KAFKA_BOOTSTRAP_SERVERS"]
    assert f"INTERNAL://{servers}" in advertised
    assert servers.split(":")[0] in SERVICES


@pytest.mark.parametrize("name", OURS)
def test_only_what_talks_to_kafka_knows_where_it_is(name: str) -> None:
    assert ("KAFKA_BOOTSTRAP_SERVERS" in environment(OURS[name])) == (name in TALK_TO_KAFKA)


@pytest.mark.parametrize("name", ["publish", "topics"])
def test_what_opens_nothing_knows_no_secret_but_a_password(name: str) -> None:
    assert not {"DAYBOOK_MASTER_KEY", "DAYBOOK_PEPPERS"} & set(environment(OURS[name]))


def test_the_consumers_metrics_are_what_its_health_is_asked_of() -> None:
    consume = OURS["consume"]
    assert (
        f"http://127.0.0.1:{options(consume)['metrics_port']}/metrics" in consume["healthcheck"]["test"][-1]
    )


def test_the_schedulers_metrics_are_what_its_health_is_asked_of() -> None:
    schedule = OURS["schedule"]
    assert (
        f"http://127.0.0.1:{options(schedule)['metrics_port']}/metrics" in schedule["healthcheck"]["test"][-1]
    )


def test_the_scheduler_does_what_is_due_and_several_may_run() -> None:
    schedule = OURS["schedule"]
    assert options(schedule)["until"] is None
    assert options(schedule)["dry_run"] is False
    assert not {"ports", "container_name", "hostname"} & set(schedule)


def test_the_scheduler_is_given_the_time_that_it_takes_to_stop() -> None:
    seconds = int(OURS["schedule"]["stop_grace_period"].removesuffix("s"))
    assert seconds > SCHEDULER_STOP_SECONDS


def test_several_consumers_may_run() -> None:
    consume = OURS["consume"]
    assert options(consume)["instance"] is None, "a name would be one consumer's alone"
    assert not {"ports", "container_name", "hostname"} & set(consume)


def test_the_consumer_reads_every_topic_and_goes_on_only_when_told() -> None:
    assert options(OURS["consume"])["topics"] == ()
    assert options(OURS["consume"])["resume"] is False


def test_the_consumer_is_given_the_time_that_it_takes_to_stop() -> None:
    seconds = int(OURS["consume"]["stop_grace_period"].removesuffix("s"))
    assert seconds > _STOP_SECONDS


def test_the_server_listens_on_the_port_that_is_published_checked_and_exposed() -> None:
    serve = OURS["serve"]
    port = options(serve)["port"]
    assert [(outside, inside) for _, outside, inside in published(serve)] == [(port, port)]
    assert f"http://127.0.0.1:{port}/readyz" in " ".join(serve["healthcheck"]["test"])
    assert f"EXPOSE {port}\n" in DOCKERFILE


def test_the_server_is_reachable_from_outside_its_container() -> None:
    assert options(OURS["serve"])["host"] == "0.0.0.0"  # noqa: S104 (inside a container this is the only way in)


def test_every_port_is_published_to_this_machine_alone() -> None:
    for service in SERVICES.values():
        assert all(interface == "127.0.0.1" for interface, _, _ in published(service))


def test_no_two_services_publish_the_same_port() -> None:
    ports = [outside for service in SERVICES.values() for _, outside, _ in published(service)]
    assert len(ports) == len(set(ports))


def test_what_is_waited_for_can_come_true() -> None:
    for service in SERVICES.values():
        for name, condition in waits(service).items():
            if condition == "service_completed_successfully":
                assert SERVICES[name]["restart"] == "no"
            else:
                assert condition == "service_healthy"
                assert "healthcheck" in SERVICES[name]


@pytest.mark.parametrize("name", OURS)
def test_every_process_waits_for_what_it_needs_and_for_nothing_else(name: str) -> None:
    expected: dict[str, str] = {}
    if any(variable.endswith("_URL") for variable in environment(OURS[name])):
        expected |= {"postgres": "service_healthy", "migrate": "service_completed_successfully"}
    if name in TALK_TO_KAFKA:
        expected |= {"kafka": "service_healthy", "topics": "service_completed_successfully"}
    # What runs once makes what the others wait for.
    expected.pop(name, None)
    assert waits(OURS[name]) == expected


@pytest.mark.parametrize("name", sorted(RUN_ONCE))
def test_what_runs_once_is_not_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "no"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - RUN_ONCE))
def test_every_process_that_keeps_running_is_started_again_when_it_dies(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["postgres", "kafka", "serve", "consume", "schedule"])
def test_everything_that_listens_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_kafka_is_one_node_whose_listeners_are_all_mapped_and_advertised() -> None:
    kafka = environment(SERVICES["kafka"])
    listeners = dict(entry.split("://") for entry in kafka["KAFKA_LISTENERS"].split(","))
    advertised = dict(entry.split("://") for entry in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    mapped = dict(entry.split(":") for entry in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert set(listeners) == set(mapped) == {*advertised, kafka["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert all(address.endswith(listeners[name]) for name, address in advertised.items())
    assert [f":{inside}" for _, _, inside in published(SERVICES["kafka"])] == [listeners["HOST"]]


def test_the_image_starts_the_command_and_carries_every_package() -> None:
    assert 'ENTRYPOINT ["daybook"]' in DOCKERFILE
    kept = set(re.findall(r"^!(\w+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE))
    assert {"api", "commands", "consumers", "ledger", "projections", "schemas"} <= kept
