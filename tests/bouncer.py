"""A real PgBouncer in front of one database."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from holdfast.services.account import account_for

PORT = 6432  # by which a pooler is recognised


@asynccontextmanager
async def bouncer(
    database_url: str, *, mode: str = "transaction", port: int = PORT, more: str = ""
) -> AsyncIterator[str]:
    """Give the URL of the database `shop` behind it; it has two connections to the server.

    Args:
        database_url: of the database, by a unix socket.
        mode: of the pooler.
        port: names the socket; nobody else is in its folder.
        more: lines of its configuration.
    """
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("no PgBouncer is here: apt install pgbouncer")
    folder = prepare(database_url, mode, port, more)
    account = account_for(folder)
    identity = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    process = await asyncio.create_subprocess_exec(
        program, "-q", str(folder / "ini"), stderr=subprocess.DEVNULL, **identity
    )
    url = f"postgresql:///shop?host={folder}&port={port}"
    try:
        async with asyncio.timeout(20):
            while not (folder / f".s.PGSQL.{port}").is_socket():
                assert process.returncode is None, "PgBouncer did not start"
                await asyncio.sleep(0.01)
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        shutil.rmtree(folder)


def prepare(database_url: str, mode: str, port: int, more: str) -> Path:
    """Make a folder that PgBouncer's user can use, with its configuration."""
    folder = Path(tempfile.mkdtemp(prefix="hf-bouncer-")).resolve()
    folder.chmod(0o777)
    (folder / "ini").write_text(configuration(folder, database_url, mode, port, more))
    return folder


def configuration(folder: Path, database_url: str, mode: str, port: int, more: str) -> str:
    server = make_url(database_url)
    where = f"host={server.query['host']} port={server.query['port']}"
    return f"""
[databases]
shop = {where} dbname={server.database} user={server.username}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = any
pool_mode = {mode}
default_pool_size = 2
max_client_conn = 200
{more}
"""
