"""The command `daybook`: its group and entry; each subcommand is in a module of its own kind."""

from __future__ import annotations

import sys

import click

from api.cli_books import init, migrate_command
from api.cli_consume import consume
from api.cli_dead_letters import dead_letters
from api.cli_demo import demo
from api.cli_dev import dev
from api.cli_docs import docs
from api.cli_feed import epoch, publish, topics
from api.cli_invoices import invoice
from api.cli_plans import plans
from api.cli_projections import rebuild_command, timeline, verify_command
from api.cli_schedule import schedule
from api.cli_services import project, serve
from api.cli_support import explain
from ledger.settings import VARIABLES


class _Daybook(click.Group):
    """The group, which tells of every environment variable at the end of its help."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the settings."""
        del ctx
        with formatter.section("Settings, from the environment"):
            formatter.write_dl(list(VARIABLES.items()))


@click.group(cls=_Daybook, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="daybook", message="%(version)s")
def daybook() -> None:
    """Keep the books of a service that bills for usage: one log of events, and everything read from it."""


for _command in (
    dev,
    demo,
    init,
    migrate_command,
    serve,
    project,
    consume,
    publish,
    schedule,
    topics,
    epoch,
    dead_letters,
    plans,
    timeline,
    invoice,
    rebuild_command,
    verify_command,
    docs,
):
    daybook.add_command(_command)


def main() -> None:
    """Run the command line; what Daybook refuses is one line on standard error and exit status 1."""
    try:
        daybook.main(prog_name="daybook", standalone_mode=True)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        click.echo(f"Error: {message}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
