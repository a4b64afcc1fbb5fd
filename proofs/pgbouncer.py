"""A PgBouncer in transaction mode, in front of one database."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from proofs.contract import NotHereError
from proofs.folders import open_folder
from sqlalchemy import make_url

from holdfast.services import PostgresServer

PORT = 6432  # names the socket; nobody else is in its folder
SERVER_CONNECTIONS = 2
STARTS = 20.0  # seconds, on a busy machine


@asynccontextmanager
async def pgbouncer(server: PostgresServer, pasted: str) -> AsyncIterator[str]:
    """Give the URL of a database by way of a pooler; the database's own is `pasted`."""
    program = shutil.which("pgbouncer", path=f"/usr/sbin:/usr/local/sbin:{os.environ['PATH']}")
    if program is None:
        raise NotHereError("there is no PgBouncer: apt install pgbouncer, brew install pgbouncer")
    with open_folder() as folder:
        await asyncio.to_thread(prepare, folder, server, pasted)
        process = await start(program, folder, server)
        try:
            url = make_url(pasted)
            pooled = f"postgresql://{url.username}@/{url.database}?host={folder}&port={PORT}"
            await until_it_answers(pooled, process)
            yield pooled
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def prepare(folder: Path, server: PostgresServer, pasted: str) -> None:
    """Write the configuration, and let the one who runs PostgreSQL use the folder."""
    owner = server.log.stat()
    if os.geteuid() == 0:
        os.chown(folder, owner.st_uid, owner.st_gid)
    url, socket = make_url(pasted), make_url(server.url("postgres"))
    (folder / "ini").write_text(f"""
[databases]
{url.database} = host={socket.query["host"]} port={socket.query["port"]} user={url.username}
[pgbouncer]
listen_addr =
listen_port = {PORT}
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = {SERVER_CONNECTIONS}
max_client_conn = 200
""")


async def start(program: str, folder: Path, server: PostgresServer) -> asyncio.subprocess.Process:
    """Run it as the one who runs PostgreSQL: it refuses root."""
    owner = server.log.stat()
    if os.geteuid() != 0:
        return await asyncio.create_subprocess_exec(
            program, "-q", str(folder / "ini"), stderr=subprocess.DEVNULL
        )
    return await asyncio.create_subprocess_exec(
        program,
        "-q",
        str(folder / "ini"),
        stderr=subprocess.DEVNULL,
        user=owner.st_uid,
        group=owner.st_gid,
        extra_groups=[],
    )


async def until_it_answers(url: str, process: asyncio.subprocess.Process) -> None:
    """Wait until it passes a client on.

    Raises:
        RuntimeError: it has ended.
    """
    async with asyncio.timeout(STARTS):
        while True:
            if process.returncode is not None:
                raise RuntimeError("PgBouncer did not start")
            try:
                await (await asyncpg.connect(url, statement_cache_size=0)).close()
            except OSError:
                await asyncio.sleep(0.02)
            else:
                return
