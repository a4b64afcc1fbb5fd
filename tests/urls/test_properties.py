"""Whatever a user, a password, a name or a value holds: it arrives, and no secret comes out."""

import string
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from sqlalchemy.engine import URL

from holdfast.errors import ConfigurationError
from holdfast.urls import parse, redact, render
from holdfast.urls.keys import KEYS
from holdfast.urls.options import read_options, write_options
from holdfast.urls.pasted import SECRETS as SECRET_KEYS

CHARACTERS = st.characters(blacklist_categories=["Cs"])
ANYTHING = st.text(CHARACTERS, min_size=1, max_size=20)
# Long enough that it cannot stand in a message by chance, with every kind of character inside.
SECRETS = st.text(CHARACTERS, max_size=20).map("Zq7{}Xk9".format)
LABELS = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=12)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
FOLDERS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters=",\0")).map(
    "/{}".format
)
PORTS = st.none() | st.integers(1, 65535)
HOSTS = st.lists(st.tuples(NAMES | st.ip_addresses().map(str) | FOLDERS, PORTS), max_size=4)
SCHEMES = st.sampled_from(["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg"])
POOLED = st.sampled_from([("ep-a-pooler.x.neon.tech", None), ("db", 6432), ("db", 5432)]).map(
    lambda host: [host]
)
DRIVERS = st.sampled_from(["asyncpg", "psycopg"])
ACCOUNTS = st.sampled_from(["", "ann@", "ann:s%40cret@", ":s%40cret@"])
SETTINGS = st.dictionaries(
    st.sampled_from(["application_name", "search_path", "shop.tenant"]), st.text(CHARACTERS)
)
# Elsewhere than in the query, or in another test.
PLACES = {"dbname", "host", "password", "port", "user"}
# What needs a mode that insists on TLS; and versions that do not cross.
STRICT = {
    "sslmode": ["require", "verify-ca", "verify-full"],
    "ssl_min_protocol_version": ["TLSv1", "TLSv1.1", "TLSv1.2"],
    "ssl_max_protocol_version": ["TLSv1.2", "TLSv1.3"],
}
NEED_TLS = {*STRICT, "channel_binding", "sslcert", "sslnegotiation"}
# What is not handed on by its own name: translated, or nothing to libpq.
TRANSLATED = {
    "client_encoding", "fallback_application_name", "options", "pgbouncer", "pooler", "ssl", "supa",
}  # fmt: skip

# What libpq does where it is told nothing.
UNTOLD = {"connect_timeout": "0", "load_balance_hosts": "disable", "sslnegotiation": "postgres"}


def encoded(text: str) -> str:
    return quote(text, safe="")


