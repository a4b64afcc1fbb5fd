"""Say in sentences what was recognised in a URL, what follows from it, and what does not happen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from holdfast.urls.providers import Recognised
from holdfast.urls.tls import SYSTEM
from holdfast.urls.url import POOLER_SETTINGS, DatabaseUrl, Finding

_FOLLOWS = {
    "transaction": "no prepared statements, and no limits in the connection's first message",
    "session": "prepared statements are kept; no limits in the connection's first message",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What there is to explain.

    Attributes:
        url: what was made of the text.
        given: the text's keys.
        seen: what the first host was recognised as.
        named: whether the text names the driver.
        lacks: what asyncpg does not do, with the reason.
    """

    url: DatabaseUrl
    given: Mapping[str, str]
    seen: Recognised
    named: bool
    lacks: Sequence[tuple[str, str]]


def explain(facts: Facts) -> Iterator[Finding]:
    """Give one finding after the other, in the order of the questions that people have."""
    if not facts.named:
        driver = facts.url.engine.get_driver_name()
        yield Finding(
            what=f"driver {driver}", why="the URL names none; postgresql+psycopg://… is the other"
        )
    yield from _provider(facts)
    yield from _pooler(facts)
    yield from _tls(facts)
    yield from _settings(facts)
    for what, why in facts.lacks:
        yield Finding(what=what, why=f"not done by asyncpg: {why}; postgresql+psycopg://… does it")


def _provider(facts: Facts) -> Iterator[Finding]:
    url, provider = facts.url, facts.seen.provider
    if provider:
        yield Finding(what=provider.name, why=f"{url.hosts[0].host} is one of its hosts")
    if provider and provider.sleeps and "connect_timeout" not in facts.given:
        yield Finding(
            what=f"connect within {url.connect_timeout:g} s",
            why=f"a server at {provider.name} may have to be woken up first",
        )
    if facts.given.get("connect_timeout", "1").strip("0") == "":
        yield Finding(what="connect_timeout=0", why="it would wait for ever; the limit stays as is")
    if "supa" in facts.given:
        yield Finding(what="supa", why="Supabase's own mark; it means nothing to driver and server")


def _pooler(facts: Facts) -> Iterator[Finding]:
    url, rule = facts.url, facts.seen.rule
    key = next((each for each in ("pooler", "pgbouncer") if each in facts.given), None)
    if key is None and rule is None:
        return
    why = f"{key}={facts.given[key]} in the URL" if key else rule.why if rule else ""
    if url.pooler is None:
        yield Finding(what="no pooler", why=f"{why}{f', although {rule.why}' if rule else ''}")
        return
    yield Finding(what=f"{url.pooler} pooler", why=f"{why}: {_FOLLOWS[url.pooler]}")
    if url.pooler == "transaction" and not (rule and rule.direct):
        yield Finding(
            what="no direct URL",
            why="it cannot be derived here; migrations want one, in DIRECT_DATABASE_URL",
        )


def _tls(facts: Facts) -> Iterator[Finding]:
    url, tls = facts.url, facts.url.tls
    if "ssl" in facts.given:
        yield Finding(what=f"ssl={facts.given['ssl']}", why=f"read as sslmode={tls.mode}")
    if tls.insists and url.hosts and all(each.is_socket for each in url.hosts):
        yield Finding(what=f"sslmode={tls.mode}", why="a unix socket never has TLS")
    elif tls.mode in {None, "allow", "prefer"}:
        yield from _opportunistic(facts)
    elif tls.mode == "require" and not tls.root:
        yield Finding(
            what="sslmode=require",
            why="encrypted, but nobody checks whose server it is, unless ~/.postgresql/root.crt "
            "is there; sslmode=verify-full does",
        )
    elif tls.mode == "require":
        yield Finding(what="sslmode=require", why="with sslrootcert it is sslmode=verify-ca")
    elif tls.mode == "verify-full" and tls.root in {None, SYSTEM}:
        other = "" if tls.root else "~/.postgresql/root.crt where it exists, else "
        yield Finding(what="sslmode=verify-full", why=f"trusts {other}the system's authorities")


def _opportunistic(facts: Facts) -> Iterator[Finding]:
    if facts.url.tls.root:
        yield Finding(
            what="sslrootcert", why="nothing is refused for it; write sslmode=verify-full with it"
        )
    if any(not each.is_socket for each in facts.url.hosts):
        yield Finding(
            what=f"sslmode={facts.url.tls.mode or 'prefer'}",
            why="TLS where the server has it, and nobody checks whose server it is",
        )


def _settings(facts: Facts) -> Iterator[Finding]:
    url = facts.url
    if url.route:
        yield Finding(what=f"options={url.route}", why="handed on, for the provider's proxy")
    if refused := {key for key in url.settings if key.lower() not in POOLER_SETTINGS}:
        names = ", ".join(sorted(refused))
        why = "sent in the connection's first message"
        if not url.takes_settings:
            why += ", which PgBouncer refuses; write ALTER ROLE … SET instead"
        yield Finding(what=f"options: {names}", why=why)
    if "fallback_application_name" in facts.given and "application_name" not in facts.given:
        yield Finding(what="fallback_application_name", why="read as application_name")
    if url.balanced:
        yield Finding(what="load_balance_hosts=random", why="hosts are tried in a random order")
