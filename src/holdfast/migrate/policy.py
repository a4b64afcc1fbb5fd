"""How long a migration may wait, as data."""

from dataclasses import dataclass

from holdfast.errors import ConfigurationError

# PostgreSQL keeps its time-outs in milliseconds as 32-bit integers: about 24 days.
_LONGEST = 2_147_483


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
            number = isinstance(value, int | float) and not isinstance(value, bool)
            # Also false for nan.
            if not number or not 0 <= value <= _LONGEST:
                raise ConfigurationError(
                    f"{name} is {value!r}; seconds are a number from 0 to {_LONGEST}"
                )
