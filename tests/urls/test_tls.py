"""TLS as libpq's documentation says, with the same verdict from both drivers, on real servers."""

import datetime as dt
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from holdfast.database import Database
from holdfast.errors import ConfigurationError, UnavailableError
from holdfast.testing.faults import TlsFront
from holdfast.urls import parse

with_drivers = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
USED = "SELECT coalesce(version, 'plain') FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# What becomes of a connection, by mode in the order above: . plain, T with TLS, - refused.
VERDICTS = {
    "trusted": ". . T T T T",
    "unknown authority": ". . T - - -",
    "another host's": ". . T T T -",
    "nothing to check by": ". . T T - -",
    "the system's authorities": ". . T T - T",
    "trusted, TLS only": "- T T T T T",
    "unknown authority, TLS only": "- T T - - -",
    "no TLS": ". . . - - -",
}
CASES = [
    (situation, mode, verdict)
    for situation, verdicts in VERDICTS.items()
    for mode, verdict in zip(MODES, verdicts.split(), strict=True)
]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """Give an empty home folder, and no variable of libpq's."""
    for name in ("PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCRL", "PGSSLCRLDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


async def used(url: str, driver: str) -> str:
    """Connect as people do without Holdfast's `Database`; give the version of TLS, or `plain`."""
    made = parse(url.replace("postgresql://", f"postgresql+{driver}://", 1))
    engine = create_async_engine(
        made.engine, connect_args=made.connect_args(connect_timeout=10), poolclass=NullPool
    )
    async with engine.connect() as connection:
        return str(await connection.scalar(text(USED)))


async def verdict(url: str, driver: str) -> str:
    try:
        return "." if await used(url, driver) == "plain" else "T"
    except (OSError, DBAPIError, ConfigurationError):
        return "-"


def address(server, role: str = "app", host: str = "localhost", **query: object) -> str:
    url = make_url(server.url(role)).set(host=host, query={k: str(v) for k, v in query.items()})
    return url.render_as_string(hide_password=False)


@with_drivers
@pytest.mark.parametrize(("situation", "mode", "expected"), CASES)
async def test_a_mode(encrypted, plain, monkeypatch, *, driver, situation, mode, expected):
    """Each of libpq's modes connects, with TLS or without, or refuses, as it is documented."""
    trust = {"sslrootcert": encrypted.folder / "authority.pem"}
    server = plain if situation == "no TLS" else encrypted.server
    role = "owner" if "TLS only" in situation else "app"
    host = "127.0.0.1" if situation == "another host's" else "localhost"
    if situation.startswith("unknown"):
        trust = {"sslrootcert": encrypted.folder / "other.pem"}
    elif situation in {"nothing to check by", "the system's authorities"}:
        name = "other.pem" if situation.startswith("nothing") else "authority.pem"
        monkeypatch.setenv("SSL_CERT_FILE", str(encrypted.folder / name))
        trust = {}

    assert await verdict(address(server, role, host, sslmode=mode, **trust), driver) == expected


@with_drivers
@pytest.mark.parametrize(("role", "expected"), [("app", "T"), ("owner", "T")])
async def test_a_url_that_says_nothing(encrypted, driver, role, expected):
    """TLS is used where the server has it."""
    assert await verdict(address(encrypted.server, role), driver) == expected


@with_drivers
async def test_authorities_where_libpq_looks(encrypted, home, driver, monkeypatch):
    """The home folder and the variable count as they do for libpq, require included."""
    (home / ".postgresql").mkdir()
    file = home / ".postgresql" / "root.crt"

    for name, expected in (("authority.pem", "T"), ("other.pem", "-")):
        file.write_bytes((encrypted.folder / name).read_bytes())
        for mode in ("require", "verify-ca", "verify-full"):
            assert await verdict(address(encrypted.server, sslmode=mode), driver) == expected
    monkeypatch.setenv("PGSSLROOTCERT", str(encrypted.folder / "authority.pem"))
    assert await verdict(address(encrypted.server, sslmode="verify-full"), driver) == "T"


@with_drivers
async def test_the_systems_authorities_by_name(encrypted, driver, monkeypatch):
    """They are found by psycopg, too, whose wheel looks for them in its builder's folder."""
    url = address(encrypted.server, sslrootcert="system")

    for name, expected in (("authority.pem", "T"), ("other.pem", "-")):
        file = str(encrypted.folder / name)
        monkeypatch.setenv("SSL_CERT_FILE", file)
        assert await verdict(url, driver) == expected
        # By name: OpenSSL's own folder is another one in the wheel.
        assert parse(url).tls.for_libpq() == {"sslmode": "verify-full", "sslrootcert": file}


@with_drivers
async def test_a_clients_certificate(encrypted, driver, tmp_path):
    """The server lets in who has it, also where its key is encrypted; and nobody without."""
    folder = encrypted.folder
    key = serialization.load_pem_private_key((folder / "client.key").read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.touch(mode=0o600)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"sesame"),
        )
    )
    url = address(encrypted.server, "readonly", sslmode="require")
    shown = f"{url}&sslcert={folder / 'client.pem'}"

    assert await verdict(url, driver) == "-"
    assert await verdict(f"{shown}&sslkey={folder / 'client.key'}", driver) == "T"
    assert await verdict(f"{shown}&sslkey={locked}&sslpassword=sesame", driver) == "T"
    assert await verdict(f"{shown}&sslkey={locked}&sslpassword=wrong", driver) == "-"


