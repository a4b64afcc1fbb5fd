"""How a connection is encrypted, seen from its own side, on a real server with TLS."""

import pytest
from proofs.encrypted import Encrypted
from tests.database.conftest import DRIVERS, with_driver

from holdfast.database import Database, encryption
from holdfast.events import Check, Events


def url(encrypted: Encrypted, driver: str, query: str, host: str = "127.0.0.1") -> str:
    """Give the URL of the server's database by one of its names, with this query."""
    url = with_driver(encrypted.server.url(), driver).replace("127.0.0.1", host)
    return f"{url}?{query.format(root=encrypted.folder / 'authority.pem')}"


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the server for one of another machine."""
    monkeypatch.setattr(encryption, "is_here", lambda _socket: False)


async def tls(url: str) -> Check:
    db = Database(url, events=Events(lambda _: None))
    try:
        found = {each.name: each for each in await db.examine()}
    finally:
        await db.close()
    assert found["reached"].ok, found["reached"].said
    return found["tls"]


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("query", "host", "state", "said"),
    [("sslmode=disable", "127.0.0.1", "failed", "none: what is sent to 127.0.0.1:"),
     ("", "127.0.0.1", "failed", "sslmode=prefer goes on without TLS where that is refused"),
     ("sslmode=allow", "127.0.0.1", "failed", "none: what is sent"),
     ("sslmode=require", "127.0.0.1", "warning", "nobody checks whose server it is"),
     ("sslmode=require&sslrootcert={root}", "127.0.0.1", "ok", "but not for which host it is"),
     ("sslmode=verify-ca&sslrootcert={root}", "127.0.0.1", "ok", "but not for which host it is"),
     ("sslmode=verify-full&sslrootcert={root}", "localhost", "ok", "and that it is for this host")],
)  # fmt: skip
async def test_from_another_machine(encrypted, driver, *, query, host, state, said):
    """What is not encrypted is wrong; what is not verified too, unless TLS is insisted on."""
    check = await tls(url(encrypted, driver, query, host))

    assert check.state == state
    assert said in check.said
    assert ("TLSv1.3, TLS_AES" in check.said) == (not check.said.startswith("none"))
    assert (f"trusted: {encrypted.folder / 'authority.pem'}" in check.said) == (state == "ok")
    assert ("sslmode=verify-full" in check.advice) == (state != "ok")


@pytest.mark.usefixtures("far")
async def test_channel_binding(encrypted):
    """It proves that the server knows the password, which nobody in the middle does."""
    check = await tls(url(encrypted, "psycopg", "sslmode=require&channel_binding=require"))

    assert check.state == "ok"
    assert "channel binding proves" in check.said


@pytest.mark.parametrize("driver", DRIVERS)
async def test_on_this_machine(encrypted, driver):
    """Where nothing leaves the machine, nothing is wrong."""
    plain = await tls(url(encrypted, driver, "sslmode=disable"))
    preferred = await tls(url(encrypted, driver, "sslmode=prefer"))

    assert (plain.state, preferred.state) == ("ok", "ok")
    assert "is on this machine" in plain.said
    assert "TLSv1.3" in preferred.said
