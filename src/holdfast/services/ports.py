"""Choose TCP addresses for servers that only this machine may reach."""

import socket

from holdfast.errors import ConfigurationError, ServiceError

LOOPBACK = ("127.0.0.1", "::1")  # also what pg_hba.conf of a new data folder admits


def check_address(listen: str | None, port: int) -> None:
    """Refuse an address that others can reach, and a port that is none.

    Raises:
        ConfigurationError: names the field of the policy.
    """
    if listen not in (None, *LOOPBACK):
        raise ConfigurationError(
            f"listen is {listen!r}; a server for development listens on {' or '.join(LOOPBACK)}"
        )
    if not 0 <= port < 65_536:
        raise ConfigurationError(f"port is {port}; it must be from 0 to 65535")
    if port and not listen:
        raise ConfigurationError(f"port is {port} but listen is None: set listen to {LOOPBACK[0]}")


def free_port(listen: str, wanted: int) -> int:
    """Find a free port, or check that the wanted one is free.

    Raises:
        ServiceError: the wanted port is taken, or may not be used.
    """
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the servers do, or connections that were closed a minute ago would be in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen, wanted))
        except OSError as error:
            raise ServiceError(
                f"port {wanted} on {listen} cannot be used ({error.strerror}): "
                f"choose another, or 0 for a free one"
            ) from error
        port: int = probe.getsockname()[1]
        return port


def in_url(listen: str) -> str:
    """Write an address as URLs need it."""
    return f"[{listen}]" if ":" in listen else listen
