"""Which table a store's states belong to, and what of a state its other columns show."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import DDL, BigInteger, Column, Table, event, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import MappedColumn, mapped_column

from holdfast.errors import ConfigurationError, InvalidValueError
from holdfast.state.versions import COUNT_BITS, SEQUENCE

T = TypeVar("T")
Key = uuid.UUID | int | str

_KINDS: Mapping[type, Callable[[str], Key]] = {uuid.UUID: uuid.UUID, int: int, str: str}
# Types of keys in PostgreSQL, and what they are compared as. Other types have several spellings of
# one key (CHAR, CITEXT), and a text that is cast to VARCHAR(5) is cut.
_COMPARED_AS = {
    "UUID": "uuid",
    **dict.fromkeys(("SMALLINT", "INTEGER", "BIGINT"), "bigint"),
    **dict.fromkeys(("TEXT", "VARCHAR"), "text"),
}
_MOST = 2**63
# Names in Redis that a store has for itself.
OWN = "holdfast:"


def state_version() -> MappedColumn[int]:
    """Make the column for a state's version; each new row is given an epoch of its own.

        version: Mapped[int] = state_version()

    `create_all` makes the sequence behind it; a migration does so before the table:
    `op.execute("CREATE SEQUENCE IF NOT EXISTS holdfast_epoch")`.
    """
    default = text(f"nextval('{SEQUENCE}') << {COUNT_BITS}")
    version: MappedColumn[int] = mapped_column(BigInteger, server_default=default)
    event.listen(version.column, "after_parent_attach", _make_sequence_first)
    return version


def _make_sequence_first(_column: Column[int], table: Table) -> None:
    statement = f"CREATE SEQUENCE IF NOT EXISTS {SEQUENCE}"
    sequence = DDL(statement)  # type: ignore[no-untyped-call]  # SQLAlchemy's
    event.listen(table, "before_create", sequence.execute_if(dialect="postgresql"))


# Without slots: Python 3.11 cannot make StateTable[Board](…) of a frozen one that has them.
@dataclass(frozen=True, kw_only=True)
class StateTable(Generic[T]):
    """Where states are kept.

        StateTable(model=ActiveGame, prefix="game:", state="game_state",
                   columns={"turn_number": lambda game: game.turn_number})

    Attributes:
        model: a mapped class or a table, with a primary key of one column: UUID, integer or text.
            The application inserts the rows. No CHAR, CITEXT or collation that takes different
            texts for equal.
        prefix: of the keys in Redis; the row's key follows it.
        state: the column of the state: JSONB, JSON or text.
        version: the column of its version, made by `state_version()`.
        columns: other columns that are written with a state, and what they show of it. Called
            when a state is saved.

    Raises:
        ConfigurationError: it names everything that the table lacks.
    """

    model: Any
    prefix: str
    state: str = "state"
    version: str = "version"
    columns: Mapping[str, Callable[[T], object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.table, Table):
            raise ConfigurationError(
                f"StateTable: model is {self.model!r}; it is a mapped class or a table"
            )
        if problems := [*self._problems()]:
            raise ConfigurationError(f"StateTable of {self.table.name}: {'; '.join(problems)}")

    @property
    def table(self) -> Table:
        """The table itself."""
        found: Table = getattr(self.model, "__table__", self.model)
        return found

    @property
    def key(self) -> Column[Any]:
        """The column that is the key."""
        (column,) = self.table.primary_key.columns
        return column

    def write_key(self, key: Key) -> str:
        """Give a key as text, as it stands behind the prefix: each row has one.

        Raises:
            ConfigurationError: it is of another type than the column.
            InvalidValueError: no row can have such a key.
        """
        kind = self._kind
        if type(key) is not kind and not (isinstance(key, kind) and kind is not int):
            raise ConfigurationError(
                f"{self.table.name}: the key is {key!r}; {self.key.name} is a {kind.__name__}"
            )
        if isinstance(key, str):
            return self._write_text(str.__str__(key))  # an enum's own would be its name
        if isinstance(key, int) and not -_MOST <= key < _MOST:
            raise self._impossible(key, "PostgreSQL's numbers have 64 bits")
        return str(key)

    def _write_text(self, key: str) -> str:
        if self.key_type == "uuid":
            try:
                return str(uuid.UUID(key))
            except ValueError as error:
                raise self._impossible(key, "it is no UUID") from error
        try:
            key.encode()
        except UnicodeEncodeError as error:
            raise self._impossible(key, "it has half a character in it (a surrogate)") from error
        if "\0" in key:
            raise self._impossible(key, "it has a NUL character in it")
        return key

    def _impossible(self, key: Key, why: str) -> InvalidValueError:
        return InvalidValueError(f"cannot be {key!r}: {why}", f"{self.table.name}.{self.key.name}")

    def read_key(self, text: str) -> Key:
        """Give the key of such a text."""
        return _KINDS[self._kind](text)

    @property
    def key_type(self) -> str:
        """What keys are compared as: uuid, bigint or text."""
        return _COMPARED_AS[self._declared]

    @property
    def _kind(self) -> type:
        return self.key.type.python_type

    @property
    def _declared(self) -> str:
        compiled: str = self.key.type.compile(postgresql.dialect())  # type: ignore[no-untyped-call]
        return compiled.partition("(")[0]

    def _problems(self) -> "list[str]":
        table, found = self.table, []
        if len(table.primary_key.columns) != 1:
            found.append("its primary key has to be one column")
        elif self._kind not in _KINDS or self._declared not in _COMPARED_AS:
            found.append(f"its key {self.key.name} has to be a UUID, an integer or text")
        missing = {self.state, self.version, *self.columns} - set(table.columns.keys())
        found += [
            f"it has no column {name}" + ": state_version() makes it" * (name == self.version)
            for name in sorted(missing)
        ]
        version = table.columns.get(self.version)
        if version is not None and version.type.python_type is not int:
            found.append(f"{self.version} has to be a BIGINT: state_version() makes it")
        prefix = self.prefix if isinstance(self.prefix, str) else ""
        # Of Holdfast's own names neither the beginning nor the end.
        if not prefix or "{" in prefix or prefix.startswith(OWN) or OWN.startswith(prefix):
            found.append(
                f"prefix is {self.prefix!r}; it is text such as 'game:', without {{, and does not "
                f"begin with {OWN}"
            )
        taken = {self.state, self.version} & set(self.columns)
        found += [f"columns has {name}, which the store itself writes" for name in sorted(taken)]
        return found
