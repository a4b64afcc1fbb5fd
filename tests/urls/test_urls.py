"""What people paste is read as they meant it, or refused without its secrets."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from holdfast.errors import ConfigurationError
from holdfast.urls import parse, redact

# Long enough that it cannot stand in a message by chance, with every kind of character inside.
ANYTHING = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
PASSWORDS = ANYTHING.map(lambda inner: f"Zq7{inner}Xk9")
PARTS = ("Zq7", "Xk9")


def encoded(password: str) -> str:
    return "".join(f"%{byte:02X}" for byte in password.encode())


def texts(made) -> str:
    values = [repr(made), str(made), f"{made}", made.place, repr(made.engine), str(made.engine)]
    return "\n".join([*values, repr([made]), repr({"url": made})])


@pytest.mark.parametrize(
    ("scheme", "driver"),
    [
        ("postgres", "postgresql+asyncpg"),
        ("postgresql", "postgresql+asyncpg"),
        ("postgresql+asyncpg", "postgresql+asyncpg"),
        ("postgresql+psycopg", "postgresql+psycopg"),
    ],
)
def test_a_scheme_chooses_the_driver(scheme, driver):
    """Without a driver it is asyncpg; the rest of the URL stays."""
    made = parse(f" {scheme}://ann:secret@db:6000/shop\n")

    assert made.engine == make_url(f"{driver}://ann:secret@db:6000/shop")
    assert (made.backend, made.place) == ("postgresql", "db:6000/shop")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///notes.db", "notes.db"),
        ("sqlite:////var/data/notes.db", "/var/data/notes.db"),
        ("sqlite+aiosqlite:///folder/notes.db", "folder/notes.db"),
        ("sqlite:///C:/data/notes.db", "C:/data/notes.db"),
        ("sqlite:///C:\\data\\notes.db", "C:\\data\\notes.db"),
        ("sqlite:///my notes/Ärger@home.db", "my notes/Ärger@home.db"),
        ("sqlite:///a@b@c.db", "a@b@c.db"),
        ("sqlite:///100%25.db", "100%.db"),
        ("sqlite:///file:notes.db?mode=ro&uri=true", "file:notes.db"),
        ("sqlite:///notes.db?uri=false", "notes.db"),
        ("sqlite://", ":memory:"),
        ("sqlite:///:memory:", ":memory:"),
    ],
)
def test_sqlite_paths(url, path):
    """Three slashes before a relative path, four before an absolute one, none in memory."""
    made = parse(url)

    assert (made.place, made.backend) == (path, "sqlite")
    assert made.engine.drivername == "sqlite+aiosqlite"


@pytest.mark.parametrize(
    ("rest", "place"),
    [
        ("ann:secret@db/shop", "db:5432/shop"),
        ("ann:secret@db", "db:5432/ann"),
        ("/shop", "localhost:5432/shop"),
        ("ann@[::1]:6000/shop", "[::1]:6000/shop"),
        ("ann@/shop?host=/run/postgresql", "/run/postgresql/shop"),
        ("ann@/shop?host=/run/postgresql&port=6000", "/run/postgresql/shop"),
        ("ann@/shop?host=one&port=6000", "one:6000/shop"),
        ("ann@/shop?host=one:1&host=two:2", "one:1,two:2/shop"),
        ("ann@/shop?host=one,two&port=1,2", "one:1,two:2/shop"),
        ("ann@/shop?host=one&host=two", "one:5432,two:5432/shop"),
    ],
)
def test_the_place_of_a_server(rest, place):
    """It says where and which database, for messages, with several hosts and sockets too."""
    assert parse(f"postgresql://{rest}").place == place


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (None, "it is empty"),
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("shop", "it cannot be read"),
        ("localhost:5432/shop", "it cannot be read"),
        ("postgresql:/ann@db/shop", "it cannot be read"),
        ("sqlite:notes.db", "it cannot be read"),
        ("postgresql://ann:secret@db:port/shop", "it cannot be read"),
        (b"postgresql://ann:secret@db/shop", "it is of type bytes; give a str"),
        (5, "it is of type int; give a str"),
        ({"password": "secret"}, "it is of type dict; give a str"),
        ("mysql://ann:secret@db/shop", "the scheme 'mysql' is not known; use one of postgres"),
        (
            "postgresql+psycopg2://ann:secret@db/shop",
            "must be an async one: write postgresql:// (asyncpg) or postgresql+psycopg://",
        ),
        ("postgresql+pg8000://db/shop", "write postgresql:// (asyncpg) or postgresql+psycopg://"),
        ("sqlite+pysqlite:///notes.db", "write sqlite:// (aiosqlite)"),
        (make_url("postgresql+psycopg2://db/shop"), "write postgresql:// (asyncpg)"),
        ("host=h,port=5432 dbname=shop", "write blanks between them"),
        ("host=h, port=5432, dbname=shop", "write blanks between them"),
        ("user=ann,password=secret host=h", "write blanks between them"),
        ("Host=h;Username=ann;Password=secret;Database=shop", "write blanks between them"),
        ("driver://user:pass@localhost/dbname", "the scheme 'driver' is not known"),
        ("postgresql://db/shop?sslmod=require", "sslmod in the query is not known for asyncpg"),
        ("postgresql+psycopg://db/shop?sslrot=x", "sslrot in the query is not known for psycopg"),
        ("sqlite:///notes.db?timeout=3", "timeout in the query is not known for aiosqlite"),
        ("postgresql://ann:sec@ret@db/shop", "more than one @; inside a user, password"),
        ("postgresql://db:65536/shop", "the port 65536 is not from 1 to 65535"),
        ("postgresql://db:0/shop", "the port 0 is not"),
        ("postgresql://db/shop?host=other", "two places for the host"),
        ("postgresql://db:5432/shop?port=6000", "two places for the port"),
        ("sqlite:///notes.db?mode=ro", "write sqlite:///file:shop.db?mode=ro&uri=true"),
        ("sqlite:///notes.db?cache=shared", "write sqlite:///file:shop.db"),
        ("sqlite:///file:notes.db?mode=ro", "write sqlite:///file:shop.db"),
        ("sqlite:///file:notes.db", "write sqlite:///file:shop.db"),
        ("sqlite:///notes.db?mode=ro&uri=true", "write sqlite:///file:shop.db"),
        ("sqlite:///notes.db?uri=true", "write sqlite:///file:shop.db"),
        ("sqlite://notes.db", "SQLite has no host or user"),
        ("sqlite://ann:secret@/notes.db", "SQLite has no host or user"),
    ],
)
def test_what_cannot_work_is_refused(url, says):
    """The error says what is wrong and repeats no password."""
    with pytest.raises(ConfigurationError) as caught:
        parse(url)

    assert says in str(caught.value)
    assert "sec" not in str(caught.value)
    assert caught.value.__cause__ is None
    # What a reader is told to write arrives as it was written.
    assert redact(str(caught.value)) == str(caught.value)


@pytest.mark.parametrize("path", ["/etc/CN=shop,O=Shop.pem", "/etc/a;b=c.pem"])
def test_a_file_may_be_called_as_a_certificate_is(path):
    """A comma in its name is none between the parts."""
    url = parse(f"host=db dbname=shop sslmode=verify-full sslrootcert={path}")

    assert url.tls.root == path


@given(PASSWORDS)
def test_no_password_is_in_any_text_form(password):
    """Neither the URL itself nor what holds it prints the password, encoded or not."""
    made = parse(f"postgresql://ann:{encoded(password)}@db:6000/shop")

    assert made.engine.password == password
    assert not [part for part in PARTS if part in texts(made)]


@given(PASSWORDS)
def test_a_password_pasted_as_it_is_never_comes_out(password):
    """Unencoded it is read or refused; either way no piece of it is in text or message."""
    try:
        said = texts(parse(f"postgresql://ann:{password}@db/shop"))
    except ConfigurationError as error:
        said = str(error)

    assert not [part for part in PARTS if part in said]


@given(PASSWORDS.filter(lambda text: not set(text) & set("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029")))
def test_redact_hides_a_password_within_text(password):
    """Whatever the password holds, spaces and @ included, nothing of it is left in the line."""
    hidden = redact(f"cannot reach postgresql://ann:{password}@db/shop: refused")

    assert hidden == "cannot reach postgresql://ann:***@db/shop: refused"


@pytest.mark.parametrize("key", ["password", "sslpassword", "token"])
def test_redact_hides_secrets_in_a_query(key):
    """The value goes, its neighbours stay."""
    hidden = redact(f"postgresql://db/shop?a=1&{key}=secret&b=2 is wrong")

    assert hidden == f"postgresql://db/shop?a=1&{key}=***&b=2 is wrong"


@given(st.text(string.ascii_letters + string.digits + " .,/-", max_size=60))
def test_redact_leaves_other_text(text):
    """What holds no URL stays as it is."""
    assert redact(text) == text
