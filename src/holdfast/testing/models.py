"""Compare models with migrated tables in what Alembic does not compare."""

from alembic.runtime.migration import MigrationContext
from pytest_alembic import MigrationContext as Runner
from sqlalchemy import Connection, MetaData, text

from holdfast.testing.catalogue import read_catalogue
from holdfast.testing.stairs import compare, inspect

# What models can say; the rest, such as triggers, belongs to the migrations alone.
_KINDS = ("table ", "column ", "constraint ", "index ", "enum ")


def compare_models(runner: Runner) -> str:
    """Say how the tables would differ if the models had made them; a text without lines is none.

    On PostgreSQL, which tells everything in a form of its own; elsewhere nothing is compared.
    """
    return inspect(runner, _compare)


def _compare(context: MigrationContext) -> str:
    connection, metadata = context.connection, context.opts["target_metadata"]
    if connection is None or connection.dialect.name != "postgresql":
        return ""
    before = read_catalogue(connection, context.version_table)
    with connection.begin_nested() as savepoint:
        # In place of the migrated ones, so that extensions and functions are there.
        _drop(connection, metadata)
        metadata.create_all(connection)
        made = read_catalogue(connection, context.version_table)
        savepoint.rollback()
    return compare(_tables(made), _tables(before), signs=("only models", "only migrations"))


def _drop(connection: Connection, metadata: MetaData) -> None:
    names = connection.dialect.identifier_preparer
    for table in metadata.tables.values():
        connection.execute(text(f"DROP TABLE IF EXISTS {names.format_table(table)} CASCADE"))
    metadata.drop_all(connection)  # their types and sequences


def _tables(catalogue: frozenset[str]) -> frozenset[str]:
    return frozenset(line for line in catalogue if line.startswith(_KINDS))
