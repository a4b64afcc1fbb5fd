"""The limits of a database and its pool, as data; their defaults live here only."""

from dataclasses import dataclass, field, fields

from holdfast.errors import ConfigurationError

# PostgreSQL keeps its time-outs in milliseconds as 32-bit integers: about 24 days.
_LONGEST = 2_147_483


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """How many connections there are, and how long a caller waits for one.

    Attributes:
        size: connections at most; they stay open once made.
        timeout: seconds that a caller waits for a free one before `sqlalchemy.exc.TimeoutError`.
        ping_after: seconds of idling after which a connection is asked whether it still lives
            before it is used; 0 asks each time, which costs a round trip or more.
    """

    size: int = 20
    timeout: float = 30.0
    ping_after: float = 1.0

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 1:
            raise ConfigurationError(f"size is {self.size!r}; it is a whole number of at least 1")
        _require_seconds(self, "timeout", "ping_after")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePolicy:
    """Limits in seconds, in force on the server from a connection's first statement; 0 is none.

    Attributes:
        connect_timeout: until a new connection is there.
        statement_timeout: for one statement.
        lock_timeout: waiting for one lock.
        idle_in_transaction_timeout: a transaction in which nothing happens is ended.
        application_name: how the server's own views call these connections.
        pool: see `PoolPolicy`.
    """

    connect_timeout: float = 5.0
    statement_timeout: float = 30.0
    lock_timeout: float = 10.0
    idle_in_transaction_timeout: float = 60.0
    application_name: str = "holdfast"
    pool: PoolPolicy = field(default_factory=PoolPolicy)

    def __post_init__(self) -> None:
        timeouts = (each.name for each in fields(self) if each.name.endswith("_timeout"))
        _require_seconds(self, *timeouts)
        if not self.connect_timeout:
            raise ConfigurationError("connect_timeout is 0: a silent server would hang the start")
        if not isinstance(self.application_name, str) or "\0" in self.application_name:
            raise ConfigurationError(f"application_name is {self.application_name!r}; it is a text")
        if not isinstance(self.pool, PoolPolicy):
            raise ConfigurationError(f"pool is {self.pool!r}; it is a PoolPolicy")

    def server_settings(self) -> dict[str, str]:
        """Give the limits as PostgreSQL's parameters, in its unit (milliseconds)."""
        return {
            "application_name": self.application_name,
            "statement_timeout": _milliseconds(self.statement_timeout),
            "lock_timeout": _milliseconds(self.lock_timeout),
            "idle_in_transaction_session_timeout": _milliseconds(self.idle_in_transaction_timeout),
        }


def _milliseconds(seconds: float) -> str:
    # Rounded up: PostgreSQL takes 0 for "no limit".
    return str(-int(-seconds * 1000 // 1))


def _require_seconds(policy: object, *names: str) -> None:
    wrong = [name for name in names if not _is_seconds(getattr(policy, name))]
    if wrong:
        values = ", ".join(f"{name} is {getattr(policy, name)!r}" for name in wrong)
        raise ConfigurationError(f"{values}; seconds are a number from 0 to {_LONGEST}")


def _is_seconds(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 <= value <= _LONGEST  # false for nan, too
