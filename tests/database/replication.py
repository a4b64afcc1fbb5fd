"""A standby of a running PostgreSQL, by the server's own programs."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
from sqlalchemy import make_url

from holdfast.services import PostgresServer
from holdfast.services.account import account_for

SETTINGS = {"wal_level": "replica", "max_wal_senders": "4", "hot_standby": "on"}


class Standby:
    """Follows a primary; `promote()` makes it one."""

    def __init__(self, primary: PostgresServer) -> None:
        self._primary = primary
        self.folder = Path(tempfile.mkdtemp(prefix="hf-sb-")).resolve()
        self._account = account_for(self.folder)
        if self._account:
            shutil.chown(self.folder, self._account.uid, self._account.gid)

    async def start(self) -> None:
        """Copy the primary and follow it."""
        socket = socket_of(self._primary)
        copy = ["-h", socket, "-U", "postgres", "-D", str(self.folder / "data"), "-R", "-c", "fast"]
        await (await self._run("pg_basebackup", *copy)).wait()
        settings = {"unix_socket_directories": self.folder, "listen_addresses": "", **SETTINGS}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        self.process = await self._run("postgres", "-D", str(self.folder / "data"), *options)
        async with asyncio.timeout(20):
            while not await self.answers():
                pass

    async def stop(self) -> None:
        """End it and take its data away."""
        if self.process.returncode is None:
            self.process.send_signal(3)
        await self.process.wait()
        shutil.rmtree(self.folder)

    def url(self, role: str = "owner") -> str:
        """Give the URL of its database."""
        return f"postgresql://{role}@/app?host={quote(str(self.folder))}&port=5432"

    async def promote(self) -> None:
        """Make it a primary of its own."""
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute("SELECT pg_promote()")
        finally:
            await connection.close()

    async def answers(self) -> bool:
        """Tell whether it lets itself be used."""
        try:
            connection = await asyncpg.connect(self.url("postgres"))
        except (OSError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    async def _run(self, program: str, *arguments: str) -> asyncio.subprocess.Process:
        account = self._account
        identity: dict[str, Any] = (
            {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
        )
        path = self._primary.binary.with_name(program)
        return await asyncio.create_subprocess_exec(
            path, *arguments, stderr=asyncio.subprocess.DEVNULL, cwd="/", **identity
        )


def socket_of(server: PostgresServer) -> str:
    """Give the folder of a server's socket."""
    return str(make_url(server.url()).query["host"])
