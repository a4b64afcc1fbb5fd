"""Refuse what no table can hold and nobody means: names, texts and limits."""

from faceplate.errors import InvalidInputError
from faceplate.models import Role
from faceplate.values import is_storable

MOST_AT_ONCE = 10_000  # rows of one answer
_SHOWN = 80  # characters of a value in a message


def require_name(field: str, value: str, most: int) -> None:
    """Refuse a name that is blank, too long, or not printable in one line.

    Raises:
        InvalidInputError: it has not 1 to `most` printable characters.
    """
    text = isinstance(value, str) and value.isprintable() and value.strip()
    if not text or len(value) > most:
        raise InvalidInputError(
            f"{field} is {show(value)}; it has 1 to {most} printable characters"
        )


def require_content(value: str | None) -> None:
    """Refuse content that PostgreSQL cannot keep.

    Raises:
        InvalidInputError: it is no text, or has a zero or half a character.
    """
    if value is not None and not (isinstance(value, str) and is_storable(value)):
        raise InvalidInputError("content is no text, or has a zero or half a character in it")


def require_role(value: str) -> Role:
    """Give the role of that name.

    Raises:
        InvalidInputError: there is none.
    """
    try:
        return Role(value)
    except ValueError:
        raise InvalidInputError(f"role is {show(value)}; it is one of {', '.join(Role)}") from None


def require_limit(field: str, value: int, most: int = MOST_AT_ONCE) -> None:
    """Refuse a limit that is not between 1 and `most`.

    Raises:
        InvalidInputError: it is not.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not 1 <= value <= most:
        raise InvalidInputError(f"{field} is {show(value)}; it is between 1 and {most}")


def show(value: object) -> str:
    """Write a value for a message in one line, however long it is."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
