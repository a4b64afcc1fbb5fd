"""A PostgreSQL that speaks TLS, as those of providers do."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from proofs.contract import NotHereError
from proofs.folders import open_folder

from holdfast.errors import ServiceError
from holdfast.services import PostgresPolicy, PostgresServer

# Passwords by SCRAM, which channel binding needs; with TLS and without.
RULES = """
local   all all trust
host    all all all scram-sha-256
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encrypted:
    """A server whose certificate is for `localhost`, and not for 127.0.0.1.

    Attributes:
        server: asks for passwords.
        folder: has `authority.pem`, which vouches for its certificate and for clients'.
        authority: the same, to issue others; nobody else knows it.
    """

    server: PostgresServer
    folder: Path
    authority: trustme.CA


@asynccontextmanager
async def encrypted(rules: str = RULES) -> AsyncIterator[Encrypted]:
    """Start one.

    Args:
        rules: of pg_hba.conf.
    """
    authority = trustme.CA()
    with open_folder() as folder:
        async with PostgresServer(folder, policy=PostgresPolicy(listen="127.0.0.1")) as first:
            owner = first.log.stat()  # of whoever runs PostgreSQL, as its key's has to be
        (folder / "rules").write_text(rules)
        settings = certify(folder, authority, owner) | {"hba_file": str(folder / "rules")}
        policy = PostgresPolicy(listen="127.0.0.1", settings=settings)
        server = PostgresServer(folder, policy=policy)
        await start(server)
        try:
            yield Encrypted(server=server, folder=folder, authority=authority)
        finally:
            await server.stop()


def certify(folder: Path, authority: trustme.CA, owner: os.stat_result) -> dict[str, str]:
    """Write key and certificates, and give the settings that name them."""
    issued = authority.issue_cert("localhost")
    key, certificate = folder / "server.key", folder / "server.pem"
    issued.private_key_pem.write_to_path(str(key))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    key.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(key, owner.st_uid, owner.st_gid)
    return {
        "ssl": "on",
        "ssl_cert_file": str(certificate),
        "ssl_key_file": str(key),
        "ssl_ca_file": str(folder / "authority.pem"),
    }


async def start(server: PostgresServer) -> None:
    """Start it where it was built with TLS; the wheels' is not."""
    try:
        await server.start()
    except ServiceError as error:
        if "SSL is not supported" not in str(error):
            raise
        raise NotHereError(
            "the PostgreSQL that was found has no TLS: apt install postgresql"
        ) from error
