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
READ_ONLY_TRANSACTION = "25006"  # a write on a standby, or in a READ ONLY transaction
SERIALIZATION_FAILURE = "40001"
DEADLOCK_DETECTED = "40P01"
FEATURE_NOT_SUPPORTED = "0A000"  # among others: a cached plan whose result type has changed
INSUFFICIENT_PRIVILEGE = "42501"
IN_FAILED_TRANSACTION = "25P02"  # a statement failed before, and nothing was rolled back
CANNOT_CONNECT_NOW = "57P03"  # starting, stopping or recovering: worth another try


class HoldfastError(Exception):
    """The root: catch this for everything that Holdfast itself reports."""


class ConfigurationError(HoldfastError, ValueError):
    """Something was asked for in a way that cannot work: a URL, a setting, a file, an argument."""


class MissingExtraError(ConfigurationError, ImportError):
    """A part needs packages that are not installed; the message has the command."""


class UsageError(HoldfastError, TypeError):
    """A block was entered without `async`, or the work of a `run()` is no async function."""


class UnavailableError(HoldfastError, ConnectionError):
    """A server could not be reached or refused the connection; nothing was sent to it.

    Attributes:
        sqlstate: the server's reason, where it gave one.
        lasting: the reason does not pass by itself, such as a certificate; False where it may.
    """

    sqlstate: str | None = None
    lasting: bool = False


class PoolExhaustedError(HoldfastError, TimeoutError):
    """No connection of the pool came free in time; the message names who holds them."""


class OverloadedError(HoldfastError, RuntimeError):
    """So many wait that waiting could not succeed; nothing was done.

    For a connection of the pool, or, in a state store, to be written to the database.
    """


class WrongLoopError(HoldfastError, RuntimeError):
    """A database was used from an event loop while another one still uses it."""


class ServiceError(HoldfastError, RuntimeError):
    """A server that Holdfast was to run did not start, or ended by itself."""


class SessionSharedError(HoldfastError, RuntimeError):
    """Two tasks use one session, or one connection, at the same time."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"a task was to {what} while another one waits for an answer on the same connection: "
            "a session is one transaction, and takes what one task changes during the flush of "
            "another for stored. Give each task a session of its own (async with db.begin() in "
            "each), or await one after the other"
        )


class TransactionOwnedError(HoldfastError, RuntimeError):
    """Code inside `begin()`, `read()` or `run()` tried to end a transaction that is not its own."""


class TransactionAbortedError(HoldfastError, RuntimeError):
    """A transaction with a failed statement was to be committed; the server would have undone it.

    PostgreSQL answers COMMIT in such a transaction with ROLLBACK and no error, so the writes
    before the failed statement would be lost although the commit seemed to succeed.
    """

    def __init__(self, why: str | None = None) -> None:
        super().__init__(
            why
            or "COMMIT was answered with ROLLBACK: a statement of this transaction had failed and "
            "the code went on, so none of its writes is stored; let the error out of the block, "
            "or run the statement that may fail inside session.begin_nested()"
        )


class CommitUnknownError(HoldfastError, RuntimeError):
    """The connection was lost while COMMIT was under way: it may be stored, or not.

    Nobody has run the work again. Look whether its effect is there before you do.
    """


class ReadOnlyError(HoldfastError, RuntimeError):
    """Something would have written through `read()`."""


class RowError(HoldfastError, ValueError):
    """A row cannot be written: it is not like the others, or a value does not fit its column.

    Attributes:
        number: of the row, counted from 1.
        key: of the value, None where it is not about one.
        problem: what is wrong, without where.
    """

    def __init__(self, number: int, key: str | None, problem: str) -> None:
        where = f"row {number}" if key is None else f"row {number}, {key!r}"
        super().__init__(f"{where}: {problem}; no row was written")
        self.number = number
        self.key = key
        self.problem = problem


class InvalidValueError(HoldfastError, ValueError):
    """A value cannot be stored, or not the same by both engines; nothing was sent.

    The value itself is not in the message.

    Attributes:
        reason: what is wrong with it, and what to do.
        field: where it was to be stored, None where that is not known.
        row: of those of the statement, counted from 1; None where it had one. The ORM makes a
            statement for all rows in sequence that have the same keys.
    """

    def __init__(self, reason: str, field: str | None = None, row: int | None = None) -> None:
        where = "" if row is None else f"row {row}: "
        super().__init__(f"{where}{field or 'the value'} {reason}")
        self.reason = reason
        self.field = field
        self.row = row


class StaleVersionError(HoldfastError, RuntimeError):
    """A row was changed or deleted since its object was loaded; nothing of the flush is stored.

    Attributes:
        table: of the row.
        key: its primary key, in the order of the columns.
        expected: the version that the object has.
        found: the version that the row has now, None where the row is gone.
    """

    def __init__(
        self, table: str, key: tuple[object, ...], expected: object, found: object
    ) -> None:
        shown = key[0] if len(key) == 1 else key
        now = "the row is gone" if found is None else f"the row has version {found}"
        super().__init__(
            f"{table} {shown}: the object has version {expected}, {now}; load it again, look at "
            "what has changed, and repeat the change"
        )
        self.table = table
        self.key = key
        self.expected = expected
        self.found = found


class StoreUnavailableError(HoldfastError, ConnectionError):
    """The state store could not reach Redis or PostgreSQL in time; nothing was done."""


class OutcomeUnknownError(StoreUnavailableError):
    """The answer to a change of a state was lost: it may have been made, or may be yet.

    Load the state and look whether the change is in it before you make it again.
    """


class UnknownKeyError(HoldfastError, LookupError):
    """There is no row for a key, so that the state store has nothing under it."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"{key}: there is no such row; the application inserts it before the store is used, "
            "or it was deleted"
        )
        self.key = key


