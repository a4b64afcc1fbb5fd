"""A primary and its standby, real servers that change roles."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from proofs.folders import open_folder
from sqlalchemy import make_url

from holdfast.services import PostgresPolicy, PostgresServer

STREAMS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
PROMOTED = "SELECT NOT pg_is_in_recovery()"
SETTINGS = {
    "wal_retrieve_retry_interval": "50ms",  # else a standby waits for 5 s
    "fsync": "off",  # no machine crashes here
}
WAITS = 20.0  # seconds, on a busy machine


@dataclass(slots=True)
class Node:
    """One of the two."""

    folder: Path
    server: PostgresServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = PostgresServer(self.folder, policy=PostgresPolicy(settings=SETTINGS))

    @property
    def data(self) -> Path:
        """Its data."""
        return self.folder / "postgres" / "data"

    @property
    def socket(self) -> Path:
        """Where it listens."""
        query = make_url(self.server.url("postgres")).query
        return Path(str(query["host"]), f".s.PGSQL.{query['port']}")

    async def ask(self, sql: str) -> object:
        """Ask it as a superuser."""
        connection = await asyncpg.connect(self.server.url("postgres", "app"))
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    async def do(self, sql: str) -> None:
        """Run statements as a superuser."""
        connection = await asyncpg.connect(self.server.url("postgres", "app"))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def until(self, sql: str) -> None:
        """Wait until the answer is true."""
        async with asyncio.timeout(WAITS):
            while True:
                if await self.ask(sql):
                    return
                await asyncio.sleep(0.01)

    async def follow(self, other: "Node") -> None:
        """Say whom it follows when it is a standby."""
        await self.do(f"ALTER SYSTEM SET primary_conninfo = '{conninfo(other)}'")


@dataclass(slots=True)
class Pair:
    """A primary that is followed by a standby; `demote()` and `promote()` exchange their roles."""

    primary: Node
    standby: Node

    async def demote(self) -> None:
        """Restart the primary as a standby; there is no primary now.

        It is stopped in good order, so that the other has all of it.
        """
        await self.primary.follow(self.standby)
        await self.primary.server.stop()
        await asyncio.to_thread(mark_as_standby, self.primary)
        await self.primary.server.start()

    async def promote(self) -> None:
        """Make the other one the primary."""
        await self.standby.do("SELECT pg_promote()")
        await self.standby.until(PROMOTED)
        self.primary, self.standby = self.standby, self.primary

    async def settle(self) -> None:
        """Wait until the standby follows the primary."""
        await self.primary.until(STREAMS)


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """Start both, the one streaming from the other."""
    with open_folder() as folder:
        made = Pair(primary=Node(folder / "one"), standby=Node(folder / "two"))
        try:
            await made.primary.server.start()
            await copy(made.primary, made.standby)
            yield made
        finally:
            await made.primary.server.stop()
            await made.standby.server.stop()


async def copy(primary: Node, standby: Node) -> None:
    """Make the standby's data from the primary's, and start it."""
    await standby.server.start()  # makes the folder
    await standby.server.stop()
    await asyncio.to_thread(replace_data, primary, standby)
    await standby.server.start()


def replace_data(primary: Node, standby: Node) -> None:
    """Take a base backup, as the one who runs the servers."""
    owner = standby.data.stat()
    shutil.rmtree(standby.data)
    program = primary.server.binary.with_name("pg_basebackup")
    source = ("-d", conninfo(primary), "-c", "fast", "-R", "--no-sync")
    command: list[str | Path] = [program, "-D", standby.data, *source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pg_basebackup failed: {done.stderr}")
    for path in (standby.data, *standby.data.rglob("*")):
        give(path, owner)


def mark_as_standby(node: Node) -> None:
    """Have it start as a standby."""
    signal = node.data / "standby.signal"
    signal.touch()
    give(signal, node.data.stat())


def give(path: Path, owner: os.stat_result) -> None:
    """Give a file to the one who runs the server, where that is somebody else."""
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def conninfo(node: Node) -> str:
    """Give libpq's words for a node."""
    return f"host={node.socket.parent} port={node.socket.suffix.removeprefix('.')} user=postgres"
