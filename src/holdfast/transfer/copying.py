"""Copy one database into another: everything, or nothing."""

import time
from collections.abc import Collection
from pathlib import Path

from holdfast import migrate
from holdfast.database import Database
from holdfast.errors import ConfigurationError
from holdfast.transfer import agreeing
from holdfast.transfer.catalogue import versions
from holdfast.transfer.moving import Moving
from holdfast.transfer.postgres import PostgresTarget
from holdfast.transfer.report import Copied, Watch
from holdfast.transfer.source import find, set_up
from holdfast.transfer.sqlite import SqliteTarget


async def copy(
    source: Database,
    target: Database,
    config: Path | str,
    *,
    without: Collection[str] = (),
    progress: Watch | None = None,
) -> Copied:
    """Copy every row of a database into another one, on the same engine or the other.

    All or nothing: the target is filled in one transaction, which is committed when every table
    was read back and is what it was. The source is read at one moment. Memory is constant.

        async with Database(old) as source, Database(new) as target:
            copied = await transfer.copy(source, target, "alembic.ini")

    Args:
        source: at the newest revision; as a role that may read all rows.
        target: without rows, at the newest revision or never migrated; as the role that owns its
            tables.
        config: the alembic.ini of the models.
        without: tables that the models do not have, and that are left out; columns of others as
            `table.column`.
        progress: called after some rows each time.

    Raises:
        ConfigurationError: the two are one database, or use another driver than asyncpg and
            aiosqlite.
        MigrationError: the target could not be migrated.
        TransferError: the databases do not fit, or a row was refused, which it names by table and
            key. No row is in the target.
        CommitUnknownError: the connection was lost while COMMIT was under way.
    """
    begun = time.perf_counter()
    async with source.direct() as old, target.direct() as new:
        _require_drivers(old, new)
        await agreeing.refuse_same(old, new)
        metadata, head = await migrate.metadata(config), migrate.head(config)
        async with old.read(snapshot=True) as reads:
            await set_up(reads)
            tables = await agreeing.require_source(reads, metadata, head, without)
            await agreeing.prepare_target(new, config, metadata, head)
            async with new.begin() as writes:
                filling = _target(new)(writes, tables)
                await filling.lock(versions(metadata))
                found = await find(reads, tables)
                await filling.open(found)
                await agreeing.require_empty(writes, metadata, head, tables)
                moving = Moving(await reads.connection(), await writes.connection(), filling)
                copies = await moving.move(tables, progress)
                await filling.close(found)
    copied = Copied(
        source=source.url.place,
        target=target.url.place,
        revision=head,
        tables=tuple(copies),
        seconds=round(time.perf_counter() - begun, 3),
    )
    target.events.emit(copied)
    return copied


def _target(db: Database) -> type[PostgresTarget] | type[SqliteTarget]:
    return SqliteTarget if db.url.backend == "sqlite" else PostgresTarget


def _require_drivers(*databases: Database) -> None:
    for db in databases:
        driver = db.engine.dialect.driver
        if driver not in {"asyncpg", "aiosqlite"}:
            raise ConfigurationError(
                f"{db.url}: copy() speaks to PostgreSQL through asyncpg, and this is {driver}; "
                "write postgresql:// in the URL"
            )
