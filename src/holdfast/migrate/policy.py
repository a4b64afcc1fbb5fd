"""How long a migration may wait, as data."""

from dataclasses import dataclass

from holdfast.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationPolicy:
    """Limits in seconds; 0 is none.

    Attributes:
        wait_timeout: for another process that is migrating the same database.
        lock_timeout: for a lock on a table; longer would make everybody else queue behind it.
        statement_timeout: for one statement; filling a large table may take its time.
    """

    wait_timeout: float = 300.0
    lock_timeout: float = 10.0
    statement_timeout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("wait_timeout", "lock_timeout", "statement_timeout"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ConfigurationError(f"{name} is {value!r}; it is a number of at least 0")
