"""Subcommands that keep running: `serve` and `project`, each one process of an installation."""

from __future__ import annotations

import sys

import click

from api.cli_support import require_secrets, required, settings_from_environment

# Given by `daybook dev` to its children: the pipe whose other end tells that it is gone.
_parent_pipe = click.option("--parent-pipe", type=int, hidden=True)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8400, show_default=True, type=click.IntRange(1, 65535), help="The port.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), help="Worker processes.")
@_parent_pipe
def serve(host: str, port: int, workers: int, parent_pipe: int | None) -> None:
    """Serve HTTP until SIGTERM or Ctrl-C, then finish what is in flight."""
    settings = settings_from_environment()
    required(settings.app_url, "DAYBOOK_APP_URL", "DATABASE_URL")
    require_secrets(settings)
    _begin(parent_pipe)
    from api.ports import require_free_port
    from api.serving import serve_http

    require_free_port(host, port)
    serve_http(host, port, workers)


@click.command()
@_parent_pipe
def project(parent_pipe: int | None) -> None:
    """Keep the projections and what Stripe delivers up to date, until SIGTERM or Ctrl-C."""
    settings = settings_from_environment()
    required(settings.follower_url, "DAYBOOK_FOLLOWER_URL", "DATABASE_URL")
    required(settings.app_url, "DAYBOOK_APP_URL", "DATABASE_URL")
    require_secrets(settings, peppers=False)
    _begin(parent_pipe)
    from api.projecting import project_until_stopped

    if not project_until_stopped(settings):
        sys.exit(1)


def _begin(parent_pipe: int | None) -> None:
    """Log to standard error, and end with the parent that named a pipe."""
    from api.logs import log_to_standard_error
    from api.processes import end_with_parent

    log_to_standard_error()
    if parent_pipe is not None:
        end_with_parent(parent_pipe)
