"""Real servers that speak TLS, ask for it, or have none."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from tests.certified import certify

from holdfast.services import PostgresPolicy, PostgresServer

# The wheels' PostgreSQL is built without TLS.
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
RULES = """
local   all all      trust
hostssl all owner    all scram-sha-256
hostssl all readonly all cert
host    all app      all scram-sha-256
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encrypted:
    """A server whose certificate is for `localhost`, and not for 127.0.0.1.

    Attributes:
        server: role `app` may come with TLS and without, `owner` with TLS only, `readonly` with a
            certificate only.
        folder: has `right.pem` and `other.pem`, authorities of which the first is the server's,
            `client.pem` and `client.key`.
        authority: the server's own.
    """

    server: PostgresServer
    folder: Path
    authority: trustme.CA


@pytest.fixture(scope="session")
def encrypted() -> Iterator[Encrypted]:
    """Give a server that speaks TLS."""
    if not PROGRAMS:
        pytest.skip("PostgreSQL of the wheels has no TLS: apt install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="hf-tls-")).resolve()
    folder.chmod(0o755)
    authority = trustme.CA()
    settings = prepare(folder, authority)
    policy = PostgresPolicy(listen="127.0.0.1", settings=settings)
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setenv("HOLDFAST_POSTGRES_BIN", str(PROGRAMS[-1]))
        server = PostgresServer(policy=policy)
        runner.run(server.start())
        yield Encrypted(server=server, folder=folder, authority=authority)
        runner.run(server.stop())
    shutil.rmtree(folder)


def prepare(folder: Path, authority: trustme.CA) -> dict[str, str]:
    """Write certificates and rules, and give the settings that name them."""
    client = authority.issue_cert(common_name="readonly")
    authority.cert_pem.write_to_path(str(folder / "right.pem"))
    trustme.CA().cert_pem.write_to_path(str(folder / "other.pem"))
    client.private_key_pem.write_to_path(str(folder / "client.key"))
    (folder / "client.key").chmod(0o600)
    client.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
    (folder / "rules").write_text(RULES)
    return certify(folder, authority) | {
        "ssl_ca_file": str(folder / "right.pem"),
        "hba_file": str(folder / "rules"),
    }


@pytest.fixture(scope="session")
def plain() -> Iterator[PostgresServer]:
    """Give a server without TLS that asks for passwords."""
    server = PostgresServer(policy=PostgresPolicy(listen="127.0.0.1", settings={"ssl": "off"}))
    with asyncio.Runner() as runner:
        runner.run(server.start())
        yield server
        runner.run(server.stop())
