"""Take apart what was pasted: a URL of libpq or SQLAlchemy, or libpq's keyword form."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from holdfast.errors import ConfigurationError
from holdfast.urls.address import Spec, is_spec_list, read_spec

LOOKS = "it looks like postgresql://USER@HOST:5432/NAME or sqlite:///FILE.db"
SECRETS = frozenset(
    {
        "password",
        "sslpassword",
        "token",
        "oauth_client_secret",
        "scram_client_key",
        "scram_server_key",
    }
)
Pair = tuple[str, str]

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_KEYWORDS = re.compile(r"[A-Za-z_]\w*\s*=")
_COMMAND = re.compile(r"psql\s+(?P<rest>\S.*)", re.DOTALL)
_VARIABLE = re.compile(r"(?:export\s+)?[A-Z][A-Z0-9_]*=(?=['\"]?[a-z][a-z0-9+]*://)")
_QUOTED = re.compile(r"(?P<quote>['\"])(?P<inside>.*)(?P=quote)", re.DOTALL)
_PAIR = re.compile(
    r"\s*(?P<key>[^\s=]+)\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<plain>(?:[^\s'\\]|\\.)*))"
    r"(?=\s|$)",
    re.DOTALL,
)
# Between the parts of other programs' forms. In a password it may be meant, or in the name of a
# file, which may be that of who a certificate is for: CN=shop,O=Shop.pem.
_SEPARATED = re.compile(r"[,;]\s*([A-Za-z_]\w*\s*=|$)")
_SAYS_WHERE = {"host", "hostaddr", "port", "dbname", "user", "service"}
_TAKES_ANY = {*SECRETS, "options", "sslrootcert", "sslcert", "sslkey", "passfile"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasted:
    """What stands in the text, decoded.

    Attributes:
        scheme: in small letters.
        specs: the hosts before the path.
        pairs: everything else by libpq's keys, in the order written.
    """

    scheme: str
    specs: tuple[Spec, ...] = ()
    pairs: tuple[Pair, ...] = ()


def bare(text: str) -> str:
    """Take off what consoles and files have around a URL: `psql`, a variable's name, quotes.

    Raises:
        ConfigurationError: nothing is left.
    """
    text = text.strip()
    if command := _COMMAND.fullmatch(text):
        text = command["rest"]
    text = text[variable.end() :] if (variable := _VARIABLE.match(text)) else text
    if quoted := _QUOTED.fullmatch(text):
        text = quoted["inside"].strip()
    if not text:
        raise ConfigurationError(
            "database URL: it is empty; it looks like postgresql://USER@HOST/NAME"
        )
    return text


def scheme_of(text: str) -> str:
    """Give the scheme in small letters, `postgresql` for libpq's keyword form.

    Raises:
        ConfigurationError: there is none.
    """
    if text.lower().startswith("jdbc:"):
        raise ConfigurationError(
            "database URL: it is one of JDBC; leave out jdbc: and put user and password before "
            "the host: postgresql://USER@HOST:5432/NAME"
        )
    if found := _URL.fullmatch(text):
        return found["scheme"].lower()
    if _KEYWORDS.match(text):
        return "postgresql"
    raise ConfigurationError(f"database URL: it cannot be read; {LOOKS}")


def take_apart(text: str) -> Pasted:
    """Take a URL or keyword form of PostgreSQL apart.

    Raises:
        ConfigurationError: it cannot be read; the text is not repeated.
    """
    scheme, found = scheme_of(text), _URL.fullmatch(text)
    if found is None:
        pairs = [*_keywords(text)]
        if not _SAYS_WHERE & {key for key, _ in pairs}:
            # A password alone, maybe, of which an unknown key would be named.
            raise ConfigurationError(f"database URL: it cannot be read; {LOOKS}")
        return Pasted(scheme=scheme, pairs=_filled(pairs))
    account, rest = _account(found["rest"])
    before, _, query = rest.partition("?")
    hosts, _, name = before.partition("/")
    # The credentials last: nothing behind their @ can be a piece of the password.
    pairs = [("dbname", _decoded(name)), *_query(query), *_credentials(account)]
    return Pasted(
        scheme=scheme,
        specs=tuple(_specs(hosts)) if hosts else (),
        pairs=_filled(pairs),
    )


def _filled(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    # To libpq, an empty value is one that was not given.
    return tuple((key, value) for key, value in pairs if value)


def _account(rest: str) -> tuple[str, str]:
    """Split at the @ behind user and password, of which one may hold / ? and # as they are."""
    if rest.count("@") > 1:
        raise ConfigurationError(
            "database URL: it has more than one @; inside a user, password or name write %40"
        )
    before, found, after = rest.partition("@")
    if not found:
        return "", rest
    authority, in_query = re.split(r"[/?#]", before, maxsplit=1)[0], "?" in before
    if authority == before or (":" in authority and not is_spec_list(authority)):
        return before, after
    if in_query and ":" not in authority:
        return "", rest
    raise ConfigurationError(
        "database URL: it has an @ behind the host; inside a user, password or name write %40 "
        "for @, %2F for / and %3F for ?"
    )


def _credentials(account: str) -> list[Pair]:
    user, _, password = account.partition(":")
    return [("user", _decoded(user)), ("password", _decoded(password))]


def _specs(hosts: str) -> Iterator[Spec]:
    for each in hosts.split(","):
        spec = read_spec(each)
        yield Spec(host=_decoded(spec.host), port=_decoded(spec.port))


def _query(query: str) -> Iterator[Pair]:
    for each in filter(None, query.split("&")):
        key, found, value = each.partition("=")
        if not found:
            raise ConfigurationError(
                "database URL: a part of its query has no =; inside a value write %26 for &"
            )
        key = _decoded(key.replace("+", " "))
        # A blank, in what SQLAlchemy and HTML forms write; nobody writes a blank in a password.
        value = _decoded(value if key in SECRETS else value.replace("+", " "))
        if not value:
            raise ConfigurationError(f"database URL: {named(key, [])} in the query is empty")
        yield key, value


def _keywords(text: str) -> Iterator[Pair]:
    at = 0
    while text[at:].strip():
        found = _PAIR.match(text, at)
        if found is None:
            raise ConfigurationError(
                "database URL: it cannot be read as KEY=VALUE KEY=VALUE; a value with blanks "
                "stands in single quotes, with a backslash before a quote inside"
            )
        at = found.end()
        if found["key"] not in _TAKES_ANY and _SEPARATED.search(found["plain"] or ""):
            raise ConfigurationError(
                "database URL: a comma or semicolon stands between its parts; write blanks "
                "between them: host=HOST port=5432 dbname=NAME; a value that has one stands in "
                "single quotes"
            )
        value = found["plain"] if found["quoted"] is None else found["quoted"]
        yield found["key"], re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ConfigurationError(
            "database URL: what is written with % in it is not UTF-8"
        ) from None


def named(key: str, before: list[str]) -> str:
    """Name a key in a message, unless it may be a piece of the password that stands before it."""
    if SECRETS & set(before):
        return "a key behind the password"
    return key if re.fullmatch(r"[\w.-]{1,40}", key) else "a key that is no name"
