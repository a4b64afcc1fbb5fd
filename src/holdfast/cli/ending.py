"""How a command line ends: 0 done, 1 failed, 2 used wrongly, and one line for an error."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import typer

from holdfast.cli.output import fail
from holdfast.errors import ConfigurationError, HoldfastError
from holdfast.events import logger
from holdfast.urls import redact

# No such schema, table, column or function: the tables are of another version, or not made yet.
_NOT_MIGRATED = frozenset({"3F000", "42P01", "42703", "42883"})


def end(
    app: typer.Typer,
    *,
    failures: tuple[type[Exception], ...],
    wrong: tuple[type[Exception], ...],
    migrate: str,
) -> NoReturn:
    """Run the command that the arguments name, and end the program with its exit code."""
    as_json = "--json" in sys.argv
    _prepare_output()
    try:
        with _quiet(as_json=as_json):
            _call(app, as_json=as_json)
    except typer.TyperException as error:
        fail(error.format_message(), error.exit_code, as_json=as_json)
    except failures as error:
        fail(redact(str(error)), 1, as_json=as_json)
    except wrong as error:
        fail(redact(str(error)), 2, as_json=as_json)
    except ConfigurationError as error:
        fail(redact(str(error)), 2, as_json=as_json)
    except HoldfastError as error:
        fail(redact(str(error)), 1, as_json=as_json)
    except BrokenPipeError:  # whoever read the output has seen enough
        _drop_output()
        raise SystemExit(1) from None
    except OSError as error:
        _drop_output()
        fail(f"{type(error).__name__}: {error}", 1, as_json=as_json)
    except Exception as error:
        if not _is_of_database(error):
            raise
        fail(redact(_refused(error, migrate)), 1, as_json=as_json)


def _prepare_output() -> None:
    # Closed by the caller; the next file that is opened would be standard output.
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        # What the output's encoding does not have is escaped, as on the error stream.
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def _quiet(*, as_json: bool) -> Iterator[None]:
    """Leave the error stream to one JSON document, unless the application has set up its logs.

    Without any handler Python prints a warning there, such as that of work that is done again.
    """
    silent = logging.NullHandler()
    if as_json:
        logger.addHandler(silent)
    try:
        yield
    finally:
        logger.removeHandler(silent)


def _call(app: typer.Typer, *, as_json: bool) -> NoReturn:
    try:
        # Typer's own errors are for people: for JSON they are raised.
        raise SystemExit(app(standalone_mode=not as_json))
    finally:
        sys.stdout.flush()  # later, Python would print what it thinks of a full disk


def _is_of_database(error: Exception) -> bool:
    # Where SQLAlchemy is not imported there is none, and the import takes a third of a second.
    known = sys.modules.get("sqlalchemy.exc")
    return known is not None and isinstance(error, known.DBAPIError)


def _refused(error: Any, migrate: str) -> str:
    """Say what the database answered, without the statement; its first line has the fact."""
    said = f"the database said: {str(error.orig).partition(chr(10))[0]}"
    if getattr(error.orig, "sqlstate", None) in _NOT_MIGRATED:
        return f"{said}; its tables are not those of this version: {migrate}"
    return said


def _drop_output() -> None:
    """Let what could not be written not be tried again at the end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
