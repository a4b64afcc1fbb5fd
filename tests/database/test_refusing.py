"""What refusing values relies on inside SQLAlchemy; each test says what to look at if it moved."""

import inspect

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import _PGJSON, _PGJSONB, PGDialect_psycopg
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.sql.compiler import SQLCompiler

from holdfast.database import Database
from holdfast.errors import InvalidValueError

MOVED = "SQLAlchemy has moved what holdfast/database/refusing.py stands on: look at "
TASKS = Table(
    "tasks", MetaData(), Column("id", Integer, primary_key=True), Column("title", String(5))
)


def test_a_statement_asks_its_compiler_once_for_what_to_do_with_values():
    """By a name that a subclass can take, which is remembered with the statement."""
    assert "_bind_processors" in vars(SQLCompiler), f"{MOVED}SQLCompiler._bind_processors"
    source = inspect.getsource(DefaultExecutionContext._init_compiled)
    assert "compiled._bind_processors" in source, f"{MOVED}DefaultExecutionContext._init_compiled"
    source = inspect.getsource(SQLCompiler._process_parameters_for_postcompile)
    assert "self._bind_processors" in source, f"{MOVED}_process_parameters_for_postcompile"


@pytest.mark.parametrize("dialect", [postgresql.dialect(), sqlite.dialect()], ids=["pg", "sqlite"])
def test_methods_that_are_overridden_are_there(dialect):
    """The names are those of the elements that are compiled."""
    for name in ("visit_binary", "visit_on_conflict_do_update"):
        assert callable(getattr(dialect.statement_compiler, name, None)), f"{MOVED}{name}"


def names(statement, **options):
    """Give the names of a statement's parameters, and whether they are values of columns."""
    compiled = statement.compile(dialect=postgresql.dialect(), **options)
    return {name: bind._is_crud for bind, name in compiled.bind_names.items()}


def test_values_of_columns_are_named_after_them():
    """And those of several rows are numbered; a number that is added is no such value."""
    assert names(insert(TASKS), column_keys=["title"]) == {"title": True}, f"{MOVED}sql/crud.py"
    several = names(insert(TASKS).values([{"title": "a"}, {"title": "b"}]))
    assert several == {"title_m0": True, "title_m1": True}, f"{MOVED}sql/crud.py"
    added = names(update(TASKS).values(id=TASKS.c.id + 1))
    assert added == {"id_1": False}, f"{MOVED}sql/crud.py"


def test_a_statement_knows_the_values_that_it_was_given():
    """By column, also where they have a name of their own."""
    given = bindparam("given")
    compiled = update(TASKS).values(title=given).compile(dialect=postgresql.dialect())
    values = compiled.dml_compile_state._dict_parameters
    assert [each.key for each in values.values()] == ["given"], f"{MOVED}DMLState._dict_parameters"
    upsert = postgresql.insert(TASKS).on_conflict_do_update(constraint="x", set_={"title": given})
    values = upsert._post_values_clause.update_values_to_set
    assert [each.key for each in values.values()] == ["given"], f"{MOVED}update_values_to_set"


def test_a_type_knows_its_variants():
    """By the name of the dialect."""
    kind = BigInteger().with_variant(Integer(), "sqlite")
    assert list(kind._variant_mapping) == ["sqlite"], f"{MOVED}TypeEngine._variant_mapping"


def test_json_is_given_to_psycopg_by_these_names():
    """A dialect of ours has others, which write it at once."""
    for kind, name in ((_PGJSON, "_psycopg_Json"), (_PGJSONB, "_psycopg_Jsonb")):
        assert name in vars(PGDialect_psycopg), f"{MOVED}PGDialect_psycopg.{name}"
        assert f"dialect.{name}" in inspect.getsource(kind.bind_processor), f"{MOVED}{kind}"


async def test_only_what_is_not_compiled_passes(any_url):
    """SQL that is the driver's own."""
    async with Database(any_url) as db, db.engine.connect() as connection:
        with pytest.raises(InvalidValueError):
            await connection.execute(select(text(":it").bindparams(it="\0")))
        await connection.exec_driver_sql("SELECT 1")
