"""What an application's env.py does, in one call.

from holdfast import migrate
from shop.models import Base
migrate.run_env(Base.metadata)
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, text
from sqlalchemy.exc import DBAPIError

from holdfast.database import Database
from holdfast.errors import MigrationError
from holdfast.migrate.policy import MigrationPolicy
from holdfast.migrate.rendering import render_item
from holdfast.migrate.target import find_url
from holdfast.settings import find_project

# Keys of Alembic's `config.attributes`, through which a caller and env.py talk.
CONNECTION = "connection"
POLICY = "holdfast.policy"
BEFORE = "holdfast.before"
AFTER = "holdfast.after"
AUTOGENERATE = "autogenerate"
# Any number does that other programs on the database do not use: "holdfast" in letters, cut.
_LOCK_KEY = 0x686F6C64666173
_LOCK_NOT_AVAILABLE = "55P03"


def run_env(metadata: MetaData) -> None:
    """Run the migrations that Alembic asks for, however it was called.

    Under `holdfast.migrate` on the connection given there; under the plain `alembic` command on
    a connection of its own, to `-x url=…`, `sqlalchemy.url` of the alembic.ini,
    `DATABASE_OWNER_URL`, `DATABASE_URL` or the project's running servers, the first there is.
    With `--sql` it prints the statements and needs no database.

    Raises:
        ConfigurationError: no URL was found.
        MigrationError: another process migrates for longer than the policy allows to wait.
    """
    from alembic import context  # noqa: PLC0415  -- only Alembic calls this

    connection = context.config.attributes.get(CONNECTION)
    if context.is_offline_mode():
        _print_sql(metadata)
    elif connection is not None:
        _migrate(connection, metadata)
    else:
        _connect_and_migrate(metadata)


def _connect_and_migrate(metadata: MetaData) -> None:
    from alembic import context  # noqa: PLC0415

    asked = context.get_x_argument(as_dictionary=True).get("url")
    given = asked or context.config.get_main_option("sqlalchemy.url")
    project = find_project(Path(context.config.config_file_name or "").parent)

    async def migrate() -> None:
        url = await find_url(given, project)
        async with Database(url) as db, db.engine.connect() as connection:
            await connection.run_sync(_migrate, metadata)

    # A thread, since Alembic's functions may have been called where a loop already runs.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, migrate()).result()


def _migrate(connection: Connection, metadata: MetaData) -> None:
    from alembic import context  # noqa: PLC0415

    policy = context.config.attributes.get(POLICY) or MigrationPolicy()
    context.configure(connection=connection, **_options(metadata, connection.dialect.name))
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            _wait_for_others(connection, policy)
        context.config.attributes[BEFORE] = context.get_context().get_current_heads()
        context.run_migrations()
        context.config.attributes[AFTER] = context.get_context().get_current_heads()


def _print_sql(metadata: MetaData) -> None:
    from alembic import context  # noqa: PLC0415

    given = context.get_x_argument(as_dictionary=True).get("dialect", "postgresql")
    context.configure(dialect_name=given, literal_binds=True, **_options(metadata, given))
    with context.begin_transaction():
        context.run_migrations()


def _options(metadata: MetaData, dialect: str) -> dict[str, Any]:
    return {
        "target_metadata": metadata,
        "version_table_schema": metadata.schema,
        "include_schemas": metadata.schema is not None,
        "render_item": render_item,
        "render_as_batch": dialect == "sqlite",
        # With the engine's BEGIN, SQLite takes DDL back too.
        "transactional_ddl": True,
        "process_revision_directives": _drop_empty,
    }


def _drop_empty(_context: object, _revision: object, directives: list[Any]) -> None:
    from alembic import context  # noqa: PLC0415

    command_line = context.config.cmd_opts
    asked = context.config.attributes if command_line is None else vars(command_line)
    if asked.get(AUTOGENERATE) and directives[0].upgrade_ops.is_empty():
        directives.clear()


def _wait_for_others(connection: Connection, policy: MigrationPolicy) -> None:
    """Take the lock of this database's migrations, until the transaction ends."""
    _limit(connection, lock=policy.wait_timeout, statement=0)
    try:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise MigrationError(
            f"another process has been migrating this database for {policy.wait_timeout:g} s; "
            "look for it in pg_stat_activity, or allow more with MigrationPolicy.wait_timeout"
        ) from error
    _limit(connection, lock=policy.lock_timeout, statement=policy.statement_timeout)


def _limit(connection: Connection, *, lock: float, statement: float) -> None:
    connection.execute(
        text(
            "SELECT set_config('lock_timeout', :lock, true),"
            " set_config('statement_timeout', :statement, true)"
        ),
        {"lock": str(round(lock * 1000)), "statement": str(round(statement * 1000))},
    )
