"""Row `transfer`: an SQLite file into PostgreSQL, every table compared with what it was.

The limit is what somebody would write by hand who needs none of that: sqlite3 reads, Python makes
of each value what PostgreSQL takes, asyncpg sends it with COPY, in one transaction.
"""

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
from benchmarks.measure import Contenders, CountGoal, RatioGoal, Row, Sample
from benchmarks.memory import PER_MEGABYTE, peak
from sqlalchemy import ForeignKey, MetaData, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from holdfast import migrate, transfer
from holdfast.database import Database
from holdfast.events import Events
from holdfast.models import Base as HoldfastBase
from holdfast.models import UTCDateTime, uuid7
from holdfast.services import PostgresServer

PIECE, PIECES = 10_000, 100  # messages, and how many times so many
LITTLE = 2_000
EACH = 100  # messages of a round
LENGTH = 200  # characters of a message
FILES = {
    "alembic.ini": "[alembic]\nscript_location = %(here)s/migrations\npath_separator = os\n",
    "migrations/env.py": (
        "from benchmarks.transferring import Base\nfrom holdfast import migrate\n"
        "migrate.run_env(Base.metadata)\n"
    ),
    "migrations/versions/001_messages.py": (
        "from alembic import op\nfrom benchmarks.transferring import Base\n"
        "revision, down_revision = '001', None\n"
        "def upgrade():\n    Base.metadata.create_all(op.get_bind())\n"
    ),
}
COLUMNS = ("id", "round_id", "content", "is_direct", "created_at")
QUIET = Events(lambda _: None)
SELECT = f"SELECT {', '.join(COLUMNS)} FROM messages"


class Base(HoldfastBase):
    """The benchmark's own tables."""

    __abstract__ = True
    metadata = MetaData()


class Round(Base):
    """What messages belong to."""

    __tablename__ = "rounds"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    number: Mapped[int]


class Message(Base):
    """A row with a UUID as text, a reference, 200 characters, a flag and a time."""

    __tablename__ = "messages"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    round_id: Mapped[str] = mapped_column(ForeignKey(Round.id), index=True)
    content: Mapped[str] = mapped_column(Text())
    is_direct: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UTCDateTime())


def messages(rounds: list[str], number: int) -> Iterator[tuple[object, ...]]:
    """Make rows as SQLAlchemy stores them in SQLite."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    for each in range(number):
        at = (began + timedelta(seconds=each, microseconds=each)).strftime("%Y-%m-%d %H:%M:%S.%f")
        content = f"{each} ".ljust(LENGTH, "x")
        yield str(uuid7()), rounds[each // EACH], content, each % 2, at


async def make(file: Path, config: Path, number: int) -> Path:
    """Make an SQLite file with so many messages, once."""
    if not await asyncio.to_thread(file.exists):
        await upgraded(f"sqlite:///{file}", config)
        rounds = [str(uuid7()) for _ in range(number // EACH + 1)]
        with closing(sqlite3.connect(file)) as connection, connection:
            numbered = ((each, place) for place, each in enumerate(rounds))
            connection.executemany("INSERT INTO rounds (id, number) VALUES (?, ?)", numbered)
            insert = f"INSERT INTO messages ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?)"
            connection.executemany(insert, messages(rounds, number))
    return file


async def upgraded(url: str, config: Path) -> None:
    """Bring a database to the newest revision."""
    async with Database(url, events=QUIET) as db:
        await migrate.upgrade(db, config)


def by_hand(rows: sqlite3.Cursor) -> Iterator[tuple[object, ...]]:
    """Make of each row what asyncpg takes."""
    read = datetime.fromisoformat
    for key, round_id, content, is_direct, at in rows:
        yield key, round_id, content, is_direct == 1, read(at + "+00:00")


async def copy_by_hand(file: Path, connection: asyncpg.Connection) -> None:
    """Copy the two tables."""
    with closing(sqlite3.connect(file)) as source:
        async with connection.transaction():
            rounds = source.execute("SELECT id, number FROM rounds")
            await connection.copy_records_to_table(
                "rounds", records=rounds, columns=("id", "number")
            )
            await connection.copy_records_to_table(
                "messages", records=by_hand(source.execute(SELECT)), columns=COLUMNS
            )


async def copy(file: Path | str, url: str, config: Path | str) -> None:
    """Copy by the library, as somebody's program does."""
    async with (
        Database(f"sqlite:///{file}", events=QUIET) as source,
        Database(url, events=QUIET) as target,
    ):
        await transfer.copy(source, target, config)


EMPTY = "TRUNCATE rounds, messages"


@asynccontextmanager
async def contenders(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """More work is more messages."""
    with TemporaryDirectory() as name:
        config = written(Path(name))
        async with PostgresServer() as server:
            url = server.url("owner")
            await upgraded(url, config)
            connection = await asyncpg.connect(url)

            async def source(work: int) -> Path:
                await connection.execute(EMPTY)
                return await make(Path(name) / f"{work}.db", config, PIECE * work)

            async def limit(work: int) -> Sample:
                file = await source(work)
                began = time.perf_counter()
                await copy_by_hand(file, connection)
                return Sample(seconds=time.perf_counter() - began)

            async def ours(work: int) -> Sample:
                file = await source(work)
                began = time.perf_counter()
                await copy(file, url, config)
                return Sample(seconds=time.perf_counter() - began, counts=counts)

            little = await make(Path(name) / "little.db", config, LITTLE)
            large = await source(1 if quick else PIECES)
            counts = {"MB over base": await megabytes(little, large, url, config)}
            yield Contenders(limit=("COPY by hand", limit), ours=("transfer.copy", ours))
            await connection.close()


def written(folder: Path) -> Path:
    """Write the project into a folder, and give its alembic.ini."""
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder / "alembic.ini"


async def megabytes(*arguments: Path | str) -> float:
    """Copy in a process of its own, and give by how many megabytes it grew."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.transferring", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("benchmarks.transferring failed")
    return float(output)


async def main(little: str, large: str, url: str, config: str) -> None:
    """Copy a small file, then a large one, and print the megabytes that the second took more."""
    connection = await asyncpg.connect(url)
    await copy(little, url, config)
    base = peak()
    await connection.execute(EMPTY)
    await copy(large, url, config)
    print(round((peak() - base) / PER_MEGABYTE, 1))
    await connection.close()


ROW = Row(
    name="transfer",
    what="1,000,000 messages from SQLite to PostgreSQL, read back and compared",
    goals=[RatioGoal(at_most=2), CountGoal(count="MB over base", at_most=20)],
    contenders=contenders,
    pieces=PIECES,
    repeats=5,
)

if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
