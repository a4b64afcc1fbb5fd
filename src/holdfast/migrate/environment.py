"""What an application's env.py does, in one call.

    from holdfast import migrate
    from shop.models import Base
    migrate.run_env(Base.metadata)

Nothing else belongs there: URL, limits and locks come from the caller or the environment.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from configparser import InterpolationError
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.errors import ConfigurationError
from holdfast.migrate.policy import MigrationPolicy
from holdfast.migrate.target import find_url, readable
from holdfast.settings import find_project

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData
    from sqlalchemy.ext.asyncio import AsyncEngine

# Keys of Alembic's `config.attributes`, through which a caller and env.py talk.
CONNECTION = "connection"
POLICY = "holdfast.policy"
METADATA = "holdfast.metadata"
BEFORE = "holdfast.before"
AFTER = "holdfast.after"
AUTOGENERATE = "autogenerate"
_PARTITIONS = (
    "SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE relispartition"
)


def run_env(metadata: "MetaData") -> None:
    """Run the migrations that Alembic asks for, however it was called.

    Under `holdfast.migrate` on the connection given there, under pytest-alembic on the
    `AsyncEngine` given there; under the plain `alembic` command on a connection of its own, to
    `-x url=…`, `sqlalchemy.url` of the alembic.ini, `DIRECT_DATABASE_URL`, `DATABASE_OWNER_URL`,
    `DATABASE_URL` or the project's running servers, the first there is.
    With `--sql` it prints the statements and needs no database.

    Raises:
        ConfigurationError: no URL was found, or it cannot be used.
        MigrationError: another process migrates for longer than the policy allows to wait.
    """
    from alembic import context
    from sqlalchemy.ext.asyncio import AsyncEngine

    context.config.attributes[METADATA] = metadata
    connection = context.config.attributes.get(CONNECTION)
    if context.is_offline_mode():
        _print_sql(metadata)
    elif isinstance(connection, AsyncEngine):
        _run(_migrate_by(connection, metadata))
    elif connection is not None:
        _migrate(connection, metadata)
    else:
        _connect_and_migrate(metadata)


def _connect_and_migrate(metadata: "MetaData") -> None:
    from alembic import context

    from holdfast.database import Database

    given = context.get_x_argument(as_dictionary=True).get("url") or _configured_url()
    project = find_project(Path(context.config.config_file_name or "").parent)

    async def migrate() -> None:
        url = await find_url(given, project)
        async with Database(url).direct() as db, db:
            await _migrate_by(db.engine, metadata)

    _run(migrate())


async def _migrate_by(engine: "AsyncEngine", metadata: "MetaData") -> None:
    async with engine.connect() as connection:
        await connection.run_sync(_migrate, metadata)


def _run(work: Coroutine[Any, Any, None]) -> None:
    # A thread, since Alembic's functions may have been called where a loop already runs.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, work).result()


def _configured_url() -> str | None:
    from alembic import context

    try:
        url = context.config.get_main_option("sqlalchemy.url")
    except InterpolationError:
        # Its own message repeats the URL from the % on, where a password may be.
        raise ConfigurationError(
            f"{context.config.config_file_name}: sqlalchemy.url has a %; write %% there, or give "
            "the URL in DATABASE_OWNER_URL"
        ) from None
    return readable(url, f"sqlalchemy.url of {context.config.config_file_name}") if url else None


def _migrate(connection: "Connection", metadata: "MetaData") -> None:
    from alembic import context

    from holdfast.migrate.exclusive import (
        make_schema,
        prepared,
        references_kept,
        take_turn,
        waiting,
    )

    policy = context.config.attributes.get(POLICY) or MigrationPolicy()
    options = _options(metadata, connection.dialect.name)
    options["include_name"] = partial(_is_own, _schemas(metadata), _read_partitions(connection))
    context.configure(connection=connection, **options)
    with prepared(connection, policy), ExitStack() as transaction:
        with waiting(policy):
            transaction.enter_context(context.begin_transaction())
        if not context.get_context().opts.get("dont_mutate"):
            take_turn(connection, policy)
            make_schema(connection, metadata.schema)
        transaction.enter_context(references_kept(connection))
        context.script.get_revisions("heads")  # a file that cannot be read is no failed migration
        context.config.attributes[BEFORE] = context.get_context().get_current_heads()
        context.run_migrations()
        context.config.attributes[AFTER] = context.get_context().get_current_heads()


def _print_sql(metadata: "MetaData") -> None:
    from alembic import context
    from sqlalchemy.schema import CreateSchema

    given = context.get_x_argument(as_dictionary=True).get("dialect", "postgresql")
    context.configure(dialect_name=given, literal_binds=True, **_options(metadata, given))
    with context.begin_transaction():
        if metadata.schema:
            context.execute(CreateSchema(metadata.schema, if_not_exists=True))
        context.run_migrations()


def _options(metadata: "MetaData", dialect: str) -> dict[str, Any]:
    from holdfast.migrate.rendering import render_item

    return {
        "target_metadata": metadata,
        "version_table_schema": metadata.schema,
        # Only the models' own: what stands in others would be taken for tables to drop.
        "include_schemas": _schemas(metadata) != {None},
        "render_item": render_item,
        "render_as_batch": dialect == "sqlite",
        # With the engine's BEGIN, SQLite takes DDL back too.
        "transactional_ddl": True,
        "process_revision_directives": _drop_empty,
    }


def _schemas(metadata: "MetaData") -> frozenset[str | None]:
    return frozenset({metadata.schema, *(table.schema for table in metadata.tables.values())})


def _read_partitions(connection: "Connection") -> Callable[[], frozenset[tuple[str | None, str]]]:
    """Give a function that reads once which tables are partitions, by schema and name."""
    from sqlalchemy import text

    @cache
    def read() -> frozenset[tuple[str | None, str]]:
        if connection.dialect.name != "postgresql":
            return frozenset()
        rows = connection.execute(text(_PARTITIONS)).all()
        default = connection.dialect.default_schema_name
        return frozenset((None if schema == default else schema, name) for schema, name in rows)

    return read


def _is_own(
    schemas: frozenset[str | None],
    partitions: Callable[[], frozenset[tuple[str | None, str]]],
    name: str | None,
    kind: str,
    parents: Mapping[str, str | None],
) -> bool:
    """Tell whether autogenerate compares something: partitions come and go as data does."""
    if kind == "schema":
        return name in schemas
    return kind != "table" or (parents["schema_name"], name) not in partitions()


def _drop_empty(_context: object, _revision: object, directives: list[Any]) -> None:
    from alembic import context

    command_line = context.config.cmd_opts
    asked = context.config.attributes if command_line is None else vars(command_line)
    if asked.get(AUTOGENERATE) and directives[0].upgrade_ops.is_empty():
        directives.clear()