@with_drivers
async def test_a_certificate_that_was_taken_back(encrypted, driver, tmp_path):
    """A list of such certificates is looked at."""
    authority = encrypted.authority
    server = x509.load_pem_x509_certificate((encrypted.folder / "server.pem").read_bytes())
    for number, expected in ((1, "T"), (server.serial_number, "-")):
        file = tmp_path / "revoked.pem"
        file.write_bytes(revocation(authority, number))
        url = address(
            encrypted.server,
            sslmode="verify-full",
            sslrootcert=encrypted.folder / "authority.pem",
            sslcrl=file,
        )
        assert await verdict(url, driver) == expected


def revocation(authority, number: int) -> bytes:
    now = dt.datetime.now(dt.UTC)
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    revoked = x509.RevokedCertificateBuilder(number, now)
    listed = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - dt.timedelta(days=1))
        .next_update(now + dt.timedelta(days=1))
        .add_revoked_certificate(revoked.build())
    )
    key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    return listed.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@with_drivers
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
async def test_versions(encrypted, driver, version):
    """The lowest and the highest version are kept to."""
    url = address(
        encrypted.server,
        sslmode="require",
        ssl_min_protocol_version=version,
        ssl_max_protocol_version=version,
    )

    assert await used(url, driver) == version


@pytest.mark.parametrize("mode", ["require", "disable"])
async def test_channel_binding_on_psycopg(encrypted, mode):
    """It binds the password to the server's certificate; without TLS there is nothing to bind."""
    url = address(encrypted.server, sslmode=mode, channel_binding="require")

    assert await verdict(url, "psycopg") == ("T" if mode == "require" else "-")
    assert await verdict(url, "asyncpg") == ("T" if mode == "require" else "-")


@pytest.mark.parametrize(
    ("driver", "query", "expected"),
    [
        ("psycopg", "sslmode=require", "."),  # of its own connection the server says: plain
        ("psycopg", "sslmode=require&channel_binding=require", "-"),
        ("asyncpg", "sslmode=require", "."),
        ("asyncpg", "sslmode=verify-full&sslrootcert={}&channel_binding=require", "-"),
    ],
)
async def test_somebody_in_the_middle(encrypted, driver, query, expected):
    """Channel binding finds who ends TLS on the way; on asyncpg what is advised instead does."""
    trust = encrypted.folder / "right.pem"
    with TlsFront(encrypted.server.url("app")) as middle:
        assert await verdict(f"{middle.url}?{query.format(trust)}", driver) == expected
        assert (middle.connections > 0) == ("verify-full" not in query)


