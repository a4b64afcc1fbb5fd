"""Read the URL of a Redis, of a master behind Sentinels, or of a cluster."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from holdfast.errors import ConfigurationError

_SINGLE = ("redis://", "rediss://", "unix://")
_SENTINEL = ("redis+sentinel://", "rediss+sentinel://")
SCHEMES = _SINGLE + _SENTINEL  # of `client`
CLUSTER_SCHEMES = ("redis+cluster://", "rediss+cluster://")
# What a URL may say besides the address. Limits are the policy's, and a key that redis-py does
# not know would come back as a TypeError from the first command.
_TLS_KEYS = frozenset(
    {"ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
)
_CLUSTER_KEYS = frozenset({"client_name", "protocol"}) | _TLS_KEYS
_SINGLE_KEYS = _CLUSTER_KEYS | {"db"}
_OF_SENTINELS = {"sentinel_username": "username", "sentinel_password": "password"}
_SENTINEL_KEYS = _CLUSTER_KEYS | _OF_SENTINELS.keys()

_UNREADABLE = "Redis URL: it cannot be read; it looks like {like}"
_LIKE_SINGLE = "redis://HOST:6379/0"
_LIKE_SENTINEL = "redis+sentinel://HOST:26379,HOST:26379/SERVICE/0"
_LIKE_CLUSTER = "redis+cluster://HOST:6379,HOST:6379"

Host = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Several hosts to begin with.

    Attributes:
        hosts: of the Sentinels, or nodes of a cluster.
        one: the URL of a single server that says all the rest, so that redis-py can read it.
        service: what the Sentinels call the master; empty for a cluster.
        sentinel: user and password of the Sentinels.
    """

    hosts: Sequence[Host]
    one: str
    service: str
    sentinel: dict[str, str]

    @property
    def tls(self) -> bool:
        """Whether every connection is encrypted."""
        return self.one.startswith("rediss")


def refuse_unusable(url: str) -> None:
    """Refuse a URL of a single server that redis-py would misread.

    Raises:
        ConfigurationError: the URL cannot be used; its password is not repeated.
    """
    _refuse_scheme(url, SCHEMES)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise unreadable(url) from None
    if "@" in parts.path + parts.query + parts.fragment or parts.netloc.count("@") > 1:
        raise ConfigurationError(_PASSWORD)
    problems = [*_wrong_keys(parts.query, _SINGLE_KEYS, tls=parts.scheme == "rediss")]
    database = parts.path.strip("/")
    if parts.scheme != "unix" and database and not database.isdecimal():
        # redis-py would take database 0 without a word.
        problems.append("after the host stands the number of a database")
    _raise(problems)


def is_sentinel(url: str) -> bool:
    """Tell whether a URL is one of a master behind Sentinels."""
    return bool(url) and url.startswith(_SENTINEL)


def sentinel_address(url: str) -> Address:
    """Read `redis+sentinel://[user:password@]HOST:PORT,HOST:PORT/SERVICE[/DB]`.

    Raises:
        ConfigurationError: all that is wrong with it; its password is not repeated.
    """
    _refuse_scheme(url, SCHEMES)
    secret, hosts, path, query = _split(url)
    service, _, database = path.partition("/")
    found, problems = _hosts(hosts)
    problems += _wrong_keys(query, _SENTINEL_KEYS, tls=url.startswith("rediss"))
    if not service:
        problems.append("after the hosts stands the name of the service: /SERVICE")
    if database and not database.isdecimal():
        problems.append("after the service stands the number of a database")
    _raise(problems)
    pairs = parse_qsl(query)
    return Address(
        hosts=found,
        one=_one(url, f"{secret}{hosts.partition(',')[0]}/{database or 0}", pairs),
        service=unquote(service),
        sentinel={_OF_SENTINELS[key]: value for key, value in pairs if key in _OF_SENTINELS},
    )


