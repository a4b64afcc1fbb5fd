"""What providers print works as it was pasted: a table of URLs as they look, with what is made."""

import tomllib
from pathlib import Path

import pytest
from sqlalchemy import make_url

from holdfast.urls import Host, Tls, parse

PRINTED = tomllib.loads(Path(__file__).with_name("printed.toml").read_text())["printed"]
NEON = "postgres://ann:secret@ep-a-pooler.x.neon.tech/db?sslmode=require&channel_binding=require"


@pytest.mark.parametrize("printed", PRINTED, ids=lambda printed: printed["place"])
def test_what_is_printed(printed):
    """Host, TLS, pooler, time limit and the way past the pooler are read from it."""
    url = parse(printed["url"])

    understood = {
        "url": printed["url"],
        "provider": url.provider,
        "place": url.place,
        "tls": url.tls.mode,
        "pooler": url.pooler,
        "connect_timeout": url.connect_timeout,
        "direct": url.direct.place if url.direct else None,
    }
    assert {key: value for key, value in understood.items() if value is not None} == printed
    assert not [each for each in url.findings if "sec" in str(each)]


@pytest.mark.parametrize("printed", PRINTED, ids=lambda printed: printed["place"])
def test_the_engine_takes_it(printed):
    """SQLAlchemy finds hosts and ports in it, and nothing that the driver does not know."""
    url = parse(printed["url"])

    told = url.engine.get_dialect()().create_connect_args(url.engine)[1]

    assert set(told) <= {"host", "port", "user", "password", "database"}
    assert url.driver_args().keys() <= {
        "timeout", "server_settings", "target_session_attrs",
        "statement_cache_size", "prepared_statement_cache_size",
    }  # fmt: skip


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_several_hosts_reach_the_driver(driver):
    """Sockets, addresses and names in one list, each with its port, in the order given."""
    url = parse(f"postgresql+{driver}://one:1,[::1]:2,%2Frun%2Fpg/shop")

    told = url.engine.get_dialect()().create_connect_args(url.engine)[1]

    hosts, ports = ["one", "::1", "/run/pg"], [1, 2, 5432]
    joined = (",".join(hosts), ",".join(map(str, ports)))
    assert (told["host"], told["port"]) == ((hosts, ports) if driver == "asyncpg" else joined)
    assert url.hosts == tuple(Host(host=h, port=p) for h, p in zip(hosts, ports, strict=True))


@pytest.mark.parametrize(
    ("query", "pooler"),
    [("pooler=session", "session"), ("pooler=none", None), ("pooler=transaction", "transaction"),
     ("pgbouncer=true", "transaction"), ("pgbouncer=false", None),
     ("pgbouncer=true&pooler=session", "session")],
)  # fmt: skip
@pytest.mark.parametrize("port", [5432, 6432])
def test_the_url_knows_better_than_its_port(port, query, pooler):
    """What it says about a pooler counts before what is guessed, and the reason is said."""
    url = parse(f"postgresql://db:{port}/shop?{query}")

    said = [each for each in url.findings if "pooler" in each.what]
    assert url.pooler == pooler
    assert url.takes_settings == (pooler is None)
    assert "in the URL" in said[0].why


@pytest.mark.parametrize(
    "host", ["host.docker.internal", "neon.tech.example", "fakeneon.tech", "db.internal", "dpg"]
)
def test_a_host_that_is_nobodys(host):
    """A name that only looks like a provider's is not taken for one."""
    assert parse(f"postgresql://{host}/shop").provider is None


def test_what_a_pooler_changes():
    """No named statements, and of the caller's settings only those that PgBouncer takes."""
    limits = {"application_name": "shop", "statement_timeout": "1000"}

    asyncpg = parse("postgresql://db:6432/shop").driver_args(settings=limits)
    psycopg = parse("postgresql+psycopg://db:6432/shop").driver_args(settings=limits)

    assert asyncpg == {
        "server_settings": {"application_name": "shop"},
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
    }
    assert psycopg == {"application_name": "shop", "prepare_threshold": None}


def test_a_session_pooler_keeps_prepared_statements():
    """They belong to a session, which it does not share."""
    url = parse("postgresql://db/shop?pooler=session")

    assert url.driver_args(settings={"jit": "off"}) == {}


def test_a_direct_url_is_given():
    """What a caller read from DIRECT_DATABASE_URL counts before what could be derived."""
    url = parse(NEON, direct="postgres://ann:secret@other/shop")

    assert url.direct is not None
    assert url.direct.place == "other:5432/shop"
    assert url.direct.pooler is None


def test_a_derived_direct_url_keeps_the_rest():
    """User, password, TLS and settings stay; prepared statements are used again."""
    url = parse("postgres://ann:secret@ep-a-pooler.x.neon.tech/db?sslmode=verify-full")
    direct = url.direct

    assert direct is not None
    assert direct.engine == url.engine.set(host="ep-a.x.neon.tech")
    assert (direct.tls, direct.pooler, direct.takes_settings) == (url.tls, None, True)
    assert (direct.provider, direct.connect_timeout) == ("Neon", 15)
    assert "statement_cache_size" not in direct.driver_args()


def test_what_was_parsed_is_taken_again():
    """A DatabaseUrl stays as it is; SQLAlchemy's URL is read like text, query included."""
    url = parse("postgres://ann:secret@db/shop?sslmode=require")
    made = make_url("postgresql+psycopg://ann:secret@db/shop?sslmode=require&host=")

    assert parse(url) is url
    assert len({url, parse("postgres://ann:secret@db/shop?sslmode=require")}) == 1
    assert parse(made).tls == Tls(mode="require")
    assert parse(made).engine.password == "secret"


def test_findings_are_sentences_for_people():
    """They say what was recognised and why, for the URL that Neon prints."""
    url = parse(NEON)

    assert [each.what for each in url.findings] == [
        "driver asyncpg",
        "Neon",
        "connect within 15 s",
        "transaction pooler",
        "sslmode=require",
        "channel_binding=require",
    ]
    assert "-pooler in the host's name" in url.findings[3].why
    assert "sslmode=verify-full" in url.findings[5].why
    assert "postgresql+psycopg" in str(url.findings[5])
