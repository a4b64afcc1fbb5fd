"""The limits of a Redis client."""

from dataclasses import dataclass

from holdfast.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPolicy:
    """Limits in seconds, and of the pool.

    Attributes:
        connect_timeout: until a new connection is there.
        timeout: for one answer. A call that passes it may still take effect on the server.
        max_connections: connections at most; in a cluster, to each of its nodes.
        pool_timeout: how long a caller waits for a free connection; in a cluster nobody waits.
    """

    connect_timeout: float = 1.0
    timeout: float = 0.5
    max_connections: int = 50
    pool_timeout: float = 1.0

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "timeout", "max_connections", "pool_timeout"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 < value < float("inf"):
                raise ConfigurationError(f"{name} is {value!r}; it is a number above 0")
        if not isinstance(self.max_connections, int):
            raise ConfigurationError(
                f"max_connections is {self.max_connections!r}; it is a whole number"
            )