@with_drivers
async def test_a_database_uses_it(encrypted, driver):
    """What `Database` opens is checked in the same way; a missing file is said by its name."""
    url = address(encrypted.server, sslmode="verify-full").replace("ql:", f"ql+{driver}:", 1)

    trusting = Database(f"{url}&sslrootcert={encrypted.folder / 'authority.pem'}")
    async with trusting as db, db.read() as session:
        assert str(await session.scalar(text(USED))).startswith("TLS")
    with pytest.raises(ConfigurationError, match=r"sslrootcert names /nowhere/ca\.pem"):
        await Database(f"{url}&sslrootcert=/nowhere/ca.pem").open()


@with_drivers
@pytest.mark.parametrize(
    ("host", "authority", "says"),
    [
        (
            "localhost",
            "other.pem",
            "give sslrootcert=/path/to/ca.pem with the authority that signed it (",
        ),
        ("127.0.0.1", "authority.pem", "certificate is for another host: use the name that"),
    ],
)
async def test_why_a_certificate_was_refused(encrypted, *, driver, host, authority, says):
    """The cause and what to do about it, in one sentence, the same on both drivers."""
    file = encrypted.folder / authority
    url = address(encrypted.server, host=host, sslmode="verify-full", sslrootcert=file)

    with pytest.raises(UnavailableError) as caught:
        await Database(url.replace("ql:", f"ql+{driver}:", 1)).open()

    assert says in str(caught.value)


@with_drivers
async def test_a_server_that_has_no_tls(plain, driver):
    """What insists on it is named, as what to do is."""
    url = address(plain, sslmode="require").replace("ql:", f"ql+{driver}:", 1)

    with pytest.raises(UnavailableError, match="the server offers no TLS, and the URL asks for it"):
        await Database(url).open()


@with_drivers
def test_nothing_is_read_before_a_connection(driver):
    """Neither `parse` nor `driver_args` looks whether files are there."""
    url = parse(
        f"postgresql+{driver}://db/shop?sslmode=verify-full&sslrootcert=/nowhere/ca"
        "&sslcert=/nowhere/c&sslkey=/nowhere/k&sslcrl=/nowhere/crl"
    )

    assert url.driver_args() == {}
    with pytest.raises(ConfigurationError, match="sslrootcert names /nowhere/ca"):
        url.connect_args()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("sslrootcert={}/text.pem", "sslrootcert names .*/text.pem, which cannot be used"),
        ("sslrootcert={}/ca&sslcrl={}/no", "sslcrl names .*/no, which is not there"),
        ("sslrootcert={}/ca&sslcert={}/no&sslkey={}/no", "sslcert names .*/no, which is not there"),
        ("sslrootcert={}/ca&sslcert={}/ca", "sslkey names .*postgresql.key, which is not there"),
        ("sslrootcert={}/ca&sslcert={}/ca&sslkey={}/text.pem", "and key .* cannot be used"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, query, says):
    """The key and the file are named, with OpenSSL's word for what is wrong with it."""
    (tmp_path / "text.pem").write_text("no certificate")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca"))
    said = query.replace("{}", str(tmp_path))

    with pytest.raises(ConfigurationError, match=says):
        parse(f"postgresql://db/shop?sslmode=verify-full&{said}").connect_args()


def test_verify_ca_needs_an_authority():
    """The system's would let anybody in who has a certificate for any name."""
    with pytest.raises(ConfigurationError, match="write sslrootcert=FILE, or sslmode=verify-full"):
        parse("postgresql://db/shop?sslmode=verify-ca").connect_args()


def test_direct_tls():
    """Each driver is told in its own words that TLS begins at once."""
    query = "sslmode=require&sslnegotiation=direct"

    assert parse(f"postgresql://db?{query}").connect_args()["direct_tls"] is True
    assert parse(f"postgresql+psycopg://db?{query}").connect_args() == {
        "sslmode": "require",
        "sslnegotiation": "direct",
    }
