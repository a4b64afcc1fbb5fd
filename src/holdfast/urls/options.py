"""Read `options`: what libpq sends to the server as command-line switches."""

import re
from collections.abc import Iterator, Mapping

from holdfast.errors import ConfigurationError

_WORD = re.compile(r"(?:[^\s\\]|\\.)+", re.DOTALL)
_SETTING = re.compile(r"(?P<name>[A-Za-z_][\w.-]*)=(?P<value>.*)", re.DOTALL)
# Not for the server: a provider's proxy finds the database by it where TLS names no host.
_ROUTES = frozenset({"endpoint", "project", "reference"})


def read_options(text: str) -> tuple[dict[str, str], str | None]:
    """Give the server's parameters, and what is meant for a provider's proxy.

        read_options("-c jit=off --search_path=shop")  # {"jit": "off", "search_path": "shop"}, None

    Raises:
        ConfigurationError: something else stands there.
    """
    settings: dict[str, str] = {}
    routes = []
    for word in _words(text):
        found = _SETTING.fullmatch(word.removeprefix("-c").removeprefix("--"))
        if found is None:
            raise ConfigurationError(
                f"database URL: options has {word[:60]!r}; it takes -c NAME=VALUE and "
                "--NAME=VALUE, with a backslash before a blank in a value"
            )
        if word.startswith("-"):
            settings[found["name"].replace("-", "_")] = found["value"]
        elif found["name"] in _ROUTES:
            routes.append(word)
        else:
            raise ConfigurationError(f"database URL: options has {word[:60]!r}; write -c before it")
    return settings, " ".join(routes) or None


def write_options(settings: Mapping[str, str], route: str | None) -> str:
    """Give the text that says the same."""
    written = [f"-c {name}={_escaped(value)}" for name, value in settings.items()]
    return " ".join([*filter(None, [route]), *written])


def _words(text: str) -> Iterator[str]:
    words = (re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL) for word in _WORD.findall(text))
    for word in words:
        yield f"-c{next(words, '')}" if word == "-c" else word


def _escaped(value: str) -> str:
    return re.sub(r"([\s\\])", r"\\\1", value)
