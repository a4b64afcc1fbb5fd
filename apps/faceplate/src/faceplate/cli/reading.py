"""Read what a command is given: a text or JSON, as an argument or from the standard input."""

import json
import sys
from typing import Any

from holdfast.errors import ConfigurationError


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
