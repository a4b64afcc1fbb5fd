"""Start a server, print how to reach it as JSON, and wait; run by tests as a process of its own.

owner.py FOLDER [postgres|redis] [detach]; an empty FOLDER is a temporary one
"""

import asyncio
import concurrent.futures.thread  # noqa: F401  -- loaded late otherwise, when it may not be read
import contextlib
import json
import os
import pwd
import sys
from pathlib import Path

import asyncpg

from holdfast.services import PostgresServer, RedisServer


def become(name: str) -> None:
    """Go on as another user, with everything imported that only this one may read."""
    entry = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = "/nonexistent"


async def main(folder: Path | None, options: list[str]) -> None:
    server = RedisServer(folder) if "redis" in options else PostgresServer(folder)
    await server.start(detach="detach" in options)
    url = server.url()
    if "redis" not in options:
        connection = await asyncpg.connect(url)
        await connection.close()
    facts = {"pid": server.pid, "url": url, "attached": server.attached}
    print(json.dumps(facts), flush=True)
    if "detach" not in options:
        await asyncio.to_thread(sys.stdin.read)
        await server.stop()


if __name__ == "__main__":
    if user := os.environ.get("HOLDFAST_TEST_USER"):
        become(user)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(Path(sys.argv[1]) if sys.argv[1] else None, sys.argv[2:]))
