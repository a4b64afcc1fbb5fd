"""The limits of a database and its pool, as data; their defaults live here only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from holdfast.errors import ConfigurationError, require_seconds
from holdfast.pool import PoolPolicy
from holdfast.retry import RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabasePolicy:
    """Limits in seconds, in force on the server from a connection's first statement; 0 is none.

    Attributes:
        connect_timeout: until a new connection is there, for all hosts of the URL together; what
            the URL says, or a provider needs that was recognised in it, comes first.
        statement_timeout: for one statement.
        lock_timeout: waiting for one lock.
        idle_in_transaction_timeout: a transaction in which nothing happens is ended.
        application_name: how the server's own views call these connections.
        show_bound_values_in_errors: let parameters, and what the server and the driver say of
            them, into the texts of errors, and so into logs.
        pool: see `PoolPolicy`.
        retry: when `run()` does its work again; see `RetryPolicy`.
    """

    connect_timeout: float = 5.0
    statement_timeout: float = 30.0
    lock_timeout: float = 10.0
    idle_in_transaction_timeout: float = 60.0
    application_name: str = "holdfast"
    show_bound_values_in_errors: bool = False
    pool: PoolPolicy = field(default_factory=PoolPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        timeouts = (each.name for each in fields(self) if each.name.endswith("_timeout"))
        require_seconds(self, *timeouts)
        if not self.connect_timeout:
            raise ConfigurationError("connect_timeout is 0: a silent server would hang the start")
        if not _is_text(self.application_name):
            raise ConfigurationError(f"application_name is {self.application_name!r}; it is a text")
        if type(self.show_bound_values_in_errors) is not bool:
            raise ConfigurationError("show_bound_values_in_errors is neither True nor False")
        if not isinstance(self.pool, PoolPolicy):
            raise ConfigurationError(f"pool is {self.pool!r}; it is a PoolPolicy")
        if not isinstance(self.retry, RetryPolicy):
            raise ConfigurationError(f"retry is {self.retry!r}; it is a RetryPolicy")

    def server_settings(self) -> dict[str, str]:
        """Give the limits as PostgreSQL's parameters, in its unit (milliseconds)."""
        return {
            "application_name": self.application_name,
            "statement_timeout": _milliseconds(self.statement_timeout),
            "lock_timeout": _milliseconds(self.lock_timeout),
            "idle_in_transaction_session_timeout": _milliseconds(self.idle_in_transaction_timeout),
        }

    def limits(self) -> Mapping[str, str]:
        """Give those of them that a pooler does not take when a connection begins."""
        return {key: value for key, value in self.server_settings().items() if "timeout" in key}


def _is_text(value: object) -> bool:
    # A zero ends the server's text; half of a character cannot be sent.
    return isinstance(value, str) and not re.search("[\0\ud800-\udfff]", value)


def _milliseconds(seconds: float) -> str:
    # Rounded up: PostgreSQL takes 0 for "no limit".
    return str(-int(-seconds * 1000 // 1))
