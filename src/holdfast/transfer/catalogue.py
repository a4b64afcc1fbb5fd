"""What there is in a database: tables and views, and at which revision they are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Column, MetaData, String, Table, column, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from holdfast.transfer.asking import quoted

_VERSIONS = "alembic_version"
# What an extension has made is its own, and is there wherever the extension is.
_POSTGRESQL = """
SELECT nullif(nspname, current_schema()) AS schema, relname AS name,
    CASE WHEN relispartition THEN 'partition' WHEN relkind IN ('v', 'm') THEN 'view'
    ELSE 'table' END AS kind
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'p', 'f', 'v', 'm') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
    AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
    )
"""
# What a virtual table keeps its contents in is `shadow`.
_SQLITE = """
SELECT NULL AS schema, name, CASE type WHEN 'view' THEN 'view' ELSE 'table' END AS kind
FROM pragma_table_list
WHERE schema = 'main' AND type <> 'shadow' AND substr(name, 1, 7) <> 'sqlite_'
"""
# What is computed is left away, and so are columns that a virtual table hides.
_POSTGRESQL_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
ORDER BY attnum
"""
_SQLITE_COLUMNS = "SELECT name FROM pragma_table_xinfo(:table) WHERE hidden = 0 ORDER BY cid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table or view that there is."""

    schema: str | None
    name: str
    kind: Literal["table", "partition", "view"]

    @property
    def table(self) -> Table:
        """It, with nothing known of its columns."""
        return Table(self.name, MetaData(), schema=self.schema)


async def relations(connection: AsyncConnection, metadata: MetaData) -> Mapping[str, Relation]:
    """Give what there is in the schemas of the models, by its full name there."""
    default = connection.dialect.default_schema_name
    used = {metadata.schema, *(each.schema for each in metadata.tables.values())}
    # The models may name the schema that is meant where none is named.
    schemas = {None if schema == default else schema: schema for schema in used}
    sql = _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL
    found = [
        Relation(schema=schemas[schema], name=name, kind=kind)
        for schema, name, kind in await connection.execute(text(sql))
        if schema in schemas
    ]
    return {each.table.fullname: each for each in found}


def versions(metadata: MetaData) -> Table:
    """Give the table in which Alembic keeps the revision."""
    return Table(_VERSIONS, MetaData(), schema=metadata.schema)


async def revision(
    connection: AsyncConnection, metadata: MetaData, found: Mapping[str, Relation]
) -> tuple[str, ...]:
    """Give the revisions that a database is at; none where it was never migrated."""
    kept = versions(metadata)
    if kept.fullname not in found:
        return ()
    rows = await connection.scalars(select(column("version_num", String)).select_from(kept))
    return tuple(sorted(rows))


async def unknown_columns(
    connection: AsyncConnection, tables: Iterable[Table]
) -> Mapping[str, Column[Any]]:
    """Give the columns that the models' tables have there and in the models have not, by name."""
    is_sqlite = connection.dialect.name == "sqlite"
    sql = text(_SQLITE_COLUMNS if is_sqlite else _POSTGRESQL_COLUMNS)
    unknown: dict[str, Column[Any]] = {}
    for each in tables:
        # In a name of SQLite, capitals do not count.
        known = {one.name.lower() if is_sqlite else one.name for one in each.columns}
        named = each.name if is_sqlite else quoted([each])
        for name in await connection.scalars(sql, {"table": named}):
            if (name.lower() if is_sqlite else name) not in known:
                found = Column(name)
                Table(each.name, MetaData(), found, schema=each.schema)
                unknown[f"{each.fullname}.{name}"] = found
    return unknown


async def holding(connection: AsyncConnection, columns: Mapping[str, Column[Any]]) -> list[str]:
    """Name the columns that hold anything but NULL."""
    return [
        name
        for name, each in columns.items()
        if await connection.scalar(select(literal(1)).where(each.is_not(None)).limit(1))
    ]


async def filled(connection: AsyncConnection, tables: Iterable[Table]) -> list[str]:
    """Name the tables that have rows."""
    return [
        each.fullname
        for each in tables
        if await connection.scalar(select(literal(1)).select_from(each).limit(1))
    ]
