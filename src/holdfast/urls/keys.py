"""The keys that a URL's query may have: libpq's, and those that providers add."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from holdfast.errors import ConfigurationError
from holdfast.urls.pasted import SECRETS, Pair, named

SWITCH = ("0", "1")
_LONGEST = 2_147_483  # seconds; PostgreSQL's and libpq's own limits are 32-bit integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a key takes, and what becomes of it on asyncpg; psycopg hands all to libpq.

    Attributes:
        takes: the values; a text is the kind of value.
        lacks: what asyncpg does not do; empty where it does what is asked.
        fine: values that ask asyncpg for nothing.
        then: `refuse` where the connection would be less than what was asked for, `report` where
            it is as good.
    """

    takes: tuple[str, ...] | Literal["text", "whole"] = "text"
    lacks: str = ""
    fine: tuple[str, ...] = ()
    then: Literal["refuse", "report"] = "refuse"


_TLS_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_OAUTH = "it cannot log in by OAuth"
_KEEPALIVE = "it leaves the socket's keepalive to the system"
_PROTOCOL = "it always speaks protocol 3.0"
_SCRAM = "it logs in with a password only"

KEYS: Mapping[str, Key] = {
    "application_name": Key(),
    "channel_binding": Key(
        takes=("disable", "prefer", "require"),
        lacks="it has no channel binding; sslmode=verify-full keeps others out of the middle",
        fine=("disable", "prefer"),
        then="report",
    ),
    "client_encoding": Key(takes=("utf8", "UTF8", "utf-8", "UTF-8", "unicode", "UNICODE")),
    "connect_timeout": Key(takes="whole"),
    "dbname": Key(),
    "fallback_application_name": Key(),
    "gssdelegation": Key(takes=SWITCH, lacks="it cannot delegate credentials", fine=("0",)),
    "gssencmode": Key(
        takes=("disable", "prefer", "require"),
        lacks="it cannot encrypt by GSSAPI",
        fine=("disable", "prefer"),
    ),
    "gsslib": Key(takes=("gssapi", "sspi")),
    "host": Key(),
    "hostaddr": Key(lacks="it has one name for a host; write the address as the host"),
    "keepalives": Key(takes=SWITCH, lacks=_KEEPALIVE, then="report"),
    "keepalives_count": Key(takes="whole", lacks=_KEEPALIVE, then="report"),
    "keepalives_idle": Key(takes="whole", lacks=_KEEPALIVE, then="report"),
    "keepalives_interval": Key(takes="whole", lacks=_KEEPALIVE, then="report"),
    "krbsrvname": Key(),
    "load_balance_hosts": Key(takes=("disable", "random")),
    "max_protocol_version": Key(takes=("3.0", "3.2", "latest"), lacks=_PROTOCOL, then="report"),
    "min_protocol_version": Key(takes=("3.0", "3.2", "latest"), lacks=_PROTOCOL, fine=("3.0",)),
    "oauth_client_id": Key(lacks=_OAUTH),
    "oauth_client_secret": Key(lacks=_OAUTH),
    "oauth_issuer": Key(lacks=_OAUTH),
    "oauth_scope": Key(lacks=_OAUTH),
    "options": Key(),
    "passfile": Key(),
    "password": Key(),
    "pgbouncer": Key(takes=("true", "false")),
    "pooler": Key(takes=("transaction", "session", "none")),
    "port": Key(),
    "require_auth": Key(lacks="it cannot refuse a way to log in that the server chose"),
    "requirepeer": Key(lacks="it cannot ask who runs the server behind a socket"),
    "scram_client_key": Key(lacks=_SCRAM),
    "scram_server_key": Key(lacks=_SCRAM),
    "service": Key(lacks="it reads no service file without a host"),
    "ssl": Key(
        takes=("true", "false", "on", "off", "yes", "no", "1", "0", *_TLS_MODES),
    ),
    "sslcert": Key(),
    "sslcertmode": Key(
        takes=("disable", "allow", "require"),
        lacks="it shows a client certificate where there is one",
        fine=("allow",),
    ),
    "sslcompression": Key(takes=SWITCH, lacks="TLS is not compressed", fine=("0",), then="report"),
    "sslcrl": Key(),
    "sslcrldir": Key(),
    "sslkey": Key(),
    "sslkeylogfile": Key(lacks="it writes no keys; the variable SSLKEYLOGFILE does"),
    "sslmode": Key(takes=_TLS_MODES),
    "sslnegotiation": Key(takes=("postgres", "direct")),
    "sslpassword": Key(),
    "sslrootcert": Key(),
    "sslsni": Key(takes=SWITCH, lacks="it always names the host in TLS", fine=("1",)),
    "ssl_max_protocol_version": Key(takes=_TLS_VERSIONS),
    "ssl_min_protocol_version": Key(takes=_TLS_VERSIONS),
    "supa": Key(),
    "target_session_attrs": Key(
        takes=("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
    ),
    "tcp_user_timeout": Key(takes="whole", lacks=_KEEPALIVE, then="report"),
    "user": Key(),
}
# What has a meaning for libpq alone, or the same name in both drivers: handed on as it is.
HANDED_ON = frozenset(key for key, each in KEYS.items() if each.lacks) | {
    "gsslib",
    "krbsrvname",
    "passfile",
}

# Keys of other tools, and what says the same here.
FOREIGN: Mapping[str, str] = {
    **dict.fromkeys(
        ("schema", "currentSchema", "search_path"),
        "write options=-csearch_path%3DNAME, or set it for the role: ALTER ROLE … SET search_path",
    ),
    "ApplicationName": "write application_name=…",
    "application": "write application_name=…",
    "autosave": "leave it out",
    "command_timeout": "leave it out; DatabasePolicy.statement_timeout is the limit",
    "connection_limit": "leave it out; PoolPolicy has the pool's size",
    "connectTimeout": "write connect_timeout=…, in seconds",
    "database": "write dbname=…",
    "loginTimeout": "write connect_timeout=…, in seconds",
    "max_connections": "leave it out; PoolPolicy has the pool's size",
    "pool": "leave it out; PoolPolicy has the pool's size",
    "pool_size": "leave it out; PoolPolicy has the pool's size",
    "pool_timeout": "leave it out; PoolPolicy has the pool's limits",
    "prepare_threshold": "write pooler=transaction",
    "prepareThreshold": "write pooler=transaction",
    "prepared_statement_cache_size": "write pooler=transaction",
    "prepared_statements": "write pooler=transaction",
    "reconnect": "leave it out",
    "replication": "leave it out; SQLAlchemy speaks SQL only",
    "socket_timeout": "leave it out; DatabasePolicy.statement_timeout is the limit",
    "socketTimeout": "leave it out; DatabasePolicy.statement_timeout is the limit",
    "sslaccept": "write sslmode=verify-full or sslmode=require",
    "sslfactory": "leave it out; sslmode=verify-full checks the server",
    "sslidentity": "write sslcert=… and sslkey=…",
    "sslprofile": "leave it out",
    "statement_cache_size": "write pooler=transaction",
    "targetServerType": "write target_session_attrs=primary or standby",
    "timeout": "write connect_timeout=…, in seconds",
    "unix_sock": "write host=/FOLDER, without the file's name",
    "username": "write user=…",
    "uselibpqcompat": "leave it out; sslmode has libpq's meaning here",
}


def read_keys(pairs: Iterable[Pair], driver: str) -> dict[str, str]:
    """Give the values by key; several hosts and ports are joined by commas.

    Raises:
        ConfigurationError: a key is unknown or there twice, or a value is none that it takes.
    """
    given: dict[str, str] = {}
    for key, value in pairs:
        if key not in KEYS:
            raise _unknown(key, list(given), driver, KEYS)
        if key in given and key not in {"host", "port"}:
            raise ConfigurationError(f"database URL: it has two places for the {key}; keep one")
        _check(key, value)
        given[key] = f"{given[key]},{value}" if key in given else value
    return given


def refuse_unknown(query: Iterable[str], driver: str, known: Collection[str]) -> None:
    """Refuse what is not among the known keys.

    Raises:
        ConfigurationError: it names the key and the nearest one.
    """
    for key in query:
        if key not in known:
            raise _unknown(key, [], driver, known)


def lacking(given: Mapping[str, str]) -> list[tuple[str, str]]:
    """Tell what asyncpg does not do of what was asked, where the connection is as good without.

    Returns:
        Each with its reason.

    Raises:
        ConfigurationError: the connection would be less than what was asked for.
    """
    asked = [(key, value) for key, value in given.items() if KEYS[key].lacks]
    asked = [(key, value) for key, value in asked if value not in KEYS[key].fine]
    for key, value in asked:
        if KEYS[key].then == "refuse":
            what = key if key in SECRETS else f"{key}={value}"
            raise ConfigurationError(
                f"database URL: {what} cannot be had with asyncpg: {KEYS[key].lacks}; write "
                f"postgresql+psycopg://… or leave {key} out"
            )
    return [(f"{key}={value}", KEYS[key].lacks) for key, value in asked]


def _check(key: str, value: str) -> None:
    takes = KEYS[key].takes
    if takes == "whole":
        # As text first: Python refuses to read a number of 5,000 digits.
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 8):
            raise _wrong(key, value, "it takes a whole number")
        if not 0 <= int(value) <= _LONGEST:
            raise _wrong(key, value, f"it takes a number from 0 to {_LONGEST}")
    elif isinstance(takes, tuple) and value not in takes:
        raise _wrong(key, value, f"it takes {', '.join(takes)}{_guess(value, takes)}")


def _wrong(key: str, value: str, takes: str) -> ConfigurationError:
    return ConfigurationError(f"database URL: {key} is {value[:60]!r}; {takes}")


def _unknown(
    key: str, before: list[str], driver: str, known: Collection[str]
) -> ConfigurationError:
    said = named(key, before)
    if said == key and key in FOREIGN and driver != "aiosqlite":
        return ConfigurationError(f"database URL: {key} is a key of other tools; {FOREIGN[key]}")
    listed = f"; known are {', '.join(sorted(known))}" if len(known) < 10 else ""
    guess = _guess(key, known) if said == key else ""
    return ConfigurationError(
        f"database URL: {said} in the query is not known for {driver}{guess or listed}"
    )


def _guess(text: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  -- only a mistake needs it

    nearest = get_close_matches(text.lower(), list(known), n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""
