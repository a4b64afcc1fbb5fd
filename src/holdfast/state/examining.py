"""Find out at a start whether the servers can keep what a store promises."""

from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from holdfast.database import Database
from holdfast.errors import ConfigurationError, UnavailableError
from holdfast.state.owning import own
from holdfast.state.rows import explain
from holdfast.state.scripts import Client, explain_redis
from holdfast.state.table import StateTable
from holdfast.state.versions import COUNT_BITS, SEQUENCE

_SEQUENCE_BY_MIGRATION = f'op.execute("CREATE SEQUENCE IF NOT EXISTS {SEQUENCE}")'
_SERVER = text("SELECT system_identifier FROM pg_control_system()")
_NOT_TOLD = ("42", "0A")  # classes of SQLSTATEs: not allowed, or there is no such function
_JSON_OR_TEXT = ("json", "jsonb", "text")
_OF_KEYS = ("uuid", "smallint", "integer", "bigint", "text", "character varying")


async def examine(client: Client, engine: AsyncEngine, table: StateTable[Any]) -> None:
    """Look at Redis and table, and have the prefix belong to the table.

    Raises:
        ConfigurationError: it names everything that has to be changed.
        StoreUnavailableError: Redis or PostgreSQL could not be reached; other errors of the
            database pass through.
    """
    problems = [each async for each in _look_at_servers(client)]
    place, found = await _look_at_table(engine, table)
    if problems := [*problems, *found]:
        raise ConfigurationError(f"state store {table.prefix!r}: {'; '.join(problems)}")
    await own(client, table.prefix, place)


async def ask_servers(client: Client, *sections: str) -> Mapping[str, Mapping[str, Any]]:
    """Give what each server says of itself, by its place where there are several.

    Raises:
        StoreUnavailableError: one of them could not be reached.
    """
    told: dict[str, dict[str, Any]] = {}
    try:
        for section in sections:
            if isinstance(client, RedisCluster):
                answers = await client.info(section, target_nodes=RedisCluster.PRIMARIES)
            else:
                answers = {"": await client.info(section)}
            for place, answer in answers.items():
                told.setdefault(place, {}).update(answer)
    except (RedisError, OSError) as error:
        raise explain_redis(error, changes=False) from error
    return told


def where_of(place: str) -> str:
    """Name a server; there is no place where there is only one."""
    return f"Redis at {place}" if place else "Redis"


def find_eviction(told: Mapping[str, Any], where: str) -> tuple[str, str] | None:
    """Say that a server drops keys, and what to do about it; nothing where it drops none."""
    policy = told.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return None
    said = (
        f"{where} drops keys when its memory is full (maxmemory-policy {policy}), and with them "
        "states that are not yet in the database"
    )
    return said, "CONFIG SET maxmemory-policy noeviction"


def require_parts(db: object, client: object, table: object) -> None:
    """Look at what a store is made of, before it is used.

    Raises:
        ConfigurationError: one of them is something else; or the client sends commands again, or
            decodes answers.
    """
    problems = [*_look_at_client(client)]
    if not isinstance(db, Database):
        problems.append(f"the database is {_kind(db)}; it is a holdfast.database.Database")
    if not isinstance(table, StateTable):
        problems.append(f"the table is {_kind(table)}; StateTable(model=…, prefix=…) makes one")
    if problems:
        raise ConfigurationError(f"state store: {'; '.join(problems)}")


def _kind(given: object) -> str:
    """Say what was given by its type alone: as text it may hold a password."""
    if isinstance(given, type):
        return f"the class {given.__name__}"
    return f"of the type {type(given).__name__}"


def _look_at_client(client: object) -> Iterator[str]:
    if not isinstance(client, Redis | RedisCluster):
        yield f"the client is {_kind(client)}; holdfast.redis makes one"
        return
    if isinstance(client, RedisCluster):
        options = {**client.connection_kwargs, "retry": client.retry}
    else:
        options = client.connection_pool.connection_kwargs
    retry, once = options.get("retry"), ("retry_on_timeout", "retry_on_error")
    if (retry and retry.get_retries() > 0) or any(options.get(name) for name in once):
        yield (
            "the client sends commands again by itself, so that a save could be done twice; make "
            "it by holdfast.redis, or with retry=Retry(NoBackoff(), 0)"
        )
    if options.get("decode_responses"):
        yield "the client decodes answers; make it without decode_responses"


