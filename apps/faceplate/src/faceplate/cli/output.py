"""What commands read and print: tables for people, JSON for programs, secrets for neither."""

import json
import re
import sys
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import inspect

from faceplate.models import Base
from holdfast.errors import ConfigurationError
from holdfast.paging import Page
from holdfast.urls import redact

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int, typer.Option(help="At most so many.")]
After = Annotated[str | None, typer.Option(help="Go on after a page: the `next` that it gave.")]

_WIDTH = 200  # of a pipe, which has none of its own
_HIDDEN = "***"
# --token=abc, API_KEY=abc, Authorization: Bearer abc; also behind --header= or the like.
_NAMED = re.compile(r"(-*[\w.-]+)(=|: *)(.+)", re.DOTALL)
# A message is written by anybody, and may not move the cursor of whoever reads it.
_CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"
}


def plain(thing: Base) -> dict[str, object]:
    """Give a row's columns, by name, as a table or JSON shows them."""
    columns = inspect(type(thing)).column_attrs
    return {column.key: getattr(thing, column.key) for column in columns}


def print_json(value: object) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(value, default=_plain, ensure_ascii=False, indent=2))


def print_one(row: Mapping[str, object], *, as_json: bool) -> None:
    """Print a row, a line for each column."""
    if as_json:
        print_json(row)
        return
    width = max(map(len, row)) + 2
    for name, value in row.items():
        if value is not None:
            typer.echo(f"{name:<{width}}{_text(value)}")


def print_page(page: Page[Any], columns: tuple[str, ...], *, as_json: bool) -> None:
    """Print the rows of a page, and how to go on."""
    if as_json:
        print_json({"items": [plain(each) for each in page.items], "next": page.next})
        return
    print_table([plain(each) for each in page.items], columns)
    if page.next:
        typer.echo(f"more: --after {page.next}")


def print_table(rows: Iterable[Mapping[str, object]], columns: tuple[str, ...]) -> None:
    """Print a line for each row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_text(row[column]) for column in columns))
    Console(width=None if sys.stdout.isatty() else _WIDTH, markup=False, highlight=False).print(
        table
    )


def read_text(given: str | None) -> str | None:
    """Give a text as it is, or for `-` what the standard input has.

    Raises:
        ConfigurationError: the standard input is closed, or no text.
    """
    if given != "-":
        return given
    if sys.stdin is None:
        raise ConfigurationError("the standard input is closed, and - reads it")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the standard input is no {error.encoding} text") from None


def read_json(option: str, given: str | None) -> Any:
    """Read JSON, from the standard input for `-`; None where nothing was given.

    Raises:
        ConfigurationError: it is no JSON, or the standard input cannot be read.
    """
    text = read_text(given)
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:  # its message has the place, not the text
        raise ConfigurationError(f"{option}: it is no JSON: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{option}: it is nested too deep to be read") from None


def hide_secrets(config: object, *, secret: bool = False) -> object:
    """Give a configuration without what may be a password or a token.

    Hidden are all values of `env` and `headers`, those whose names say so, also among arguments
    (`--token abc`, `--token=abc`), and passwords in URLs.
    """
    if isinstance(config, dict):
        return {
            name: hide_secrets(value, secret=secret or _is_secret(name))
            for name, value in config.items()
        }
    if isinstance(config, list):
        return _hide_all(config) if secret else _hide_arguments(config)
    if secret and config is not None:
        return _HIDDEN
    return redact(config) if isinstance(config, str) else config


def _hide_all(values: list[object]) -> list[object]:
    return [hide_secrets(each, secret=True) for each in values]


def _hide_arguments(arguments: list[object]) -> list[object]:
    """Hide the value that an argument names, in itself or in the next one."""
    shown: list[object] = []
    announced = False
    for each in arguments:
        text = each if isinstance(each, str) else ""
        hidden = announced and not text.startswith("--")  # a token may well begin with one -
        plainly = text and not hidden
        shown.append(_hide_in(redact(text)) if plainly else hide_secrets(each, secret=hidden))
        announced = not hidden and text.startswith("-") and "=" not in text and _is_secret(text)
    return shown


def _hide_in(argument: str) -> str:
    if not (found := _NAMED.fullmatch(argument)):
        return argument
    name, sign, value = found.groups()
    return f"{name}{sign}{_HIDDEN if _is_secret(name) else _hide_in(value)}"


def _is_secret(name: str) -> bool:
    words = ("env", "headers", "auth", "credential", "key", "passw", "secret", "token")
    return any(word in name.lower() for word in words)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    is_json = isinstance(value, (dict, list))
    text = json.dumps(value, ensure_ascii=False) if is_json else str(value)
    return text.translate(_CONTROLS)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
