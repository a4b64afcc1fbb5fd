"""A real PgBouncer in transaction mode, in front of one database."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from holdfast.database import Database
from holdfast.services.account import account_for

PORT = 6432  # names the socket; nobody else is in its folder


@asynccontextmanager
async def bouncer(database_url: str) -> AsyncIterator[str]:
    """Give the URL of the database `shop` behind it; it has two connections to the server."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("no PgBouncer is here: apt install pgbouncer")
    folder = prepare(database_url)
    account = account_for(folder)
    identity = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    process = await asyncio.create_subprocess_exec(
        program, "-q", str(folder / "ini"), stderr=subprocess.DEVNULL, **identity
    )
    url = f"postgresql:///shop?host={folder}&port={PORT}"
    try:
        async with asyncio.timeout(20):
            await until_it_answers(url, process)
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        shutil.rmtree(folder)


def prepare(database_url: str) -> Path:
    """Make a folder that PgBouncer's user can use, with its configuration."""
    folder = Path(tempfile.mkdtemp(prefix="hf-bouncer-")).resolve()
    folder.chmod(0o777)
    (folder / "ini").write_text(configuration(folder, database_url))
    return folder


def configuration(folder: Path, database_url: str) -> str:
    server = make_url(database_url)
    socket, port = server.query["host"], server.query["port"]
    return f"""
[databases]
shop = host={socket} port={port} dbname={server.database} user={server.username}
[pgbouncer]
listen_addr =
listen_port = {PORT}
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
"""


async def until_it_answers(url: str, process: asyncio.subprocess.Process) -> None:
    while True:
        assert process.returncode is None, "PgBouncer did not start"
        try:
            async with Database(url):
                return
        except OSError:
            await asyncio.sleep(0.02)
