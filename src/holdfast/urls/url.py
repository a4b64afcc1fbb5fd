"""A database's address, ready for an engine, with what was understood of the text."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from holdfast.urls.address import Host
from holdfast.urls.options import write_options
from holdfast.urls.providers import Pooler
from holdfast.urls.tls import Tls

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

Backend = Literal["postgresql", "sqlite"]
TargetSession = Literal["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]

# What PgBouncer takes in a connection's first message. It refuses every other parameter with
# "unsupported startup parameter", in all of its modes.
POOLER_SETTINGS = frozenset(
    {"application_name", "client_encoding", "datestyle", "timezone", "standard_conforming_strings"}
)
# Keys that both drivers have, by the same name.
_SHARED = frozenset({"gsslib", "krbsrvname", "passfile"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that was recognised or changed.

    Attributes:
        what: in a few words, such as `transaction pooler`.
        why: in a sentence, with what follows from it.
    """

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUrl:
    """One database's address, ready for an engine; its text forms never show the password.

    Attributes:
        engine: the URL for `create_async_engine`, password included; of the query, it has the
            hosts only where they are several or a socket, and SQLite's keys.
        backend: the database behind it.
        hosts: in the order given; empty where none is named, and the driver looks at `PGHOST`,
            sockets and localhost.
        tls: how connections are encrypted.
        connect_timeout: seconds; None where neither URL nor provider ask for a certain one.
        target: libpq's `target_session_attrs`; None where the URL does not say.
        balanced: whether hosts are to be tried in a random order (`load_balance_hosts`).
        settings: parameters of the server that the URL asks for.
        route: what a provider's proxy reads in `options`, such as Neon's `endpoint=…`.
        extra: libpq's other keys, as they are; psycopg takes them.
        pooler: the mode of the pooler in front of the server; None without one.
        provider: who runs the server, where the host's name tells.
        findings: what was recognised or changed, and why; without secrets.
        direct: the URL past the pooler, where it was given or can be derived.
    """

    engine: "URL"
    backend: Backend
    hosts: tuple[Host, ...] = ()
    tls: Tls = field(default_factory=Tls)
    connect_timeout: float | None = None
    target: TargetSession | None = None
    balanced: bool = False
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)
    route: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)
    pooler: Pooler | None = None
    provider: str | None = None
    findings: tuple[Finding, ...] = ()
    direct: "DatabaseUrl | None" = None

    @property
    def place(self) -> str:
        """Where it is, for messages: `localhost:5432/shop`, a socket folder or a file."""
        if self.backend == "sqlite":
            return self.engine.database or ":memory:"
        name = self.engine.database or self.engine.username or ""
        return f"{','.join(map(str, self.hosts)) or self._default_host()}/{name}"

    @property
    def takes_settings(self) -> bool:
        """Whether the server's parameters may be sent in a connection's first message.

        A pooler refuses all but `POOLER_SETTINGS`: there they are set LOCAL in each transaction,
        or for the role.
        """
        return self.pooler is None

    def connect_args(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        connect_timeout: float | None = None,
    ) -> dict[str, Any]:
        """Give what `create_async_engine(url.engine, connect_args=…)` takes for its driver.

        It reads the files of certificates: call it where that may happen, not at import.

        Args:
            settings: the caller's own parameters of the server; what the URL says comes first,
                and a pooler gets those only that it takes.
            connect_timeout: seconds, where the URL does not say.

        Raises:
            ConfigurationError: a file of certificates is missing or cannot be read.
        """
        told = self.driver_args(settings=settings, connect_timeout=connect_timeout)
        return told | self.tls_args()

    def driver_args(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        connect_timeout: float | None = None,
    ) -> dict[str, Any]:
        """Give `connect_args` without what TLS needs, for which no file is read."""
        if self.backend == "sqlite":
            return {}
        mixed = {**self._taken(settings or {}), **self.settings}
        timeout = self.connect_timeout or connect_timeout
        return (
            self._psycopg(mixed, timeout) if self._is_psycopg() else self._asyncpg(mixed, timeout)
        )

    def tls_args(self) -> dict[str, Any]:
        """Give what the driver takes for TLS; reads the files of certificates.

        Raises:
            ConfigurationError: a file is missing or cannot be read.
        """
        if self.backend == "sqlite":
            return {}
        return {**(self.tls.for_libpq() if self._is_psycopg() else self.tls.for_asyncpg())}

    def _taken(self, settings: Mapping[str, str]) -> dict[str, str]:
        if self.takes_settings:
            return dict(settings)
        return {key: value for key, value in settings.items() if key.lower() in POOLER_SETTINGS}

    def _is_psycopg(self) -> bool:
        return self.engine.get_driver_name() == "psycopg"

    def _asyncpg(self, settings: dict[str, str], timeout: float | None) -> dict[str, Any]:
        told: dict[str, Any] = {
            "timeout": timeout,
            "server_settings": settings | ({"options": self.route} if self.route else {}),
            "target_session_attrs": self.target,
            **{key: value for key, value in self.extra.items() if key in _SHARED},
        }
        if self.pooler == "transaction":
            # Without names: another client's statement may have the same on the same server.
            told |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
        if self.balanced and len(self.hosts) > 1:
            mixed = random.sample(self.hosts, len(self.hosts))
            told |= {"host": [each.host for each in mixed], "port": [each.port for each in mixed]}
        return {key: value for key, value in told.items() if value not in (None, {})}

    def _psycopg(self, settings: dict[str, str], timeout: float | None) -> dict[str, Any]:
        name = settings.pop("application_name", None)
        told: dict[str, Any] = {
            # In whole seconds, and libpq takes 0 for none.
            "connect_timeout": math.ceil(timeout) if timeout else None,
            "application_name": name,
            "options": write_options(settings, self.route) or None,
            "target_session_attrs": self.target,
            "load_balance_hosts": "random" if self.balanced else None,
            **self.extra,
        }
        told = {key: value for key, value in told.items() if value is not None}
        # None is a value: prepare nothing.
        return told | ({"prepare_threshold": None} if self.pooler == "transaction" else {})

    def _default_host(self) -> str:
        if service := self.extra.get("service"):
            return f"service {service}"
        return f"localhost:{self.engine.port or self.engine.query.get('port') or 5432}"

    def __str__(self) -> str:
        return self.engine.render_as_string(hide_password=True)

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"
