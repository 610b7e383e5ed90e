"""A dead letter as a page for a terminal; what a bad message holds must not reach the terminal as it is."""

from __future__ import annotations

from typing import Any, Final

import click
import msgspec
from rich.table import Table
from rich.text import Text

from api.cli_support import console

_APART: Final = ("key", "key_base64", "headers", "value", "value_base64", "known")


def print_letter(view: dict[str, Any]) -> None:
    """Print a dead letter; of a conflict, the message and the known event side by side."""
    for name, value in view.items():
        if name not in _APART and value is not None:
            click.echo(f"{name.replace('_', ' ') + ':':<16}{printable(str(value))}")
    _print_bytes("key", view, "key")
    for header in view["headers"]:
        _print_bytes(f"header {header['name']}", header, "value")
    if view["known"] is None:
        _print_value(view)
    else:
        _print_beside(view)


def printable(text: str) -> str:
    """Write what a terminal would take for commands as escapes."""
    return "".join(
        character if character.isprintable() or character == "\n" else ascii(character)[1:-1]
        for character in text
    )


def _print_bytes(label: str, view: dict[str, Any], name: str) -> None:
    text, encoded = view[name], view[f"{name}_base64"]
    if text is not None:
        click.echo(f"{printable(label) + ':':<16}{printable(text)}")
    elif encoded is not None:
        click.echo(f"{printable(label) + ':':<16}{encoded} (base 64)")


def _print_value(view: dict[str, Any]) -> None:
    if view["value"] is None and view["value_base64"] is None:
        click.echo("value:          erased" if view["resolved_at"] else "value:          none")
        return
    click.echo("value:" if view["value_base64"] is None else "value (base 64):")
    click.echo(_laid_out(view))


def _print_beside(view: dict[str, Any]) -> None:
    known = view["known"]
    table = Table("this message", f"known, at position {known['position']}")
    indented = msgspec.json.format(msgspec.json.encode(known), indent=2).decode()
    table.add_row(Text(_laid_out(view)), Text(printable(indented)))
    console().print(table)


def _laid_out(view: dict[str, Any]) -> str:
    """Give the value as text, indented when it is JSON, else in base 64."""
    text = view["value"]
    if text is None:
        return str(view["value_base64"] or "")
    try:
        return printable(msgspec.json.format(text, indent=2))
    except msgspec.DecodeError:
        return printable(text)
