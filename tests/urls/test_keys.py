"""Each key of the query is translated, refused or reported, and never dropped in silence."""

from pathlib import Path

import psycopg
import pytest

from holdfast.errors import ConfigurationError
from holdfast.urls import Tls, parse, redact
from holdfast.urls.keys import KEYS

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "urls.md"
# The query of a URL; what asyncpg and psycopg are told. None: asyncpg is refused.
HONOURED = [
    ("connect_timeout=7", {"timeout": 7.0}, {"connect_timeout": 7}),
    ("connect_timeout=0", {}, {}),
    ("application_name=shop", {"server_settings": {"application_name": "shop"}},
     {"application_name": "shop"}),
    ("fallback_application_name=shop", {"server_settings": {"application_name": "shop"}},
     {"application_name": "shop"}),
    ("application_name=a&fallback_application_name=b",
     {"server_settings": {"application_name": "a"}}, {"application_name": "a"}),
    ("options=-c%20jit%3Doff%20-csearch_path%3Da,b",
     {"server_settings": {"jit": "off", "search_path": "a,b"}},
     {"options": "-c jit=off -c search_path=a,b"}),
    ("options=-c+jit%3Doff", {"server_settings": {"jit": "off"}}, {"options": "-c jit=off"}),
    ("options=--statement-timeout%3D5s", {"server_settings": {"statement_timeout": "5s"}},
     {"options": "-c statement_timeout=5s"}),
    ("options=-cDateStyle%3DISO,%5C%20DMY", {"server_settings": {"DateStyle": "ISO, DMY"}},
     {"options": r"-c DateStyle=ISO,\ DMY"}),
    ("options=endpoint%3Dep-a%20-cjit%3Doff",
     {"server_settings": {"options": "endpoint=ep-a", "jit": "off"}},
     {"options": "endpoint=ep-a -c jit=off"}),
    ("target_session_attrs=prefer-standby", {"target_session_attrs": "prefer-standby"},
     {"target_session_attrs": "prefer-standby"}),
    ("load_balance_hosts=disable", {}, {}),
    ("load_balance_hosts=random", {}, {"load_balance_hosts": "random"}),
    ("client_encoding=UTF8", {}, {}),
    ("passfile=/run/pass", {"passfile": "/run/pass"}, {"passfile": "/run/pass"}),
    ("krbsrvname=pg", {"krbsrvname": "pg"}, {"krbsrvname": "pg"}),
    ("gsslib=gssapi", {"gsslib": "gssapi"}, {"gsslib": "gssapi"}),
    ("pooler=none", {}, {}),
    ("supa=base-pooler.x", {}, {}),
    ("gssencmode=disable", {}, {"gssencmode": "disable"}),
    ("gssencmode=require", None, {"gssencmode": "require"}),
    ("gssdelegation=1", None, {"gssdelegation": "1"}),
    ("channel_binding=disable", {}, {"channel_binding": "disable"}),
    ("channel_binding=prefer", {}, {"channel_binding": "prefer"}),
    ("hostaddr=127.0.0.1", None, {"hostaddr": "127.0.0.1"}),
    ("require_auth=scram-sha-256", None, {"require_auth": "scram-sha-256"}),
    ("requirepeer=postgres", None, {"requirepeer": "postgres"}),
    ("service=shop", None, {"service": "shop"}),
    ("oauth_issuer=https://id", None, {"oauth_issuer": "https://id"}),
    ("oauth_client_id=shop", None, {"oauth_client_id": "shop"}),
    ("oauth_client_secret=Zq7", None, {"oauth_client_secret": "Zq7"}),
    ("oauth_scope=db", None, {"oauth_scope": "db"}),
    ("scram_client_key=Zq7", None, {"scram_client_key": "Zq7"}),
    ("scram_server_key=Zq7", None, {"scram_server_key": "Zq7"}),
    ("sslsni=1", {}, {"sslsni": "1"}),
    ("sslsni=0", None, {"sslsni": "0"}),
    ("sslcertmode=require", None, {"sslcertmode": "require"}),
    ("sslkeylogfile=/tmp/keys", None, {"sslkeylogfile": "/tmp/keys"}),
    ("min_protocol_version=3.0", {}, {"min_protocol_version": "3.0"}),
    ("min_protocol_version=3.2", None, {"min_protocol_version": "3.2"}),
]  # fmt: skip
REPORTED = [
    "keepalives=1",
    "keepalives_idle=30",
    "keepalives_interval=10",
    "keepalives_count=3",
    "tcp_user_timeout=1000",
    "sslcompression=1",
    "max_protocol_version=3.2",
]
TLS = [
    *((f"sslmode={mode}", Tls(mode=mode)) for mode in
      ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")),
    *((f"ssl={value}", Tls(mode="require")) for value in ("true", "on", "1", "yes", "require")),
    *((f"ssl={value}", Tls(mode="disable")) for value in ("false", "off", "0", "no", "disable")),
    ("ssl=verify-full", Tls(mode="verify-full")),
    ("sslmode=require&sslrootcert=/ca.pem", Tls(mode="require", root="/ca.pem")),
    ("sslrootcert=system", Tls(mode="verify-full", root="system")),
    ("sslmode=verify-full&sslrootcert=system", Tls(mode="verify-full", root="system")),
    ("sslmode=require&sslcert=/c.pem&sslkey=/k.pem&sslpassword=Zq7%2B",
     Tls(mode="require", certificate="/c.pem", key="/k.pem", password="Zq7+")),
    ("sslmode=require&sslcrl=/crl.pem&sslcrldir=/crls",
     Tls(mode="require", revoked="/crl.pem", revoked_folder="/crls")),
    ("sslmode=require&ssl_min_protocol_version=TLSv1.2&ssl_max_protocol_version=TLSv1.3",
     Tls(mode="require", minimum="TLSv1.2", maximum="TLSv1.3")),
    ("sslmode=require&sslnegotiation=direct", Tls(mode="require", direct=True)),
    ("sslmode=require&sslnegotiation=postgres", Tls(mode="require")),
]  # fmt: skip


@pytest.mark.parametrize(("query", "asyncpg", "psycopg"), HONOURED)
def test_a_key_reaches_the_drivers(query, asyncpg, psycopg):
    """Each driver is told in its own words; what asyncpg cannot do is refused by name."""
    assert parse(f"postgresql+psycopg://db/shop?{query}").driver_args() == psycopg
    if asyncpg is not None:
        assert parse(f"postgresql://db/shop?{query}").driver_args() == asyncpg
        return
    with pytest.raises(ConfigurationError) as caught:
        parse(f"postgresql://db/shop?{query}")

    assert query.partition("=")[0] in str(caught.value)
    assert "postgresql+psycopg" in str(caught.value)
    assert "Zq7" not in str(caught.value)


@pytest.mark.parametrize("query", REPORTED)
def test_what_asyncpg_does_without(query):
    """The connection is as good without it: it is reported, with the driver that does it."""
    key, _, value = query.partition("=")

    found = [each for each in parse(f"postgresql://db/shop?{query}").findings if each.what == query]

    assert len(found) == 1
    assert "not done by asyncpg" in found[0].why
    assert parse(f"postgresql://db/shop?{query}").driver_args() == {}
    assert parse(f"postgresql+psycopg://db/shop?{query}").driver_args() == {key: value}


def test_channel_binding_that_asyncpg_lacks():
    """With TLS it is reported, since Neon prints it everywhere; else it would be nothing at all."""
    url = parse("postgresql://db/shop?sslmode=require&channel_binding=require")

    assert url.findings[-1].what == "channel_binding=require"
    assert "sslmode=verify-full" in url.findings[-1].why
    assert url.driver_args() == {}
    for weak in ("", "&sslmode=prefer", "&sslmode=disable"):
        with pytest.raises(ConfigurationError, match="does not insist"):
            parse(f"postgresql://db/shop?channel_binding=require{weak}")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize(("query", "tls"), TLS)
def test_tls_keys(query, tls, driver):
    """All of libpq's keys for TLS, and the spellings of SQLAlchemy and asyncpg."""
    assert parse(f"postgresql+{driver}://db/shop?{query}").tls == tls


def test_random_hosts_on_asyncpg():
    """The driver dials in the order given, so the order is drawn before."""
    hosts = [f"h{number}" for number in range(20)]
    url = parse(f"postgresql://{','.join(hosts)}/shop?load_balance_hosts=random")

    drawn = [url.driver_args()["host"] for _ in range(5)]

    assert all(sorted(each) == sorted(hosts) for each in drawn)
    assert len({tuple(each) for each in drawn}) > 1


def test_the_url_counts_before_the_caller():
    """What the URL says stands; what it does not say is the caller's."""
    url = parse("postgresql://db/shop?options=-cjit%3Doff&connect_timeout=3")

    told = url.driver_args(settings={"jit": "on", "work_mem": "8MB"}, connect_timeout=9)

    assert told == {"timeout": 3.0, "server_settings": {"jit": "off", "work_mem": "8MB"}}
    assert parse("postgresql://db").driver_args(connect_timeout=9) == {"timeout": 9}
    assert parse("postgresql+psycopg://db").driver_args(connect_timeout=1.5) == {
        "connect_timeout": 2
    }


@pytest.mark.parametrize(
    ("query", "says"),
    [("sslmod=require", "sslmod in the query is not known for asyncpg; did you mean sslmode?"),
     ("SSLMODE=require", "did you mean sslmode?"),
     ("quux=1", "quux in the query is not known for asyncpg"),
     ("sslmode=verify", "sslmode is 'verify'; it takes disable, allow,"),
     ("sslmode=verify_full", "did you mean verify-full?"),
     ("sslmode=require&sslmode=prefer", "two places for the sslmode"),
     ("ssl=true&sslmode=require", "both ssl and sslmode"),
     ("sslmode=", "sslmode in the query is empty"),
     ("sslmode", "has no ="),
     ("connect_timeout=soon", "connect_timeout is 'soon'; it takes a whole number"),
     ("connect_timeout=-1", "connect_timeout is '-1'; it takes a number from 0"),
     ("connect_timeout=9999999", "it takes a number from 0 to 2147483"),
     ("connect_timeout=1.5", "it takes a whole number"),
     ("target_session_attrs=master", "target_session_attrs is 'master'"),
     ("channel_binding=yes", "channel_binding is 'yes'"),
     ("pooler=statement", "it takes transaction, session, none"),
     ("client_encoding=latin1", "client_encoding is 'latin1'"),
     ("sslmode=require&sslrootcert=system", "would take anybody's certificate"),
     ("sslnegotiation=direct", "sslnegotiation=direct needs sslmode=require"),
     ("ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", "is above"),
     ("ssl_min_protocol_version=1.3", "it takes TLSv1, TLSv1.1, TLSv1.2, TLSv1.3"),
     ("sslcert=/c.pem&sslkey=/k.pem", "sslcert with sslmode=prefer cannot be had with asyncpg"),
     ("options=-j%205", "options has '-j'"),
     ("options=jit%3Doff", "options has 'jit=off'; write -c before it"),
     ("options=-c", "options has '-c'"),
     ("host=@pg", "asyncpg knows no abstract sockets"),
     ("host=a,b&port=1,2,3", "3 ports for 2 hosts"),
     ("host=a&port=1,2", "2 ports for 1 host;"),
     ("host=a:1&port=2", "two places for the port"),
     ("port=x", "its port is no number"),
     ("port=5432%00", "its port is no number"),
     ("host=a%20b", "a character that none can have"),
     ("options=%FF", "not UTF-8"),
     ("schema=public", "schema is a key of other tools; write options=-csearch_path%3DNAME"),
     ("currentSchema=public", "write options=-csearch_path%3DNAME"),
     ("connection_limit=1", "PoolPolicy has the pool's size"),
     ("sslaccept=strict", "write sslmode=verify-full"),
     ("statement_cache_size=0", "write pooler=transaction"),
     ("prepared_statement_cache_size=0", "write pooler=transaction"),
     ("ApplicationName=shop", "write application_name=…"),
     ("replication=database", "SQLAlchemy speaks SQL only"),
     ("user=ann", "two places for the user"),
     ("dbname=shop", "two places for the dbname")],
)  # fmt: skip
def test_what_is_refused(query, says):
    """The error names key and value, and what to write instead, behind a password too."""
    host = "" if query.startswith(("host=", "port=")) else "bob:Zq7@db"
    with pytest.raises(ConfigurationError) as caught:
        parse(f"postgresql://{host}/shop?{query}")

    assert says in str(caught.value)
    assert "Zq7" not in str(caught.value)
    assert redact(str(caught.value)) == str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [("jdbc:postgresql://db/shop?user=ann&password=Zq7", "leave out jdbc:"),
     ("host=db dbname=shop password=Zq7 Zq8 Zq9=1", "a value with blanks stands in single quotes"),
     ("host=db dbname=shop password=Zq7 Zq8=1", "a key behind the password in the query"),
     ("host=db password='Zq7", "cannot be read as KEY=VALUE"),
     ("host=db dbname", "cannot be read as KEY=VALUE"),
     ("postgresql://db/shop?password=Zq7&Zq8=1", "a key behind the password in the query"),
     ("postgresql://db/shop?Zq7:Zq8=1", "a key that is no name in the query"),
     ("postgresql://db:1/shop?x=Zq7@b", "an @ behind the host"),
     ("postgresql:///ann:Zq7@db/shop", "an @ behind the host"),
     ("postgresql://ann:Zq7", "its port is no number"),
     ("postgresql://ann:Zq7:Zq8/shop", "a host is written as"),
     ("postgresql://[::1/shop", "a host is written as")],
)  # fmt: skip
def test_nothing_secret_is_in_an_error(text, says):
    """A piece of a password that was cut wrongly is not repeated, whatever it is taken for."""
    with pytest.raises(ConfigurationError) as caught:
        parse(text)

    assert says in str(caught.value)
    assert "Zq" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "password"),
    [("host=db user=ann password=secret", "secret"),
     (r"host = db  user=ann password='it\'s a \\ secret'", r"it's a \ secret"),
     (r"host=db user=ann password=a\ b\\c", r"a b\c"),
     ("host=db user=ann password=a@b://c", "a@b://c"),
     ("postgresql://db/shop?user=ann&password=se%26cr+et", "se&cr+et"),
     ("postgresql://ann:se/c?r#et@db/shop", "se/c?r#et"),
     ("postgresql://ann:%25zz%@db/shop", "%zz%"),
     ('"postgresql://ann:secret@db/shop"', "secret")],
)  # fmt: skip
def test_a_password_wherever_it_stands(text, password):
    """In the query, in libpq's keyword form, unencoded where that is clear."""
    url = parse(text)

    assert (url.engine.password, url.engine.username, url.engine.host) == (password, "ann", "db")
    assert url.engine.query == {}


