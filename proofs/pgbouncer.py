"""A PgBouncer in front of one database."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from proofs.contract import NotHereError
from proofs.folders import open_folder
from sqlalchemy import make_url

PORT = 6432  # names the socket, where nobody else is, and is one by which a pooler is recognised
SERVER_CONNECTIONS = 2
STARTS = 20.0  # seconds, on a busy machine


@asynccontextmanager
async def pgbouncer(
    url: str, *, mode: str = "transaction", port: int = PORT, more: str = ""
) -> AsyncIterator[str]:
    """Give the URL of a database by way of a pooler.

    Args:
        url: of the database, by its server's unix socket.
        mode: of the pooler.
        port: of its socket.
        more: lines of its configuration.
    """
    program = shutil.which("pgbouncer", path=f"/usr/sbin:/usr/local/sbin:{os.environ['PATH']}")
    if program is None:
        raise NotHereError("there is no PgBouncer: apt install pgbouncer, brew install pgbouncer")
    with open_folder() as folder:
        identity = hand_over(folder, url)
        (folder / "ini").write_text(configuration(folder, url, mode, port) + more)
        process = await asyncio.create_subprocess_exec(
            program, "-q", str(folder / "ini"), stderr=subprocess.DEVNULL, **identity
        )
        try:
            pooled = make_url(url).set(query={"host": str(folder), "port": str(port)})
            await until_it_answers(pooled.render_as_string(), process)
            yield pooled.render_as_string()
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def hand_over(folder: Path, url: str) -> dict[str, Any]:
    """Let the one who runs PostgreSQL use the folder, and say how to run as them.

    PgBouncer refuses root.
    """
    if os.geteuid() != 0:
        return {}
    server = make_url(url).query
    owner = Path(str(server["host"]), f".s.PGSQL.{server['port']}").stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}


def configuration(folder: Path, url: str, mode: str, port: int) -> str:
    """Write what it serves, and how."""
    database = make_url(url)
    server = f"host={database.query['host']} port={database.query['port']}"
    return f"""
[databases]
{database.database} = {server} user={database.username}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
pool_mode = {mode}
default_pool_size = {SERVER_CONNECTIONS}
max_client_conn = 200
"""


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
