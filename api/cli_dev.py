"""The subcommand `dev`: everything on this machine, in one process group, on an embedded PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import click

from api.cli_support import data_folder, print_json, say


@click.command()
@click.option("--port", default=8400, show_default=True, type=click.IntRange(1, 65535), help="The port.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data folder.  [default: dev, under $DAYBOOK_DATA or the user's data directory]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON when ready, and nothing else.")
def dev(port: int, data: Path | None, *, as_json: bool) -> None:
    """Run everything on an embedded PostgreSQL, until Ctrl-C.

    The first start on a data folder founds an organisation and prints its operator keys, that once.
    """
    from api.dev import run_dev

    run_dev(data_folder(data, "dev"), port, print_json if as_json else _greet, say)


def _greet(ready: dict[str, str | None]) -> None:
    """Tell a person where everything is, and what to try first."""
    key = ready["live_key"]
    click.echo(f"\nDaybook is ready at {ready['url']}  (docs: {ready['url']}/docs, Ctrl-C stops it)\n")
    rows = {
        "Live book": ready["live_book"],
        "Test book": ready["test_book"],
        "Live key": key,
        "Test key": ready["test_key"],
        "Webhook URL": ready["webhook_url"],
        "Webhook secret": ready["stripe_webhook_secret"],
        "Data folder": ready["data"],
    }
    for label, value in rows.items():
        if value is not None:
            click.echo(f"  {label + ':':<16}{value}")
    if key is None:
        click.echo("\nThe keys were shown at the first start. Try, with yours in its place:\n")
    else:
        click.echo("\nKeep the keys and the secret: they are shown this once. Try:\n")
    click.echo(f"  {_curl(str(ready['url']), key or '$DAYBOOK_KEY')}\n")


def _curl(url: str, key: str) -> str:
    """Write a command that registers an account, ready to paste."""
    body = '{"name": "Ada Lovelace", "email": "ada@example.com", "currency": "USD"}'
    return (
        f"curl {url}/v1/accounts -H 'Content-Type: application/json' \\\n"
        f"    -H \"Authorization: Bearer {key}\" -d '{body}'"
    )