def test_an_at_sign_in_the_query_without_user():
    """An abstract socket is libpq's; nothing before it can be a user."""
    url = parse("postgresql+psycopg:///shop?host=@pg")

    assert (url.place, url.hosts[0].is_socket) == ("@pg/shop", True)


def test_libpqs_service_says_where():
    """No host is known here, so that none stands in for it."""
    url = parse("postgresql+psycopg://?service=shop")

    assert (url.hosts, url.place) == ((), "service shop/")


def test_every_key_of_libpq_is_known():
    """What the libpq of this environment lists is taken, but for what is not for SQL."""
    listed = {each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()}

    assert listed - KEYS.keys() == {"replication"}


def test_the_guide_lists_every_key():
    """The table of keys has each that is known."""
    text = GUIDE.read_text()

    assert [key for key in KEYS if f"`{key}`" not in text] == []


def test_findings_about_tls():
    """Who checks whose server it is, is said; a socket has no TLS, and that is said too."""

    def said(rest: str) -> dict[str, str]:
        found = parse(f"postgresql+asyncpg://{rest}").findings
        return {each.what: each.why for each in found}

    assert "nobody checks" in said("db/shop")["sslmode=prefer"]
    assert "nobody checks" in said("db/shop?sslmode=require")["sslmode=require"]
    assert "verify-ca" in said("db/shop?sslmode=require&sslrootcert=/ca")["sslmode=require"]
    assert "system's" in said("db/shop?sslmode=verify-full")["sslmode=verify-full"]
    assert "nothing is refused" in said("db/shop?sslmode=prefer&sslrootcert=/ca")["sslrootcert"]
    assert "never has TLS" in said("/shop?host=/run/pg&sslmode=require")["sslmode=require"]
    assert "sslmode=require" in said("db/shop?ssl=true")["ssl=true"]
    assert said("/shop?host=/run/pg") == {}
    assert "refuses" in said("db:6432/s?options=-cjit%3Doff")["options: jit"]