async def _look_at_servers(client: Client) -> AsyncIterator[str]:
    for place, told in (await ask_servers(client, "replication", "memory")).items():
        where = where_of(place)
        if not told.get("master_replid"):
            yield (
                f"{where} does not tell its replication id (INFO replication), by which a restart "
                "is noticed; let this user run INFO, and use no proxy that hides it"
            )
        if told.get("role") == "slave":
            yield f"{where} is a replica, which may be behind; connect to the master"
        if problem := find_eviction(told, where):
            yield ": ".join(problem)


async def _look_at_table(engine: AsyncEngine, table: StateTable[Any]) -> "tuple[str, list[str]]":
    """Give the table's place, and what is wrong with it."""
    if engine.dialect.name != "postgresql":
        return "", [f"the database is {engine.dialect.name}; a store's rows are in PostgreSQL"]
    statement = text(files("holdfast.state").joinpath("catalogue.sql").read_text())
    name = engine.dialect.identifier_preparer.format_table(table.table)
    columns = table.table.columns
    named = {
        "table": name,
        "key": table.key.name,
        "state": columns[table.state].name,
        "version": columns[table.version].name,
        "sequence": SEQUENCE,
    }
    try:
        async with engine.connect() as connection:
            found = (await connection.execute(statement, named)).one()._asdict()
            problems = [*_judge(name, table, found)]
            return f"{found['place']}{await _find_server(connection)}", problems
    except (DBAPIError, UnavailableError, OSError) as error:
        raise explain(error, changes=False) from error


async def _find_server(connection: AsyncConnection) -> str:
    """Name the cluster, which replicas and copies of it have as well, if this role may know it."""
    try:
        return f" of server {(await connection.execute(_SERVER)).scalar_one()}"
    except DBAPIError as error:
        if (getattr(error.orig, "sqlstate", None) or "")[:2] in _NOT_TOLD:
            return ""
        raise  # it is away: with half its name the table would be another one


def _judge(name: str, table: StateTable[Any], found: Mapping[str, Any]) -> Iterator[str]:
    if found["state_type"] is None and found["version_type"] is None:
        yield f"the database has no table {name}, or none of these columns; migrate it"
        return
    key_type = found["key_type"]
    if key_type not in _OF_KEYS or found["key_is_exact"] is False:
        kind = key_type if key_type not in _OF_KEYS else f"{key_type} of such a collation"
        yield (
            f"column {table.key.name} is {kind}, which may take different texts for one key; it "
            "has to be uuid, an integer, or text that is compared exactly"
        )
    if found["state_type"] not in _JSON_OR_TEXT:
        yield f"column {table.state} is {found['state_type']}; it has to be JSONB, JSON or text"
    if found["version_type"] != "bigint" or not found["version_required"]:
        yield f"column {table.version} has to be BIGINT NOT NULL: state_version() makes it"
    elif f"nextval('{SEQUENCE}'" not in (found["version_default"] or "").replace('"', ""):
        yield (
            f"column {table.version} has no default by which each new row gets an epoch of its "
            f"own: nextval('{SEQUENCE}') << {COUNT_BITS}"
        )
    if not found["has_sequence"]:
        yield f"there is no sequence {SEQUENCE}; make it by a migration: {_SEQUENCE_BY_MIGRATION}"
    elif found["cached"] != 1:
        yield f"sequence {SEQUENCE} gives numbers out of order: ALTER SEQUENCE {SEQUENCE} CACHE 1"
    elif not found["may_use"]:
        yield f"this role may not use it: GRANT USAGE ON SEQUENCE {SEQUENCE}"
    if not found["may_write"]:
        yield f"this role may not read and update {name}: GRANT SELECT, UPDATE"
