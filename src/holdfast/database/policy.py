"""The limits of a database and its pool, as data; their defaults live here only."""

from dataclasses import dataclass, field, fields

from holdfast.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """How many connections there are, and how long a caller waits for one.

    Attributes:
        size: connections at most; they stay open once made.
        timeout: seconds that a caller waits for a free one before `sqlalchemy.exc.TimeoutError`.
    """

    size: int = 20
    timeout: float = 30.0

    def __post_init__(self) -> None:
        _refuse(self, minimum=1, names=("size",))
        _refuse(self, minimum=0, names=("timeout",))


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
        timeouts = tuple(each.name for each in fields(self) if each.name.endswith("_timeout"))
        _refuse(self, minimum=0, names=timeouts)
        if not self.connect_timeout:
            raise ConfigurationError("connect_timeout is 0: a silent server would hang the start")

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


def _refuse(policy: object, *, minimum: float, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(policy, name)
        # `not >=` and not `<`: it also catches nan.
        if not value >= minimum or value == float("inf"):
            raise ConfigurationError(f"{name} is {value!r}; it is a number of at least {minimum}")
