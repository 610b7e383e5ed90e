"""Subcommands that set an installation up: `migrate` and `init`."""

from __future__ import annotations

import click

from api.cli_support import print_json, require_secrets, required, say, settings_from_environment


@click.command("migrate")
@click.option("--json", "as_json", is_flag=True, help="Print what was applied as one line of JSON.")
def migrate_command(*, as_json: bool) -> None:
    """Apply the migrations that the database lacks; safe to run from several machines at once.

    With DAYBOOK_ROLE_PASSWORD set, the run-time roles are given it.
    """
    from api.role_passwords import RUN_TIME_ROLES, set_role_passwords
    from projections.migrate import migrate

    settings = settings_from_environment()
    owner_url = required(settings.database_url, "DATABASE_URL")
    applied = migrate(owner_url)
    if settings.role_password:
        set_role_passwords(owner_url, settings.role_password)
        say(f"The roles {', '.join(RUN_TIME_ROLES)} have the password of DAYBOOK_ROLE_PASSWORD.")
    if as_json:
        print_json({"applied": applied})
        return
    for name in applied:
        click.echo(name)
    say(f"{len(applied)} migrations applied." if applied else "Nothing to apply: the database is up to date.")


@click.command()
@click.argument("name")
@click.option("--currency", default="USD", show_default=True, help="The currency its books are kept in.")
@click.option("--time-zone", default="UTC", show_default=True, help="The time zone of its calendar.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def init(name: str, currency: str, time_zone: str, *, as_json: bool) -> None:
    """Found the organisation NAME with a live and a test book, and print its operator keys, this once."""
    from api.founding import describe, found

    settings = settings_from_environment()
    required(settings.app_url, "DAYBOOK_APP_URL", "DATABASE_URL")
    require_secrets(settings)
    founded = found(settings, name, currency, time_zone)
    if as_json:
        print_json(describe(founded))
        return
    for label, value in (
        ("Organisation", founded.organisation),
        ("Live book", founded.live_book),
        ("Test book", founded.test_book),
        ("Live operator key", founded.live_key),
        ("Test operator key", founded.test_key),
        ("Webhook path", f"/v1/stripe/webhook/{founded.endpoint}"),
        ("Webhook secret", founded.webhook_secret),
    ):
        click.echo(f"{label + ':':<19}{value}")
    say("Keep the keys and the webhook secret now: they are shown this once.")
