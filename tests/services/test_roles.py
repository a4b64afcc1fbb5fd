"""The roles can do what they are for, and nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from holdfast.services import PostgresServer

BY_OWNER = """
CREATE TABLE cards (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
INSERT INTO cards (name) VALUES ('first');
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql RETURN n * 2;
CREATE SCHEMA later;
CREATE TABLE later.decks (id serial PRIMARY KEY, name text);
CREATE TABLE later.secrets (id int, whose text);
ALTER TABLE later.secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON later.secrets USING (whose = current_setting('app.user', true));
INSERT INTO later.secrets VALUES (1, 'somebody');
"""


class Roles:
    """Runs statements as a role."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server

    async def run(self, role: str, sql: str, database: str | None = None) -> object:
        """Run one statement, and give the first value of its answer."""
        connection = await asyncpg.connect(self.server.url(role, database))
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    async def run_all(self, role: str, statements: list[str], database: str | None) -> None:
        """Run statements one after the other in one session."""
        connection = await asyncpg.connect(self.server.url(role, database))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture
async def roles(postgres_binary, project: Path) -> AsyncIterator[Roles]:
    async with PostgresServer(project) as server:
        yield Roles(server)


async def test_roles(roles: Roles) -> None:
    """On each version the roles can do their work, also in what is made later, and no more."""
    await roles.server.create_database("second")
    await roles.server.create_database("second")
    await roles.run("owner", "CREATE DATABASE third")
    for database in ("app", "second", "third"):
        await roles.run_all("owner", [BY_OWNER], database)
        await can_work(roles, database)
        await cannot_do_more(roles, database)
    await have_no_power(roles)
    assert await roles.run("owner", "DROP DATABASE third") is None


async def can_work(roles: Roles, database: str) -> None:
    for table in ("cards", "later.decks"):
        insert = f"INSERT INTO {table} (name) VALUES ('by app') RETURNING id"
        assert await roles.run("app", insert, database)
        await roles.run("app", f"UPDATE {table} SET name = 'new' WHERE id > 1", database)
        await roles.run("app", f"DELETE FROM {table} WHERE id > 2", database)
        assert await roles.run("readonly", f"SELECT count(*) FROM {table}", database)
    assert await roles.run("app", "SELECT twice(4)", database) == 8
    assert await roles.run("readonly", "SELECT last_value FROM later.decks_id_seq", database)


async def cannot_do_more(roles: Roles, database: str) -> None:
    for statement in (
        "CREATE TABLE mine (id int)",
        "CREATE TABLE later.mine (id int)",
        "CREATE SCHEMA mine",
        "ALTER TABLE cards ADD COLUMN x int",
        "TRUNCATE cards",
        "DROP TABLE cards",
        "ALTER TABLE later.secrets DISABLE ROW LEVEL SECURITY",
    ):
        for role in ("app", "readonly"):
            with pytest.raises(
                (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)
            ):
                await roles.run(role, statement, database)
    assert await roles.run("app", "SELECT count(*) FROM later.secrets", database) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await roles.run_all(
            "app", ["SET row_security = off", "SELECT id FROM later.secrets"], database
        )
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await roles.run("readonly", "INSERT INTO cards (name) VALUES ('x')", database)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await roles.run_all(
            "readonly", ["SET default_transaction_read_only = off", "DELETE FROM cards"], database
        )


async def have_no_power(roles: Roles) -> None:
    powers = "rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication"
    for role in ("owner", "app", "readonly"):
        question = f"SELECT {powers} FROM pg_roles WHERE rolname = current_user"
        assert await roles.run(role, question) is False
    for role in ("app", "readonly"):
        with pytest.raises(asyncpg.PostgresError):
            await roles.run(role, "CREATE DATABASE mine")
        with pytest.raises(asyncpg.PostgresError):
            await roles.run(role, "SET ROLE owner")


async def test_the_owner_ends_the_sessions_of_a_database_that_it_drops(roles: Roles) -> None:
    """A test's database goes although the application still has a connection to it."""
    await roles.server.create_database("dropped")
    connection = await asyncpg.connect(roles.server.url("app", "dropped"))

    await roles.run("owner", "DROP DATABASE dropped WITH (FORCE)")

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("SELECT 1")


@pytest.mark.parametrize("name", ['with "quotes"', "ünïcode", "UPPER", "a-b c/d?e&f#g%"])
async def test_any_name_is_a_database(project: Path, name: str) -> None:
    """A database may have any name that PostgreSQL takes, and its URL leads to it."""
    async with PostgresServer(project) as server:
        await server.create_database(name)
        assert await Roles(server).run("app", "SELECT current_database()", name) == name
