"""Real servers that speak TLS, ask for it, or have none."""

from collections.abc import AsyncIterator

import pytest_asyncio
import trustme
from proofs.encrypted import Encrypted, encrypted

from holdfast.services import PostgresPolicy, PostgresServer

RULES = """
local   all all      trust
hostssl all owner    all scram-sha-256
hostssl all readonly all cert
host    all app      all scram-sha-256
"""


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="encrypted")
async def encrypted_server() -> AsyncIterator[Encrypted]:
    """Give a server that speaks TLS.

    Role `app` may come with TLS and without, `owner` with TLS only, `readonly` with the certificate
    in `client.pem` and `client.key`; `other.pem` is an authority that has nothing to do with it.
    """
    async with encrypted(RULES) as made:
        client = made.authority.issue_cert(common_name="readonly")
        client.private_key_pem.write_to_path(str(made.folder / "client.key"))
        (made.folder / "client.key").chmod(0o600)
        client.cert_chain_pems[0].write_to_path(str(made.folder / "client.pem"))
        trustme.CA().cert_pem.write_to_path(str(made.folder / "other.pem"))
        yield made


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def plain() -> AsyncIterator[PostgresServer]:
    """Give a server without TLS that asks for passwords."""
    policy = PostgresPolicy(listen="127.0.0.1", settings={"ssl": "off"})
    async with PostgresServer(policy=policy) as server:
        yield server
