"""Where a server listens: host names, addresses and socket folders, with their ports."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.errors import ConfigurationError

DEFAULT_PORT = 5432
_LAST_PORT = 65535
_SPEC = re.compile(
    r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[^:]*))?", re.DOTALL
)
_FOREIGN_IN_NAME = re.compile(r"[\s/?#@%\\<>^|\[\]\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One server of a URL.

    Attributes:
        host: a name, an address, or the folder of a unix socket, which begins with / (or with @
            where the socket is abstract).
        port: it also names the file of a socket.
    """

    host: str
    port: int = DEFAULT_PORT

    @property
    def is_socket(self) -> bool:
        """Whether it is a unix socket on this machine."""
        return self.host.startswith(("/", "@"))

    def __str__(self) -> str:
        if self.is_socket:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A host and a port as they were written; an empty text is one that was not."""

    host: str
    port: str = ""


def read_spec(text: str) -> Spec:
    """Read `host`, `host:port` or `[address]:port`.

    Raises:
        ConfigurationError: it is none of them; the text is not repeated, for it may be a password.
    """
    found = _SPEC.fullmatch(text)
    if found is None:
        raise _unreadable("a host is written as NAME, NAME:PORT or [ADDRESS]:PORT")
    return Spec(host=found["ipv6"] or found["name"] or "", port=found["port"] or "")


def is_spec_list(text: str) -> bool:
    """Tell whether it can be hosts with ports, `a:5432,b`, and not a user with a password."""
    found = [_SPEC.fullmatch(each) for each in text.split(",")]
    return all(each and (each["port"] or "0").isdigit() for each in found)


def read_hosts(specs: Sequence[Spec]) -> tuple[Host, ...]:
    """Give the hosts of what was written, in that order; none where no host is named.

    Raises:
        ConfigurationError: a port is none, or a name cannot be one.
    """
    ports = [read_port(each.port) for each in specs]
    if not any(each.host for each in specs):
        return ()
    return tuple(
        Host(host=_checked(each.host or "localhost"), port=port or DEFAULT_PORT)
        for each, port in zip(specs, ports, strict=True)
    )


def read_port(text: str) -> int | None:
    """Give the port's number, None where there is none.

    Raises:
        ConfigurationError: it is no number from 1 to 65535.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise _unreadable("its port is no number")
    # As text: Python refuses to read a number of 5,000 digits.
    if len(text.lstrip("0")) > 5 or not 0 < int(text) <= _LAST_PORT:
        raise ConfigurationError(
            f"database URL: the port {text[:20]} is not from 1 to {_LAST_PORT}"
        )
    return int(text)


def _checked(host: str) -> str:
    if not host.startswith(("/", "@")) and _FOREIGN_IN_NAME.search(host):
        raise _unreadable("a host name holds a character that none can have")
    if "," in host or "\0" in host:
        raise _unreadable("the folder of a socket holds a comma, which stands between hosts")
    return host


def _unreadable(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"database URL: it cannot be read: {why}; it looks like postgresql://USER@HOST:5432/NAME"
    )