class StateConflictError(HoldfastError, RuntimeError):
    """A state was to be replaced or written that is not the newest one; nothing was changed.

    Attributes:
        key: of the state.
        expected: the version that was in hand.
        found: the version that the key has; None where Redis was emptied or restarted since, or
            the row deleted, and loading the key tells.
    """

    def __init__(self, key: str, expected: int, found: int | None) -> None:
        now = (
            "the store does not go on from it any more (Redis was restarted, or the row is gone)"
            if found is None
            else f"the key is at version {found}"
        )
        super().__init__(
            f"{key}: version {expected} is in hand, and {now}; load it again, look at what has "
            "changed, and repeat the change"
        )
        self.key = key
        self.expected = expected
        self.found = found


class SandboxError(HoldfastError, RuntimeError):
    """A test did what one transaction for everything cannot show: it needs its own database."""


class MigrationError(HoldfastError, RuntimeError):
    """A migration could not be found, or failed; the database is as it was before."""


class TransferError(HoldfastError, RuntimeError):
    """A database was not copied into another one; no row is in the target.

    Attributes:
        table: that it is about, None where it is about more than one.
        key: of the row that it is about, by column; None where it is about none.
    """

    def __init__(
        self, problem: str, *, table: str | None = None, key: dict[str, object] | None = None
    ) -> None:
        named = [f"{name} {value!s}" for name, value in (key or {}).items()]
        where = ", ".join(filter(None, [table, *named]))
        super().__init__(f"{where}: {problem}" if where else problem)
        self.table = table
        self.key = key


# PostgreSQL keeps its time-outs in milliseconds as 32-bit integers: about 24 days.
_LONGEST = 2_147_483


def require_seconds(policy: object, *names: str) -> None:
    """Check that these fields of a policy are durations.

    Raises:
        ConfigurationError: it names each that is not.
    """
    wrong = [name for name in names if not _is_seconds(getattr(policy, name))]
    if wrong:
        values = ", ".join(f"{name} is {getattr(policy, name)!r}" for name in wrong)
        raise ConfigurationError(f"{values}; seconds are a number from 0 to {_LONGEST}")


def _is_seconds(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 <= value <= _LONGEST  # false for nan, too
