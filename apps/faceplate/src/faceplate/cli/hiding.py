"""Hide what may be secret in the configuration of a tool server."""

import re

from holdfast.urls import redact

_HIDDEN = "***"
# --token=abc, API_KEY=abc, Authorization: Bearer abc; also behind --header= or the like.
_NAMED = re.compile(r"(-*[\w.-]+)(=|: *)(.+)", re.DOTALL)


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