def cluster_address(url: str) -> Address:
    """Read `redis+cluster://[user:password@]HOST:PORT,HOST:PORT`.

    Raises:
        ConfigurationError: all that is wrong with it; its password is not repeated.
    """
    _refuse_scheme(url, CLUSTER_SCHEMES)
    secret, hosts, path, query = _split(url)
    found, problems = _hosts(hosts)
    if path or any(key == "db" for key, _ in parse_qsl(query)):
        problems.append("a cluster has no databases: leave the number out")
    problems += _wrong_keys(query, _CLUSTER_KEYS | {"db"}, tls=url.startswith("rediss"))
    _raise(problems)
    one = _one(url, f"{secret}{hosts.partition(',')[0]}", parse_qsl(query))
    return Address(hosts=found, one=one, service="", sentinel={})


def unreadable(url: str) -> ConfigurationError:
    """Make the error for a URL that redis-py cannot read.

    redis-py's own is not chained: it may hold a piece of the password.
    """
    like = _LIKE_SINGLE
    if "+sentinel:" in url:
        like = _LIKE_SENTINEL
    elif "+cluster:" in url:
        like = _LIKE_CLUSTER
    return ConfigurationError(_UNREADABLE.format(like=like))


# It would be cut there, and its rest shown as a place.
_PASSWORD = "Redis URL: a password with /, ?, # or @ is written with %2F, %3F, %23 or %40"  # noqa: S105  -- says how to write one


def _refuse_scheme(url: str, schemes: tuple[str, ...]) -> None:
    # None is what an unset environment variable gives.
    if url and url.startswith(schemes):
        return
    hint = ""
    if url and url.startswith(CLUSTER_SCHEMES):
        hint = "; the client of a cluster is made by redis.cluster"
    elif url and url.startswith(SCHEMES):
        hint = "; the client of anything else is made by redis.client"
    raise ConfigurationError(f"Redis URL: it begins with one of {', '.join(schemes)}{hint}")


def _split(url: str) -> tuple[str, str, str, str]:
    """Take a URL with several hosts apart: user and password, hosts, path, query."""
    head, _, query = url.partition("?")
    network, _, path = head.partition("://")[2].partition("/")
    if "#" in url or "@" in path + query or network.count("@") > 1:
        raise ConfigurationError(_PASSWORD)
    secret, at, hosts = network.rpartition("@")
    return secret + at, hosts, path.strip("/"), query


def _hosts(text: str) -> tuple[list[Host], list[str]]:
    """Read hosts; what is wrong is told by number, since a password may have got in there."""
    hosts: list[Host] = []
    problems: list[str] = []
    for number, each in enumerate(text.split(","), 1):
        try:
            parts = urlsplit(f"//{each}")
            host, port = parts.hostname, parts.port
        except ValueError:
            problems.append(f"the port of host {number} is no number from 1 to 65535")
            continue
        if not host:
            problems.append(f"host {number} is empty")
        elif not port:
            problems.append(f"host {number} has no port: HOST:PORT")
        else:
            hosts.append((host, port))
    return hosts, problems


def _wrong_keys(query: str, known: frozenset[str], *, tls: bool) -> Iterator[str]:
    keys = {key for key, _ in parse_qsl(query, keep_blank_values=True)}
    if unknown := sorted(keys - known):
        yield (
            f"{', '.join(unknown)} in the query cannot be given there; limits are "
            f"RedisPolicy's, and known are {', '.join(sorted(known))}"
        )
    if not tls and (unused := sorted(keys & _TLS_KEYS)):
        yield f"{', '.join(unused)} in the query is for TLS: write rediss instead of redis"


def _one(url: str, rest: str, pairs: Sequence[tuple[str, str]]) -> str:
    scheme = "rediss" if url.startswith("rediss") else "redis"
    query = urlencode([(key, value) for key, value in pairs if key not in _OF_SENTINELS])
    return f"{scheme}://{rest}?{query}"


def _raise(problems: Sequence[str]) -> None:
    if problems:
        raise ConfigurationError(f"Redis URL: {'; '.join(problems)}")
