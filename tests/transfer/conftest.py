"""A project with the shop's tables, and two databases of any engines."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select, text

from holdfast import migrate, transfer
from holdfast.database import Database
from holdfast.events import Events

ENGINES = ("sqlite", "postgresql")
QUIET = Events(lambda _: None)
SHOP = "from tests.transfer.shop import Base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two databases, and the project whose they are."""

    source: str
    target: str
    folder: Path

    @property
    def config(self) -> Path:
        """The project's alembic.ini."""
        return self.folder / "alembic.ini"

    def write(self, models: str, up: str, revision: str = "001", down: str | None = None) -> None:
        """Write the project, or one more migration.

        Args:
            models: Python that makes `Base`.
            up: Python of the migration, several statements separated by semicolons.
            revision: of the migration.
            down: the one before.
        """
        files = {
            "alembic.ini": (
                "[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n"
            ),
            "migrations/env.py": (
                f"from holdfast import migrate\n{models}\nmigrate.run_env(Base.metadata)\n"
            ),
            f"migrations/versions/{revision}.py": (
                f"import sqlalchemy as sa\nfrom alembic import op\nrevision = {revision!r}\n"
                f"down_revision = {down!r}\ndef upgrade():\n    {up}\ndef downgrade():\n    pass\n"
            ),
        }
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Database, Database]]:
        """Open both."""
        async with (
            Database(self.source, events=QUIET) as source,
            Database(self.target, events=QUIET) as target,
        ):
            yield source, target

    async def migrate(self, *urls: str, revision: str = "head") -> None:
        """Bring databases to a revision."""
        for url in urls:
            async with Database(url, events=QUIET) as db:
                await migrate.upgrade(db, self.config, revision)

    async def copy(self, **options) -> transfer.Copied:
        """Copy one into the other."""
        async with self.opened() as (source, target):
            return await transfer.copy(source, target, self.config, **options)

    async def run(self, url: str, *statements: str) -> None:
        """Write into one of them by SQL."""
        async with Database(url, events=QUIET) as db, db.begin() as session:
            connection = await session.connection()
            for each in statements:
                await connection.exec_driver_sql(each)

    async def ask(self, url: str, sql: str) -> list[tuple]:
        """Read from one of them by SQL."""
        async with Database(url, events=QUIET) as db, db.read() as session:
            return [tuple(row) for row in await session.execute(text(sql))]

    async def rows(self, url: str, table) -> list[tuple]:
        """Read all rows as the models do, in an order that is the same everywhere."""
        async with Database(url, events=QUIET) as db, db.read() as session:
            return sorted(map(tuple, await session.execute(select(table))), key=repr)


@pytest.fixture
def other_url(request: pytest.FixtureRequest, make_clone) -> Iterator[str]:
    """Give a second empty PostgreSQL database."""
    with make_clone(request) as clone:
        yield clone.owner


@pytest.fixture
def make_pair(request: pytest.FixtureRequest, tmp_path: Path):
    """Give what makes a pair of empty databases, on engines by name, with the shop's project."""

    def make(source: str, target: str) -> Pair:
        urls = {
            ("source", "postgresql"): "database_url",
            ("target", "postgresql"): "other_url",
        }
        given = {
            side: request.getfixturevalue(urls[side, engine])
            if engine == "postgresql"
            else f"sqlite:///{tmp_path}/{side}.db"
            for side, engine in (("source", source), ("target", target))
        }
        pair = Pair(**given, folder=tmp_path / "project")
        pair.write(SHOP, "from tests.transfer import shop; shop.create(op.get_bind())")
        return pair

    return make


@pytest.fixture(params=[(one, other) for one in ENGINES for other in ENGINES], ids="-".join)
def pair(request: pytest.FixtureRequest, make_pair) -> Pair:
    """Give a pair, once on each two engines."""
    return make_pair(*request.param)


@pytest.fixture(params=ENGINES)
def to_any(request: pytest.FixtureRequest, make_pair) -> Pair:
    """Give a pair from SQLite, once to each engine."""
    return make_pair("sqlite", request.param)


@pytest.fixture
def upward(make_pair) -> Pair:
    """Give SQLite to PostgreSQL."""
    return make_pair("sqlite", "postgresql")


@pytest.fixture
def across(make_pair) -> Pair:
    """Give PostgreSQL to PostgreSQL."""
    return make_pair("postgresql", "postgresql")
