"""The engine for a URL, with what each driver must be told and made to do."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from holdfast.database.connecting import explain_connecting
from holdfast.database.dialling import Dialler, Password
from holdfast.database.failing import watch_errors
from holdfast.database.guarding import READS_ONLY, guard_statements
from holdfast.database.hiding import hide_values
from holdfast.database.policy import DatabasePolicy
from holdfast.database.refusing import refuse_values
from holdfast.database.sessions import SQLITE_BEGIN, TRANSACTION
from holdfast.database.versions import confirm_deletes
from holdfast.errors import ConfigurationError, MissingExtraError
from holdfast.events import Events
from holdfast.pool import Background, ElasticPool, TurnTakingPool
from holdfast.urls import DatabaseUrl

# What to install for each driver.
_EXTRAS: Mapping[str, str] = {"asyncpg": "", "psycopg": "[psycopg]", "aiosqlite": "[sqlite]"}

# Execution option of a view: what sets each of its connections up.
_SET_UP = "holdfast_set_up"


def make_engine(
    url: DatabaseUrl,
    policy: DatabasePolicy,
    *,
    password: Password | None,
    events: Events,
    leaving: Background,
) -> AsyncEngine:
    """Build the engine; nothing is opened yet.

    Args:
        url: of the database.
        policy: its limits.
        password: asked before each connection; None takes the URL's.
        events: told what happens on its connections.
        leaving: holds the pool's tasks.

    Raises:
        ConfigurationError: SQLAlchemy or the driver does not take the URL's query.
        MissingExtraError: the driver is not installed.
    """
    driver = url.engine.get_driver_name()
    try:
        module = _module(driver)
        told = module.options(url, policy)
        if url.backend == "postgresql":
            told["async_creator_fn"] = _dialler(module, url, policy, password, leaving)
        pooled = {
            "facts": events,
            "leaving": leaving,
            "policy": module.pool_policy(url, policy.pool),
            # A pooler's connection has no session of its own that could be made as new.
            "renew": None if url.pooler else getattr(module, "renew", None),
        }
        engine = create_async_engine(
            url.engine,
            poolclass=TurnTakingPool if url.backend == "sqlite" else ElasticPool,
            connect_args=told,
            hide_parameters=not policy.show_bound_values_in_errors,
            **_documents(url.backend),
            **pooled,
        )
    except (ArgumentError, ValueError) as error:
        raise ConfigurationError(
            "database URL: its query cannot be used; look at hosts, ports and values there"
        ) from error
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the driver {driver} is not installed: pip install 'holdfast{_EXTRAS[driver]}'"
        ) from error
    module.behave(engine.sync_engine)
    _give_back_what_fails(engine)
    explain_connecting(engine.sync_engine, url, within=within(url, policy))
    refuse_values(engine.sync_engine)
    if not policy.show_bound_values_in_errors:
        hide_values(engine.sync_engine)  # first: who raises another error ends the round
    watch_errors(engine.sync_engine, is_lost=module.is_lost, place=url.place, events=events)
    guard_statements(engine.sync_engine, module.is_busy)
    confirm_deletes(engine.sync_engine)
    return engine


def _documents(backend: str) -> Mapping[str, Any]:
    from holdfast.database import documents  # noqa: PLC0415  -- nothing that an import waits for

    dumps = documents.dumps if backend == "sqlite" else documents.dumps_compactly
    return {"json_serializer": dumps, "json_deserializer": documents.loads}


def owned(engine: AsyncEngine) -> AsyncEngine:
    """Give a view of the engine, on the same pool, for transactions that Holdfast ends."""
    return engine.execution_options(**{TRANSACTION: _module(engine.dialect.driver).transaction})


def reading(engine: AsyncEngine) -> AsyncEngine:
    """Give a view of the engine, on the same pool, whose sessions send no BEGIN and COMMIT."""
    if engine.dialect.name == "sqlite":
        options = {READS_ONLY: True, SQLITE_BEGIN: None}
        reader: AsyncEngine = _module(engine.dialect.driver).reader(engine, **options)
        return reader
    return _view(engine, _autocommit)


def snapshot(engine: AsyncEngine) -> AsyncEngine:
    """Give a view of the engine whose transactions are READ ONLY and see one moment."""
    if engine.dialect.name == "sqlite":
        options = {READS_ONLY: True, SQLITE_BEGIN: "BEGIN"}
        reader: AsyncEngine = _module(engine.dialect.driver).reader(engine, **options)
        return reader
    return _view(engine, _see_one_moment)


def _view(engine: AsyncEngine, how: Callable[[Connection], object]) -> AsyncEngine:
    """Give a view that refuses to write, and has each of its connections set up."""
    return AsyncEngine(_View(engine.sync_engine, {READS_ONLY: True, _SET_UP: how}))


class _View(OptionEngine):
    # Not by options alone: for an isolation level SQLAlchemy listens to an event of the engine, and
    # with one each connection joins all kinds of them to its own.

    def connect(self) -> Connection:
        connection = super().connect()
        _set_up(connection, self.get_execution_options()[_SET_UP])
        return connection


_View._option_cls = _View  # noqa: SLF001  -- a view of it, with more options, is one, too


def _autocommit(connection: Connection) -> None:
    """Do what `execution_options(isolation_level="AUTOCOMMIT")` does, without asking what is known.

    It is a tenth of what a small read costs there.
    """
    proxied: Any = connection.connection
    connection.dialect.set_isolation_level(proxied.dbapi_connection, "AUTOCOMMIT")
    proxied._connection_record.finalize_callback.append(  # noqa: SLF001  -- SQLAlchemy's way back
        connection.dialect.reset_isolation_level
    )


def _see_one_moment(connection: Connection) -> None:
    connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _give_back_what_fails(engine: AsyncEngine) -> None:
    """Look at what SQLAlchemy itself sets up, for the options of a session or connection."""
    dialect: Any = engine.dialect
    set_up = dialect._set_connection_characteristics  # noqa: SLF001  -- there is no event around it

    def setting_up(connection: Connection, characteristics: Mapping[str, Any]) -> None:
        _set_up(connection, partial(set_up, characteristics=characteristics))

    dialect._set_connection_characteristics = setting_up  # noqa: SLF001


def _set_up(connection: Connection, how: Callable[[Connection], object]) -> None:
    """Set a connection up; one with which that fails is closed, not left to the collector.

    With psycopg it is a round of the loop, so a task may be cancelled there.
    """
    try:
        how(connection)
    except BaseException as error:
        if not connection.closed:  # what is set up in several steps may have been by one of them
            connection.invalidate(error)
            connection.close()
        raise


def _module(driver: str) -> ModuleType:
    # Imported when needed: each imports its driver.
    return import_module(f"holdfast.database.{'sqlite' if driver == 'aiosqlite' else driver}")


def _dialler(
    module: Any,
    url: DatabaseUrl,
    policy: DatabasePolicy,
    password: Password | None,
    leaving: Background,
) -> Dialler:
    limits = {} if url.takes_settings else policy.limits()
    return Dialler(
        module,
        url,
        within=within(url, policy),
        password=password,
        begins_with="".join(f"; SET LOCAL {key} = {value}" for key, value in limits.items()),
        leaving=leaving,
    )


def within(url: DatabaseUrl, policy: DatabasePolicy) -> float:
    """Give the seconds that a connection may take to be made."""
    return url.connect_timeout or policy.connect_timeout
