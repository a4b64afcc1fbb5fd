"""Limits of a state store."""

from dataclasses import dataclass

from holdfast.errors import ConfigurationError, require_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePolicy:
    """Limits of a state store; seconds, bytes and numbers of states.

    Attributes:
        timeout: for one answer of Redis, and of PostgreSQL where one key is read or written.
        max_bytes: of one state as it is stored.
        flush_interval: between two rounds of writing. With Redis lost, so much is lost.
        batch_size: states in one statement, of 16 MiB at most where there are several.
        flush_timeout: for one such statement.
        dirty_limit: how many states may wait to be written; then no other is saved.
        lease: until another worker may write what one has taken. At least twice `flush_timeout`,
            for a statement whose answer was lost is sent again.
        refused_delay: until a state is tried again that the database refused.
        drain_timeout: for writing what is left at the end.
        sweep_interval: in a cluster, until a writer looks for what others have saved and died;
            it looks at all keys then.
    """

    timeout: float = 0.5
    max_bytes: int = 1_048_576
    flush_interval: float = 1.0
    batch_size: int = 500
    flush_timeout: float = 5.0
    dirty_limit: int = 100_000
    lease: float = 15.0
    refused_delay: float = 60.0
    drain_timeout: float = 10.0
    sweep_interval: float = 10.0

    def __post_init__(self) -> None:
        require_seconds(
            self,
            *("timeout", "flush_interval", "flush_timeout", "lease", "refused_delay"),
            *("drain_timeout", "sweep_interval"),
        )
        for name in ("timeout", "flush_interval", "flush_timeout"):
            if not getattr(self, name):
                raise ConfigurationError(f"{name} is 0; it is a number above 0")
        for name in ("max_bytes", "batch_size", "dirty_limit"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ConfigurationError(f"{name} is {value!r}; it is a whole number above 0")
        if self.lease < 2 * self.flush_timeout:
            raise ConfigurationError(
                f"lease is {self.lease:g} s, shorter than two statements with flush_timeout "
                f"{self.flush_timeout:g} s: two workers would write the same states"
            )
