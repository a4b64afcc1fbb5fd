"""Every error that Holdfast raises itself: one root, few leaves, each a fact and what to do.

Errors of SQLAlchemy, the drivers and Redis pass through unchanged, except where Holdfast
makes a promise about them.
"""

# SQLSTATEs that decide what an error means, from PostgreSQL's appendix A.
INVALID_PASSWORD = "28P01"  # noqa: S105  -- a code, not a password
INVALID_AUTHORIZATION = "28000"  # no such role, or pg_hba.conf has no line for it
INVALID_CATALOG_NAME = "3D000"  # no such database
TOO_MANY_CONNECTIONS = "53300"  # the server's max_connections, or the role's limit
DISK_FULL = "53100"
OBJECT_IN_USE = "55006"
INSUFFICIENT_PRIVILEGE = "42501"
IN_FAILED_TRANSACTION = "25P02"  # a statement failed before, and nothing was rolled back
CANNOT_CONNECT_NOW = "57P03"  # starting, stopping or recovering: worth another try


class HoldfastError(Exception):
    """The root: catch this for everything that Holdfast itself reports."""


class ConfigurationError(HoldfastError, ValueError):
    """Something was asked for in a way that cannot work: a URL, a setting, a file, an argument."""


class MissingExtraError(ConfigurationError, ImportError):
    """A part needs packages that are not installed; the message has the command."""


class UnavailableError(HoldfastError, ConnectionError):
    """A server could not be reached or refused the connection; nothing was sent to it."""


class ServiceError(HoldfastError, RuntimeError):
    """A server that Holdfast was to run did not start, or ended by itself."""


class TransactionOwnedError(HoldfastError, RuntimeError):
    """Code inside `begin()`, `read()` or `run()` tried to end a transaction that is not its own."""


class TransactionAbortedError(HoldfastError, RuntimeError):
    """A transaction with a failed statement was to be committed; the server would have undone it.

    PostgreSQL answers COMMIT in such a transaction with ROLLBACK and no error, so the writes
    before the failed statement would be lost although the commit seemed to succeed.
    """

    def __init__(self) -> None:
        super().__init__(
            "COMMIT was answered with ROLLBACK: a statement of this transaction had failed and "
            "the code went on, so none of its writes is stored; let the error out of the block, "
            "or run the statement that may fail inside session.begin_nested()"
        )


class ReadOnlyError(HoldfastError, RuntimeError):
    """Something would have written through `read()`."""


class RowError(HoldfastError, ValueError):
    """A row cannot be written: it is not like the others, or a value does not fit its column.

    Attributes:
        number: of the row, counted from 1.
        key: of the value, None where it is not about one.
    """

    def __init__(self, number: int, key: str | None, problem: str) -> None:
        where = f"row {number}" if key is None else f"row {number}, {key!r}"
        super().__init__(f"{where}: {problem}; no row was written")
        self.number = number
        self.key = key


class SandboxError(HoldfastError, RuntimeError):
    """A test did what one transaction for everything cannot show: it needs its own database."""


class MigrationError(HoldfastError, RuntimeError):
    """A migration could not be found, or failed; the database is as it was before."""
