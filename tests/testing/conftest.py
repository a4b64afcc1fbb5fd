"""A project with a migration, and pytest run on tests that are written into it."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import asyncpg
import pytest

from holdfast.services import PostgresServer, remove
from holdfast.testing import Clone

FILES = {
    "pyproject.toml": '[project]\nname = "shop"\n[tool.holdfast]\n',
    "alembic.ini": "[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n",
    "migrations/env.py": (
        "from holdfast import migrate\nfrom sqlalchemy import MetaData\n"
        "migrate.run_env(MetaData())\n"
    ),
    "migrations/versions/001_shop.py": (
        "import sqlalchemy as sa\nfrom alembic import op\n\n"
        'revision = "001"\ndown_revision = None\n\n\n'
        "def upgrade():\n"
        '    op.create_table("items", sa.Column("id", sa.Integer, primary_key=True,\n'
        "        autoincrement=False))\n"
        '    op.create_table("parts", sa.Column("id", sa.Integer, primary_key=True,\n'
        '        autoincrement=False), sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id",\n'
        '        deferrable=True, initially="DEFERRED")))\n\n\n'
        'def downgrade():\n    op.drop_table("parts")\n    op.drop_table("items")\n'
    ),
}
OPTIONS = (
    *("-q", "-p", "no:cacheprovider"),
    # Of all that is installed here, only what a run needs: it takes seconds to load the others.
    *("-p", "holdfast.testing.plugin", "-p", "pytest_asyncio.plugin", "-p", "xdist.plugin"),
    # pytest-asyncio's own advice would be an error before any test.
    *("-W", "error", "-W", "ignore:The configuration option"),
)
# Of the run that these tests are part of. Where CI is set, pytest repeats whole messages.
GIVEN = frozenset((
    *("TEST_DATABASE_URL", "TEST_REDIS_URL", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER"),
    *("CI", "BUILD_NUMBER"),
))  # fmt: skip
# What tests of the shop do, again and again.
HEAD = """
import asyncio, os
import pytest
from sqlalchemy import text

async def add(db, number=1):
    async with db.begin() as session:
        await session.execute(text(f"INSERT INTO items VALUES ({number})"))

async def count(db):
    async with db.read() as session:
        return await session.scalar(text("SELECT count(*) FROM items"))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a run of pytest ended: tests by outcome, and what it printed."""

    code: int
    output: str

    def __getattr__(self, outcome: str) -> int:
        found = re.search(rf"(\d+) {outcome.removesuffix('s')}", self.output.splitlines()[-1])
        return int(found[1]) if found else 0


class Suite:
    """Tests in a folder of their own, run by a pytest of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if name not in GIVEN}
        self.environ = kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        for name, content in FILES.items():
            self.write(name, content)

    def write(self, name: str, content: str) -> Path:
        """Write a file of the project."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def tests(self, code: str, name: str = "test_shop.py") -> None:
        """Write tests, below the functions that all of them use."""
        self.write(name, HEAD + dedent(code))

    def start(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        """Start pytest in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *OPTIONS, *arguments],
            cwd=self.folder,
            env=self.environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **environ: str) -> Ran:
        """Run pytest to its end."""
        with self.start(*arguments, **environ) as started:
            output, _ = started.communicate()
        return Ran(code=started.returncode, output=output)

    def running(self) -> list[str]:
        """List the processes that run in the folder, or with their sockets in it."""
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True
        )
        return [line for line in listed.stdout.splitlines() if str(self.folder) in line]

    def databases(self) -> list[str]:
        """List the databases of tests that a later run would find, apart from templates."""

        async def look() -> list[str]:
            async with PostgresServer(self.folder / ".holdfast/testing") as server:
                connection = await asyncpg.connect(server.url("owner"))
                found = await connection.fetch("SELECT datname FROM pg_database")
                await connection.close()
                return [name for (name,) in found if name.startswith("holdfast_test_")]

        return asyncio.run(look())


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    """Give a project whose tests are still to be written."""
    yield Suite(tmp_path)
    asyncio.run(remove(tmp_path / ".holdfast/testing"))  # it may be elsewhere, behind a link


@pytest.fixture
def given(clone: Clone, redis_url: str) -> dict[str, str]:
    """Give the servers of this run, for runs of pytest that are not about servers of their own."""
    return {"TEST_DATABASE_URL": clone.owner, "TEST_REDIS_URL": redis_url}
