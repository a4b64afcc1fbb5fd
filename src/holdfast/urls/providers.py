"""Recognise a provider and its connection pooler by the host's name and the port, as data."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from holdfast.urls.address import Host

Pooler = Literal["transaction", "session"]
Direct = Callable[[Host], Host]

# Ports that are somebody's pooler wherever they are seen.
POOLER_PORTS: Mapping[int, str] = {6432: "PgBouncer", 6543: "Supabase's pooler"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a provider's host is a pooler, and which host goes past it.

    Attributes:
        pooler: in which mode it is.
        why: in a sentence, for people.
        host: what its name looks like besides the provider's, where that tells.
        port: its port, where that tells.
        direct: gives the host past it; None where that cannot be derived.
    """

    pooler: Pooler
    why: str
    host: str = ""
    port: int | None = None
    direct: Direct | None = None

    def fits(self, host: Host) -> bool:
        """Tell whether a host of the provider is this pooler."""
        return self.port in {None, host.port} and bool(re.search(self.host, host.host.lower()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Somebody who runs PostgreSQL for others.

    Attributes:
        name: as they write it.
        host: how the names of their hosts look.
        rules: their poolers; the first that fits counts.
        sleeps: whether their servers may have to be woken up first.
    """

    name: str
    host: str
    rules: tuple[Rule, ...] = field(default=())
    sleeps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """What a host was recognised as."""

    provider: Provider | None = None
    rule: Rule | None = None


def recognise(host: Host) -> Recognised:
    """Tell whose host it is, and whether a pooler listens there."""
    name = host.host.lower().rstrip(".")
    provider = next((each for each in PROVIDERS if re.search(each.host, name)), None)
    rules = provider.rules if provider else ()
    rule = next((each for each in rules if each.fits(host)), None)
    return Recognised(provider=provider, rule=rule or _by_port(host))


def _by_port(host: Host) -> Rule | None:
    whose = POOLER_PORTS.get(host.port)
    return _on_port(host.port, f"that of {whose}") if whose else None


def _on_port(port: int, what: str, direct: int | None = None) -> Rule:
    """Give the rule for a pooler in transaction mode that its port tells of."""
    past = None if direct is None else lambda host: Host(host=host.host, port=direct)
    return Rule(pooler="transaction", why=f"port {port} is {what}", port=port, direct=past)


def _renamed(pattern: str, to: str) -> Direct:
    return lambda host: Host(host=re.sub(pattern, to, host.host, count=1), port=host.port)


def _ends(*domains: str) -> str:
    return rf"(?:^|\.)(?:{'|'.join(map(re.escape, domains))})$"


# Patterns are text: compiling them all would be a tenth of what the import takes. The first that
# fits counts: a Heroku server stands at Amazon, too.
PROVIDERS: tuple[Provider, ...] = (
    Provider(
        name="Neon",
        host=_ends("neon.tech", "neon.build", "postgres.vercel-storage.com"),
        rules=(
            Rule(
                pooler="transaction",
                why="-pooler in the host's name is Neon's PgBouncer",
                host=r"^[^.]+-pooler\.",
                direct=_renamed(r"-pooler\.", "."),
            ),
        ),
        sleeps=True,
    ),
    Provider(
        name="Supabase",
        host=_ends("supabase.co", "supabase.com", "supabase.net"),
        rules=(
            _on_port(6543, "Supabase's pooler in transaction mode", direct=5432),
            Rule(
                pooler="session",
                why="Supabase's pooler is in session mode on port 5432",
                host=r"\.pooler\.supabase\.com$",
            ),
        ),
        sleeps=True,
    ),
    Provider(name="Heroku", host=r"^ec2-[\d-]+\.compute-1\.amazonaws\.com$"),
    Provider(
        name="Amazon Aurora",
        host=r"\.cluster-[^.]+\.[\w-]+\.rds\.amazonaws\.com(?:\.cn)?$",
    ),
    Provider(
        name="Amazon RDS",
        host=_ends("rds.amazonaws.com", "rds.amazonaws.com.cn"),
        rules=(
            Rule(
                pooler="transaction",
                why="proxy- in the host's name is RDS Proxy, which multiplexes transactions",
                host=r"\.proxy-[^.]+\.",
            ),
        ),
    ),
    Provider(name="Google Cloud SQL", host=r"^/cloudsql/"),
    Provider(
        name="Azure",
        host=_ends("postgres.database.azure.com", "postgres.cosmos.azure.com"),
        rules=(_on_port(6432, "Azure's built-in PgBouncer", direct=5432),),
    ),
    Provider(name="Render", host=r"^dpg-[a-z0-9]+-[a-z](?:\.|$)"),
    Provider(
        name="Fly",
        host=r"(?:\.flympg\.net|\.flycast|\.nearest\.of\.[\w-]+\.internal)$",
        rules=(
            Rule(
                pooler="transaction",
                why="pgbouncer in the host's name is Fly's PgBouncer",
                host=r"^pgbouncer\.",
                direct=_renamed("^pgbouncer", "direct"),
            ),
        ),
    ),
    Provider(
        name="DigitalOcean",
        host=_ends("db.ondigitalocean.com"),
        rules=(
            # Its database is called as the pool is: the other one cannot be derived.
            _on_port(25061, "DigitalOcean's PgBouncer"),
        ),
    ),
    Provider(
        name="Crunchy Bridge",
        host=_ends("postgresbridge.com"),
        rules=(_on_port(5431, "Crunchy Bridge's PgBouncer", direct=5432),),
    ),
    Provider(
        name="PlanetScale",
        host=_ends("psdb.cloud"),
        rules=(_on_port(6432, "PlanetScale's PgBouncer", direct=5432),),
    ),
    Provider(name="Railway", host=_ends("proxy.rlwy.net", "railway.app")),
    Provider(name="Aiven", host=_ends("aivencloud.com")),
    Provider(name="Timescale", host=_ends("tsdb.cloud.timescale.com")),
)
