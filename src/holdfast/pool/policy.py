"""How many connections there are and how long anybody waits for one; defaults live here only."""

from dataclasses import dataclass

from holdfast.errors import ConfigurationError, require_seconds

MOST = 262_143  # connections; PostgreSQL's MAX_BACKENDS


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """How a pool grows, shrinks, checks its connections and turns callers away; seconds.

    Attributes:
        min_size: connections that stay open once the database is opened.
        max_size: connections at most, those included that are being made or closed.
        timeout: waiting for a free connection, before `PoolExhaustedError`; 0 waits for none.
        max_waiting: callers that wait for somebody else's connection at most; one more gets
            `OverloadedError` at once, as does one who could not be served within `timeout`.
        idle_timeout: idling after which a connection above `min_size` is closed; 0 keeps it.
        max_lifetime: age at which an idle connection is replaced, up to a tenth sooner so that
            not all go together; 0 is never.
        ping_after: idling after which a connection is asked whether it still lives before it is
            used; 0 asks each time, which costs a round trip or more.
        report_after: holding one connection for longer is reported once, as `ConnectionHeld`;
            0 reports nothing.
    """

    min_size: int = 1
    max_size: int = 20
    timeout: float = 30.0
    max_waiting: int = 10_000
    idle_timeout: float = 600.0
    max_lifetime: float = 1800.0
    ping_after: float = 1.0
    report_after: float = 60.0

    def __post_init__(self) -> None:
        for name, least in (("min_size", 0), ("max_size", 1), ("max_waiting", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ConfigurationError(
                    f"{name} is {value!r}; it is a whole number of at least {least}"
                )
        if self.max_size > MOST:
            raise ConfigurationError(
                f"max_size is {self.max_size}; no server gives more than {MOST} connections"
            )
        if self.min_size > self.max_size:
            raise ConfigurationError(
                f"min_size is {self.min_size} and max_size {self.max_size}; lower the one or raise "
                "the other"
            )
        require_seconds(
            self, "timeout", "idle_timeout", "max_lifetime", "ping_after", "report_after"
        )
