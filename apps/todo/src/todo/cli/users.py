"""Whose tasks a command is about: a stable id for the name of a person at a terminal."""

import getpass
import uuid
from typing import Annotated

import typer

from todo.errors import InvalidInputError

User = Annotated[
    str | None,
    typer.Option(
        envvar="TODO_USER",
        help="Whose tasks: a name or an id. Without it your login name.",
        show_default=False,
    ),
]

# Names have ids of their own here; changed, everybody's tasks would seem to be gone.
_NAMES = uuid.UUID("6f0d9a53-5c0e-4f6b-9a7e-2b5f3d1c8e40")
_SHOWN = 40  # characters of a name in a message


def user_id(named: str | None) -> uuid.UUID:
    """Give the id of a user by name or id, without one that of whoever is logged in.

    The same name is the same user on every machine: nobody has to be registered, and nothing
    proves who somebody is.

    Raises:
        InvalidInputError: it is no name; or there is none, as in some containers.
    """
    name = _login() if named is None else named
    if not (name.strip() and name.isprintable()):
        raise InvalidInputError(f"user is {name[:_SHOWN]!r}; it is an id or a printable name")
    try:
        return uuid.UUID(name)
    except ValueError:
        return uuid.uuid5(_NAMES, name)


def _login() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # whichever of them, by the version of Python
        raise InvalidInputError("nobody is logged in: give --user NAME, or set TODO_USER") from None
