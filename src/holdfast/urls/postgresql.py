"""Make of the pieces of a URL what is known about a PostgreSQL database."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from holdfast.errors import ConfigurationError
from holdfast.urls.address import Host, Spec, read_hosts, read_port, read_spec
from holdfast.urls.findings import Facts, explain
from holdfast.urls.keys import HANDED_ON, lacking, read_keys
from holdfast.urls.options import read_options
from holdfast.urls.pasted import Pasted
from holdfast.urls.providers import Pooler, Recognised, recognise
from holdfast.urls.tls import read_tls, refuse_weak
from holdfast.urls.url import DatabaseUrl, Finding, TargetSession

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

# A server that sleeps answers after it was woken up.
WAKING = 15.0


def read_postgresql(pasted: Pasted, driver: str) -> DatabaseUrl:
    """Give everything that the pieces say, for one driver.

    Raises:
        ConfigurationError: a key, a value or their combination cannot be used.
    """
    given = read_keys(pasted.pairs, driver)
    specs = _specs(pasted, given)
    hosts = read_hosts(specs)
    settings, route = read_options(given.get("options", ""))
    seen = recognise(hosts[0]) if hosts else Recognised()
    made = DatabaseUrl(
        engine=_engine(given, specs, driver),
        backend="postgresql",
        hosts=hosts,
        tls=read_tls(given),
        connect_timeout=_connect_timeout(given, seen),
        target=cast("TargetSession | None", given.get("target_session_attrs")),
        balanced=given.get("load_balance_hosts") == "random",
        settings=settings | _application_name(given),
        route=route,
        extra={key: value for key, value in given.items() if key in HANDED_ON},
        pooler=_pooler(given, seen),
        provider=seen.provider.name if seen.provider else None,
    )
    lacks = _refuse_or_report(made, given) if driver == "asyncpg" else []
    facts = Facts(url=made, given=given, seen=seen, named="+" in pasted.scheme, lacks=lacks)
    return replace(made, findings=tuple(explain(facts)), direct=_direct(made, seen))


def _specs(pasted: Pasted, given: Mapping[str, str]) -> list[Spec]:
    specs = _in_query(given["host"]) if "host" in given else list(pasted.specs)
    ports = given["port"].split(",") if "port" in given else []
    before = [each.port for each in pasted.specs if each.port]
    if "host" in given:
        _refuse_twice("host", any(each.host for each in pasted.specs))
        _refuse_twice("port", bool(before) and any(each.port for each in specs))
        ports = ports or before
    _refuse_twice("port", "port" in given and any(each.port for each in (*specs, *pasted.specs)))
    return _with_ports(specs, ports) if ports else specs


def _in_query(hosts: str) -> list[Spec]:
    return [
        read_spec(each) if re.fullmatch(r"[^:/@\[\]]+:\d+|\[.*", each) else Spec(host=each)
        for each in hosts.split(",")
    ]


def _with_ports(specs: Sequence[Spec], ports: Sequence[str]) -> list[Spec]:
    hosts = specs or [Spec(host="")]
    if len(ports) not in {1, len(hosts)}:
        hosts_said = "1 host" if len(hosts) == 1 else f"{len(hosts)} hosts"
        raise ConfigurationError(
            f"database URL: it has {len(ports)} ports for {hosts_said}; write one for all, "
            "or one for each"
        )
    each = ports if len(ports) == len(hosts) else [ports[0]] * len(hosts)
    return [replace(spec, port=port) for spec, port in zip(hosts, each, strict=True)]


def _refuse_twice(key: str, twice: bool) -> None:  # noqa: FBT001  -- it is what the name asks
    if twice:
        raise ConfigurationError(f"database URL: it has two places for the {key}; keep one")


def _engine(given: Mapping[str, str], specs: Sequence[Spec], driver: str) -> "URL":
    from sqlalchemy.engine import URL  # noqa: PLC0415  -- 270 ms, and redact needs none

    hosts, first = read_hosts(specs), specs[0] if specs else Spec(host="")
    alone = len(hosts) == 1 and not hosts[0].is_socket
    return URL.create(
        f"postgresql+{driver}",
        username=given.get("user"),
        password=given.get("password"),
        host=first.host if alone else None,
        port=read_port(first.port) if alone or not hosts else None,
        database=given.get("dbname"),
        query={} if alone else _in_engine(hosts, first),
    )


def _in_engine(hosts: Sequence[Host], first: Spec) -> dict[str, str]:
    """Give hosts in the form that SQLAlchemy takes for both drivers, whatever they hold."""
    if not hosts:
        return {}
    if len(hosts) == 1:
        return {"host": hosts[0].host} | ({"port": str(hosts[0].port)} if first.port else {})
    return {
        "host": ",".join(each.host for each in hosts),
        "port": ",".join(str(each.port) for each in hosts),
    }


def _application_name(given: Mapping[str, str]) -> dict[str, str]:
    name = given.get("application_name") or given.get("fallback_application_name")
    return {"application_name": name} if name else {}


def _connect_timeout(given: Mapping[str, str], seen: Recognised) -> float | None:
    if "connect_timeout" in given:
        return float(given["connect_timeout"]) or None
    return WAKING if seen.provider and seen.provider.sleeps else None


def _pooler(given: Mapping[str, str], seen: Recognised) -> Pooler | None:
    if "pooler" in given:
        return None if given["pooler"] == "none" else cast("Pooler", given["pooler"])
    if "pgbouncer" in given:
        return "transaction" if given["pgbouncer"] == "true" else None
    return seen.rule.pooler if seen.rule else None


def _refuse_or_report(made: DatabaseUrl, given: Mapping[str, str]) -> list[tuple[str, str]]:
    refuse_weak(made.tls)
    if given.get("channel_binding") == "require" and not made.tls.insists:
        raise ConfigurationError(
            "database URL: channel_binding=require asks for TLS, on which "
            f"sslmode={made.tls.mode or 'prefer'} does not insist; asyncpg has no channel binding "
            "either: write sslmode=verify-full, or postgresql+psycopg://…"
        )
    if any(each.host.startswith("@") for each in made.hosts):
        raise ConfigurationError(
            "database URL: asyncpg knows no abstract sockets; write postgresql+psycopg://…"
        )
    return lacking(given)


def _direct(made: DatabaseUrl, seen: Recognised) -> DatabaseUrl | None:
    derive = seen.rule.direct if seen.rule and made.pooler else None
    if derive is None or len(made.hosts) > 1:
        return None
    pooled = made.hosts[0]
    host = derive(pooled)
    beyond = recognise(host).rule
    port = made.engine.port if host.port == pooled.port else host.port
    return replace(
        made,
        engine=made.engine.set(host=host.host, port=port),
        hosts=(host,),
        pooler=beyond.pooler if beyond else None,
        findings=(Finding(what="direct URL", why=f"derived from {made.place}, past its pooler"),),
    )