def spec(host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host and not host.startswith("/") else encoded(host)
    return shown if port is None else f"{shown}:{port}"


def values_of(key: str, driver: str) -> st.SearchStrategy[str]:
    """Give values that the key takes, and that the driver can honour or do without."""
    each = KEYS[key]
    if driver == "asyncpg" and each.lacks and each.then == "refuse":
        return st.sampled_from(each.fine) if each.fine else st.nothing()
    if key == "options":
        return st.builds(write_options, SETTINGS, st.none() | st.just("endpoint=ep-a")).filter(bool)
    if each.takes == "whole":
        return st.integers(0, 2_147_483).map(str)
    return ANYTHING if each.takes == "text" else st.sampled_from(STRICT.get(key, each.takes))


@st.composite
def queries(draw, driver: str) -> dict[str, str]:
    """Draw keys with values that go together; about every other one insists on TLS."""
    mode = draw(st.sampled_from(["sslmode", "ssl", None]))
    apart = PLACES | {"ssl", "sslmode"} | (set() if mode == "sslmode" else NEED_TLS)
    values = {key: values_of(key, driver) for key in KEYS.keys() - apart}
    optional = {key: each for key, each in sorted(values.items()) if not each.is_empty}
    drawn = draw(st.fixed_dictionaries({}, optional=optional))
    # In SQLAlchemy's order, which is that of the sentences about them.
    tls = {mode: draw(values_of(mode, driver))} if mode else {}
    return dict(sorted((drawn | tls).items()))


WITH_KEYS = DRIVERS.flatmap(lambda driver: st.tuples(st.just(driver), queries(driver)))


def query(keys: dict[str, str]) -> str:
    return "&".join(f"{key}={encoded(value)}" for key, value in keys.items())


def same(url):
    """Give a URL without the sentences about how it was written."""
    return replace(url, findings=(), direct=url.direct and replace(url.direct, findings=()))


def everything(url) -> str:
    """Give every text form of a URL and of what it holds, except what is made for the driver."""
    parts = [url, url.engine, url.tls, url.findings, url.settings, url.hosts, [url], {"url": url}]
    shown = [f"{form(part)}" for part in parts for form in (str, repr)]
    return "\n".join(
        [
            *shown,
            url.place,
            *map(str, url.findings),
            *([everything(url.direct)] if url.direct else []),
        ]
    )


@given(SCHEMES, ANYTHING, SECRETS, HOSTS, ANYTHING)
def test_a_url_round_trips(scheme, user, password, hosts, name):
    """What is encoded arrives as it was, and SQLAlchemy's text of it is read as the same."""
    address = ",".join(spec(*host) for host in hosts)
    url = parse(f"{scheme}://{encoded(user)}:{encoded(password)}@{address}/{encoded(name)}")

    # SQLAlchemy writes a blank as it is, and at the end it is the console's; `render` encodes it.
    assume(not name.endswith(" "))
    again = parse(url.engine.render_as_string(hide_password=False))

    engine = url.engine
    assert (engine.username, engine.password, engine.database) == (user, password, name)
    assert [(each.host, each.port) for each in url.hosts] == [(h, p or 5432) for h, p in hosts]
    assert (again.engine, again.hosts) == (url.engine, url.hosts)
    assert parse(url.engine).hosts == url.hosts


@example(("asyncpg", {"connect_timeout": "0"}), "", [("ep-a.x.neon.tech", None)], "shop")
@example(("asyncpg", {}), "ann@", [("db", None)], "shop ")
@given(WITH_KEYS, ACCOUNTS, HOSTS | POOLED, st.just("") | ANYTHING)
def test_a_url_is_written_as_it_was_read(drawn, account, hosts, name):
    """With every key, with several hosts or none, and with a name that ends in a blank."""
    driver, keys = drawn
    address = ",".join(spec(*host) for host in hosts)
    url = parse(f"postgresql+{driver}://{account}{address}/{encoded(name)}?{query(keys)}")

    assert same(parse(render(url))) == same(url)


@given(WITH_KEYS, SECRETS, ANYTHING)
def test_keys_in_a_url_of_sqlalchemy(drawn, password, name):
    """As an object and as its text, it says the same as the URL that was pasted."""
    driver, keys = drawn
    url = parse(f"postgresql+{driver}://ann:{encoded(password)}@db/{encoded(name)}?{query(keys)}")
    theirs = URL.create(f"postgresql+{driver}", "ann", password, "db", database=name, query=keys)

    assert parse(theirs) == url
    # A secret with a +, which SQLAlchemy writes for a blank, is one with a + to whoever pasted it.
    assume(not [key for key in SECRET_KEYS & set(keys) if " " in keys[key]])
    assume(keys or not name.endswith(" "))
    assert parse(theirs.render_as_string(hide_password=False)) == url


@given(queries("psycopg"))
def test_no_key_is_lost(keys):
    """Whatever libpq knows it is told as it was written, however many there are of it."""
    url = parse(f"postgresql+psycopg://db/shop?{query(keys)}")
    asked = {key: value for key, value in keys.items() if key not in TRANSLATED}
    told = {**url.driver_args(), **url.tls.keys()}

    assert {key: str(told.get(key, UNTOLD.get(key))) for key in asked} == asked


@given(ANYTHING, SECRETS, HOSTS, ANYTHING)
def test_the_keyword_form_says_the_same(user, password, hosts, name):
    """Libpq's keywords, quoted as it wants them, give the same as a URL."""

    def quoted(text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    said = {
        "user": user,
        "password": password,
        "host": ",".join(host for host, _ in hosts),
        "port": ",".join(str(port or 5432) for _, port in hosts),
        "dbname": name,
    }
    # To libpq a bracket or a port within a keyword's host is part of the name; here it is read.
    url = parse(" ".join(f"{key}={quoted(value)}" for key, value in said.items()))

    assert (url.engine.username, url.engine.password) == (user, password)
    assert url.engine.database == name
    assert [(each.host, each.port) for each in url.hosts] == [(h, p or 5432) for h, p in hosts]


@given(SCHEMES, SECRETS, SECRETS)
def test_no_secret_is_in_any_text_form(scheme, password, phrase):
    """Neither of the password in the query nor of the key's phrase is anything shown."""
    url = parse(
        f"{scheme}://ann@ep-a-pooler.x.neon.tech/shop?sslmode=require&sslkey=/k&sslcert=/c"
        f"&password={encoded(password)}&sslpassword={encoded(phrase)}"
    )

    assert (url.engine.password, url.tls.password) == (password, phrase)
    assert not [part for part in ("Zq7", "Xk9") if part in everything(url)]


@given(
    st.sampled_from(
        [
            "postgresql://ann:{}@db/shop?sslmode=verify",
            "postgresql://ann:{}@db:70000/shop",
            "postgresql://ann:{}@db/shop",
            "postgresql://db/shop?password={}&sslmode=verify",
            "postgresql://db/shop?sslpassword={}&quux=1",
            "postgresql+asyncpg://db/shop?scram_client_key={}",
            "postgresql://db/shop?oauth_client_secret={}",
            "host=db password={} dbname=shop",
            "host=db password='{}' quux=1",
            "psql 'postgresql://ann:{}@db/shop'",
            "jdbc:postgresql://db/shop?user=ann&password={}",
            "mysql://ann:{}@db/shop",
            "redis://:{}@db/0",
            "postgresql:/ann:{}@db/shop",
            "postgresql:///ann:{}@db/shop",
            "DATABASE_URL=postgres://ann:{}@db/shop",
        ]
    ),
    SECRETS,
)
def test_a_secret_pasted_as_it_is_never_comes_out(text, secret):
    """Unencoded it is read or refused; either way no piece of it is in text or message."""
    # As a value, what looks like another key is one: `password=a user=b` has a user.
    assume("=" not in secret or ("={}" not in text and "='{}" not in text))
    try:
        said = everything(parse(text.format(secret)))
    except ConfigurationError as error:
        said = f"{error}{error!r}{error.__cause__!r}"

    assert not [part for part in ("Zq7", "Xk9") if part in said]


def refusal(text: str) -> str | None:
    try:
        parse(text).driver_args()
    except ConfigurationError as error:
        return str(error)
    return None


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    """There is no other error than the one with a sentence."""
    assert refusal(text) is None or refusal(text).startswith("database URL: ")


@given(st.text(max_size=60))
def test_any_query_is_read_or_refused(text):
    """The same for what stands in the query, and for the options within it."""
    for url in (f"postgresql://db/shop?{text}", f"postgresql://db/shop?options={encoded(text)}x"):
        assert refusal(url) is None or refusal(url).startswith("database URL: ")


@given(st.dictionaries(LABELS.map(lambda name: f"a{name}".replace("-", "_")), ANYTHING))
def test_options_round_trip(settings):
    """What libpq is told says the same as what asyncpg is told."""
    assert read_options(write_options(settings, "endpoint=ep-a")) == (settings, "endpoint=ep-a")


@given(SECRETS, st.sampled_from(["password", "sslpassword", "PASSWORD"]))
def test_redact_knows_the_keyword_form(secret, key):
    """A quoted value goes whole, its neighbours stay."""
    assume(not set(secret) & set("'\\"))

    hidden = redact(f"cannot use host=db {key} = '{secret}' dbname=shop: refused")

    assert hidden == f"cannot use host=db {key} = *** dbname=shop: refused"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("password=se&cr=et dbname=shop", "password=*** dbname=shop"),
        (r"password='se\'cr et' dbname=shop", "password=*** dbname=shop"),
        (r"password=se\ cret dbname=shop", "password=*** dbname=shop"),
        ("password='never closed", "password=***"),
        ("the password was refused", "the password was refused"),
        ("password_policy=strong", "password_policy=strong"),
    ],
)
def test_redact_ends_where_the_value_ends(text, hidden):
    """It takes libpq's own rules for quotes and backslashes."""
    assert redact(text) == hidden
