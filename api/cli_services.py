"""Subcommands that keep running: `serve` and `project`, each one process of an installation."""

from __future__ import annotations

import sys

import click

from api.cli_support import begin, child_option, require_secrets, required, settings_from_environment


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8400, show_default=True, type=click.IntRange(1, 65535), help="The port.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), help="Worker processes.")
@child_option
def serve(host: str, port: int, workers: int, *, child: bool) -> None:
    """Serve HTTP until SIGTERM or Ctrl-C, then finish what is in flight."""
    settings = settings_from_environment()
    required(settings.app_url, "DAYBOOK_APP_URL", "DATABASE_URL")
    require_secrets(settings)
    from api.ports import require_free_port
    from api.serving import import_application, serve_http

    import_application()
    begin(child=child)
    require_free_port(host, port)
    serve_http(host, port, workers)


@click.command()
@child_option
def project(*, child: bool) -> None:
    """Keep the projections and what Stripe delivers up to date, until SIGTERM or Ctrl-C."""
    settings = settings_from_environment()
    required(settings.follower_url, "DAYBOOK_FOLLOWER_URL", "DATABASE_URL")
    required(settings.app_url, "DAYBOOK_APP_URL", "DATABASE_URL")
    require_secrets(settings, peppers=False)
    from api.projecting import project_until_stopped

    begin(child=child)
    if not project_until_stopped(settings):
        sys.exit(1)
