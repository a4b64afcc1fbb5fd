"""A PostgreSQL that speaks TLS, as those of providers do."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from proofs.contract import NotHereError, Servers
from proofs.folders import open_folder

from holdfast.errors import ServiceError
from holdfast.services import PostgresPolicy, PostgresServer

# Passwords by SCRAM, which channel binding needs; with TLS and without.
RULES = """
local   all all trust
host    all all all scram-sha-256
"""


@asynccontextmanager
async def encrypted(servers: Servers) -> AsyncIterator[PostgresServer]:
    """Start one whose certificate is for `localhost`, of an authority that nobody knows."""
    with open_folder() as folder:
        settings = await asyncio.to_thread(prepare, folder, servers.postgres.log.stat())
        server = PostgresServer(policy=PostgresPolicy(listen="127.0.0.1", settings=settings))
        try:
            await server.start()
        except ServiceError as error:
            if "SSL is not supported" not in str(error):
                raise
            raise NotHereError(
                "the PostgreSQL that was found has no TLS: apt install postgresql"
            ) from error
        try:
            yield server
        finally:
            await server.stop()


def prepare(folder: Path, owner: os.stat_result) -> dict[str, str]:
    """Write key, certificate and rules, and give the settings that name them.

    Args:
        folder: for the files.
        owner: of a file of the one who runs PostgreSQL.
    """
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(folder / "key"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "certificate"))
    (folder / "rules").write_text(RULES)
    (folder / "key").chmod(0o600)
    if os.geteuid() == 0:
        os.chown(folder / "key", owner.st_uid, owner.st_gid)
    return {
        "ssl": "on",
        "ssl_cert_file": str(folder / "certificate"),
        "ssl_key_file": str(folder / "key"),
        "hba_file": str(folder / "rules"),
    }
