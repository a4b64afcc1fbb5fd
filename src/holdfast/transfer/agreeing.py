"""Whether one database can be copied into the other: what is asked before a row is written."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from sqlalchemy import MetaData, Table, text
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast import migrate
from holdfast.database import Database
from holdfast.errors import ConfigurationError, TransferError
from holdfast.transfer.asking import ask
from holdfast.transfer.catalogue import (
    Relation,
    filled,
    holding,
    relations,
    revision,
    unknown_columns,
    versions,
)

_SERVER = (
    "SELECT concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()), oid) "
    "FROM pg_database WHERE datname = current_database()"
)
_FILE = "SELECT file FROM pragma_database_list WHERE name = 'main'"


async def refuse_same(source: Database, target: Database) -> None:
    """Refuse to copy a database into itself, however its two URLs are written.

    Raises:
        ConfigurationError: they lead to the same database.
    """
    if source is target or await _identity(source) == await _identity(target):
        raise ConfigurationError(
            f"source and target are one database: {source.url.place} and {target.url.place}"
        )


async def require_source(
    session: AsyncSession, metadata: MetaData, head: str, without: Collection[str]
) -> list[Table]:
    """Give the tables to copy.

    Args:
        session: on the source.
        metadata: of the models.
        head: the newest migration.
        without: names of tables, or of columns as `table.column`, that the models do not have,
            and that are left out.

    Raises:
        ConfigurationError: a name in `without` is none of these.
        TransferError: the source is at another revision, lacks tables of the models, or has rows
            in tables, or values in columns, that they do not have.
    """
    connection = await session.connection()
    found = await relations(connection, metadata)
    at = await revision(connection, metadata, found)
    if at != (head,):
        raise TransferError(
            f"the source is at revision {_listed(at)}, and the migrations end at {head}; migrate "
            "it first: holdfast migrate --url SOURCE"
        )
    if missing := metadata.tables.keys() - found.keys():
        raise TransferError(
            f"the models have {_listed(missing)}, which the source does not have; write the "
            "migration first: holdfast revision"
        )
    tables = [table for name, table in metadata.tables.items() if found[name].kind == "table"]
    others = _others(found, metadata)
    columns = await unknown_columns(connection, tables)
    if wrong := set(without) - (may_be := {each.fullname for each in others} | columns.keys()):
        raise ConfigurationError(
            f"{_listed(wrong)} cannot be left out: the models have it, or the source does not; "
            f"what can be: {_listed(may_be)}"
        )
    left = [each for each in others if each.fullname not in without]
    if rows := await filled(connection, left):
        raise TransferError(
            f"the source has rows in {_listed(rows)}, which the models do not have, so that "
            f"nothing tells how to copy them; leave them out: --without {rows[0]}"
        )
    kept = {name: each for name, each in columns.items() if name not in without}
    if values := await holding(connection, kept):
        raise TransferError(
            f"the source has values in {_listed(values)}, which the models do not have, so that "
            f"they would be lost; leave them out: --without {values[0]}"
        )
    if connection.dialect.name == "postgresql":
        await _require_all_rows(session, tables)
        await _require_own_rows(session, tables)
    return tables


async def prepare_target(
    target: Database, config: Path | str, metadata: MetaData, head: str
) -> None:
    """Migrate an empty target.

    Raises:
        MigrationError: a migration failed; the target is as it was before.
        TransferError: it has tables of the models, and is at another revision.
    """
    async with target.read() as session:
        connection = await session.connection()
        found = await relations(connection, metadata)
        at = await revision(connection, metadata, found)
    if not at and not metadata.tables.keys() & found.keys():
        await migrate.upgrade(target, config)
    elif at != (head,):
        raise TransferError(
            f"the target is at revision {_listed(at)}, and the source at {head}; migrate it first: "
            "holdfast migrate --url TARGET"
        )


async def require_empty(
    session: AsyncSession, metadata: MetaData, head: str, tables: Sequence[Table]
) -> None:
    """See that nobody has written into the target, or migrated it, until it was locked.

    Raises:
        TransferError: it has rows, or is at another revision.
    """
    connection = await session.connection()
    at = await revision(connection, metadata, await relations(connection, metadata))
    if at != (head,):
        raise TransferError(f"the target was migrated to {_listed(at)} meanwhile; try again")
    if rows := await filled(connection, tables):
        raise TransferError(
            f"the target has rows in {_listed(rows)}, and a copy goes into an empty one: name "
            "another, or delete what is there"
        )


async def _require_all_rows(session: AsyncSession, tables: Sequence[Table]) -> None:
    hidden = [each.name for each in await ask(session, "hidden.sql", tables)]
    if hidden:
        raise TransferError(
            f"the policies of the source hide rows of {_listed(hidden)} from its role; copy as one "
            "with BYPASSRLS"
        )


async def _require_own_rows(session: AsyncSession, tables: Sequence[Table]) -> None:
    if inherited := [each.name for each in await ask(session, "inherited.sql", tables)]:
        raise TransferError(
            f"other tables inherit from {_listed(inherited)}, so that their rows would be copied "
            "twice; make partitions of them, or ALTER TABLE ... NO INHERIT"
        )


async def _identity(db: Database) -> object:
    async with db.read() as session:
        if db.url.backend == "postgresql":
            return await session.scalar(text(_SERVER))
        file = await session.scalar(text(_FILE))
    try:
        held = await asyncio.to_thread(Path(file).stat)
    except FileNotFoundError:  # in memory, under a name of its own
        return file
    return held.st_dev, held.st_ino


def _others(found: Mapping[str, Relation], metadata: MetaData) -> list[Table]:
    own = {*metadata.tables, versions(metadata).fullname}
    return [each.table for name, each in found.items() if each.kind == "table" and name not in own]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
