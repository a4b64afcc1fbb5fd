"""From a `select()` to the text and values for the driver, and the way back to typed rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import BindParameter, CompoundSelect, Connection, Dialect, Select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.util import LRUCache

from holdfast.errors import ConfigurationError
from holdfast.fastlane.building import Record, builder
from holdfast.fastlane.columns import Query, columns, without_entities
from holdfast.fastlane.values import Process, binding, loading

T = TypeVar("T")
Parameters = Mapping[str, object]
Call = tuple[str, Sequence[object]]
# As many statements as SQLAlchemy keeps compiled for an engine.
_PLANS: "LRUCache[Any, Plan[Any]]" = LRUCache(500)


@dataclass(frozen=True, slots=True)
class Plan(Generic[T]):
    """What is the same for all runs of statements of one form.

    Attributes:
        compiled: the first of them; the values in it are not used.
        places: where each of its values is in another statement; a parameter itself where it is
            a part of the model.
        processors: by parameter, what its type does to a value.
        writes: whether an INSERT, UPDATE or DELETE is in it.
        build: makes the rows.
    """

    compiled: SQLCompiler
    places: Sequence[int | BindParameter[Any]] | None
    processors: Mapping[str, Process]
    writes: bool
    build: Callable[[Sequence[Record]], list[T]]

    def call(self, values: Sequence[BindParameter[Any]], parameters: Parameters) -> Call:
        """Give text and arguments for the driver."""
        compiled, processors = self.compiled, self.processors
        named = compiled.construct_params(
            parameters, extracted_parameters=self._in_place(values), escape_names=False
        )
        sql, names = compiled.string, tuple(compiled.positiontup or ())
        if compiled.post_compile_params or compiled.literal_execute_params:  # as IN has
            state = compiled.construct_expanded_state(named, escape_names=False)
            sql, names = state.statement, tuple(state.positiontup or ())
            named = dict(state.parameters)
            processors = {**processors, **cast("Mapping[str, Process]", state.processors)}
        return sql, [
            processors[name](named[name]) if name in processors else named[name] for name in names
        ]

    def _in_place(
        self, values: Sequence[BindParameter[Any]]
    ) -> Sequence[BindParameter[Any]] | None:
        if self.places is None:
            return None
        return [values[place] if isinstance(place, int) else place for place in self.places]


def plan(
    connection: Connection, statement: Query, parameters: Parameters, into: Callable[..., T]
) -> tuple[Plan[T], Call]:
    """Give a statement's plan, made once for all of its form, and what to call the driver with.

    Raises:
        ConfigurationError: it cannot be run here, or its columns and `into` do not match.
    """
    if not isinstance(statement, Select | CompoundSelect):
        raise ConfigurationError(
            f"fastlane runs select(), not {type(statement).__name__}; use session.execute()"
        )
    dialect, schemas = connection.dialect, translation(connection)
    key: Any = statement._generate_cache_key()  # noqa: SLF001  -- as SQLAlchemy's examples do
    if key is None:
        made = _make(dialect, statement, None, schemas, into)
        return made, made.call((), parameters)
    form = (dialect, key.key, into, tuple(schemas.items()))
    found: Plan[T] | None = _PLANS.get(form)
    if found is None:
        found = _PLANS[form] = _make(dialect, statement, key, schemas, into)
    _require_known(parameters, found.compiled)
    given = {**key.params, **parameters} if key.params else parameters
    return found, found.call(key.bindparams, given)


def translation(connection: Connection) -> Mapping[str | None, str | None]:
    """Give the names of schemas that the connection puts in the place of others."""
    return connection.get_execution_options().get("schema_translate_map") or {}


def _make(
    dialect: Dialect,
    statement: Query,
    key: Any,
    schemas: Mapping[str | None, str | None],
    into: Callable[..., T],
) -> Plan[T]:
    plain = without_entities(statement) if isinstance(statement, Select) else statement
    build = builder(into, [(name, loading(kind, dialect)) for name, kind in columns(plain)])
    own: Any = None if key is None else plain._generate_cache_key()  # noqa: SLF001
    compiled = _compile(dialect, plain, own, schemas)
    return Plan(
        compiled=compiled,
        places=None if key is None else _places(own.bindparams, key.bindparams),
        processors=binding(compiled),
        writes=any(getattr(each, "is_dml", False) for each in iterate(plain)),
        build=build,
    )


def _compile(
    dialect: Dialect, statement: Query, key: Any, schemas: Mapping[str | None, str | None]
) -> SQLCompiler:
    options: dict[str, Any] = {"cache_key": key}
    if schemas:
        options |= {"schema_translate_map": schemas, "render_schema_translate": True}
    return statement.compile(dialect=dialect, **options)


def _places(
    compiled: Sequence[BindParameter[Any]], given: Sequence[BindParameter[Any]]
) -> list[int | BindParameter[Any]]:
    places = {id(each): number for number, each in enumerate(given)}
    return [places.get(id(each), each) for each in compiled]


def _require_known(parameters: Parameters, compiled: SQLCompiler) -> None:
    unknown = parameters.keys() - compiled.binds.keys()
    if unknown:
        raise ConfigurationError(
            f"the statement has no parameter {', '.join(map(repr, sorted(unknown)))}; "
            f"it has {', '.join(map(repr, compiled.binds)) or 'none'}"
        )
