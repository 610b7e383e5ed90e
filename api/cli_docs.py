"""The subcommand `docs`: writes the pages of documentation that are made from the code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from api.cli_support import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def _events_page() -> str:
    from ledger.event_reference import event_catalogue_markdown

    return event_catalogue_markdown()


def _cli_page() -> str:
    from api.cli import daybook

    return "".join(_cli_lines(daybook))


def _http_page() -> str:
    from api import resources
    from api.reference import markdown

    resources.load()
    return markdown()


def _messages_page() -> str:
    from api.message_reference import markdown

    return markdown()


# What each page is called, and what writes it.
_PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "events": _events_page,
    "cli": _cli_page,
    "http": _http_page,
    "messages": _messages_page,
}
# Not a page: a file for every type of message.
_SCHEMAS: Final = "schemas"
_NAMES: Final = (*sorted(_PAGES), _SCHEMAS)


@click.command()
@click.argument("pages", nargs=-1, type=click.Choice(_NAMES))
@click.option(
    "--check", is_flag=True, help="Write nothing; exit status 1 when a page is not what the code says."
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("docs"),
    show_default=True,
    help="Where the pages are.",
)
@click.option(
    "--schemas",
    "schema_folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("schemas/json"),
    show_default=True,
    help="Where the messages' JSON Schemas are.",
)
def docs(pages: tuple[str, ...], folder: Path, schema_folder: Path, *, check: bool) -> None:
    """Write the PAGES of documentation that are made from the code, all of them by default."""
    stale = {
        path: (name, text)
        for name in pages or _NAMES
        for path, text in _files(name, folder, schema_folder).items()
        if not (path.exists() and path.read_text(encoding="utf-8") == text)
    }
    if check:
        for path, (name, _) in stale.items():
            say(f"{path} is not what the code says; run `daybook docs {name}`.")
        sys.exit(1 if stale else 0)
    for path, (_, text) in stale.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        say(f"{path} written.")


def _files(name: str, folder: Path, schema_folder: Path) -> Mapping[Path, str]:
    """Give the files of a page, with what the code says should be in them."""
    from schemas.message_schemas import schema_files

    if name == _SCHEMAS:
        return {schema_folder / file: text for file, text in schema_files().items()}
    return {folder / f"{name}.md": _PAGES[name]()}


def _cli_lines(group: click.Group) -> Iterator[str]:
    """Write the command line's page: every subcommand with its options, then every setting."""
    from ledger.settings import VARIABLES

    yield "# The command line\n\nWritten from the code by `daybook docs cli`.\n\n"
    yield "What goes wrong is one line on standard error and exit status 1; a wrong option is status 2.\n"
    yield "Results go to standard output, progress to standard error.\n"
    for name, command in _commands(group):
        yield f"\n## daybook {name}\n\n{_prose(command.help)}\n\n```\n{_usage(command, name)}\n```\n"
        options = [parameter for parameter in command.params if _is_shown(parameter)]
        if options:
            yield "\n| option | |\n|---|---|\n"
            yield from (_option_row(option) for option in options)
    yield "\n## Settings\n\nAll from the environment.\n\n| variable | what for |\n|---|---|\n"
    for variable, meaning in VARIABLES.items():
        yield f"| `{variable}` | {meaning} |\n"


def _commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Name every subcommand, those of a subcommand by both their names."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield before + name, command


def _prose(text: str | None) -> str:
    paragraphs = (text or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _usage(command: click.Command, name: str) -> str:
    context = click.Context(command, info_name=f"daybook {name}")
    return f"daybook {name} {' '.join(command.collect_usage_pieces(context))}"


def _is_shown(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and not parameter.hidden


def _option_row(parameter: click.Parameter) -> str:
    assert isinstance(parameter, click.Option), "arguments are in the usage line"
    names = " / ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    shown = (
        f" (default {parameter.default})" if parameter.show_default and parameter.default is not None else ""
    )
    return f"| {names} | {' '.join((parameter.help or '').split())}{shown} |\n"
