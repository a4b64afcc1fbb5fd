"""What a URL says about TLS, with libpq's meaning of it on both drivers."""

import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from holdfast.errors import ConfigurationError

TlsMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

SYSTEM = "system"
_INSISTING = frozenset({"require", "verify-ca", "verify-full"})
_MEANING: Mapping[str, TlsMode] = {
    # libpq reads ssl=true like this, for what JDBC's users write; asyncpg's users write modes.
    **dict.fromkeys(("true", "on", "yes", "1"), "require"),
    **dict.fromkeys(("false", "off", "no", "0"), "disable"),
}
# Where systems keep their authorities in one file: Debian, Red Hat, SUSE, Alpine and macOS.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a connection is encrypted and whom it trusts.

    Attributes:
        mode: libpq's `sslmode`; None where the URL does not say, which is `PGSSLMODE` or prefer.
        root: file of the authorities that are trusted, or `system`; None for `PGSSLROOTCERT`,
            `~/.postgresql/root.crt` and, for verify-full, the system's.
        certificate: file of the client's own, or None for `PGSSLCERT` and
            `~/.postgresql/postgresql.crt`.
        key: file of its key.
        password: of the key; never shown.
        revoked: file of certificates that are taken back.
        revoked_folder: folder of such.
        minimum: lowest version, such as `TLSv1.2`.
        maximum: highest version.
        direct: begin with TLS at once, which PostgreSQL 17 and newer take.
    """

    mode: TlsMode | None = None
    root: str | None = None
    certificate: str | None = None
    key: str | None = None
    password: str | None = field(default=None, repr=False)
    revoked: str | None = None
    revoked_folder: str | None = None
    minimum: str | None = None
    maximum: str | None = None
    direct: bool = False

    @property
    def insists(self) -> bool:
        """Whether a server without TLS is refused; then files of certificates are looked for."""
        return self.mode in _INSISTING

    def for_asyncpg(self) -> "dict[str, bool | str | ssl.SSLContext]":
        """Give asyncpg's arguments; reads the files of certificates.

        Raises:
            ConfigurationError: a file is missing or cannot be read.
        """
        if self.mode is None:
            return {}
        if not self.insists:
            # As a text: only so does asyncpg fall back to a connection without TLS.
            return {"ssl": False if self.mode == "disable" else self.mode}
        return {"ssl": self._context(), **({"direct_tls": True} if self.direct else {})}

    def for_libpq(self) -> dict[str, str]:
        """Give libpq's parameters; looks where the authorities are.

        Raises:
            ConfigurationError: a file is missing.
        """
        # Elsewhere libpq would check by it, and fall back to no TLS at all where that fails.
        root = self._root() if self.insists else None
        return replace(self, root=_bundle() or SYSTEM if root == SYSTEM else root).keys()

    def keys(self) -> dict[str, str]:
        """Give what a URL says for it, the key's password included; no file is looked for."""
        said = {
            "sslmode": self.mode,
            "sslrootcert": self.root,
            "sslcert": self.certificate,
            "sslkey": self.key,
            "sslpassword": self.password,
            "sslcrl": self.revoked,
            "sslcrldir": self.revoked_folder,
            "ssl_min_protocol_version": self.minimum,
            "ssl_max_protocol_version": self.maximum,
            "sslnegotiation": "direct" if self.direct else None,
        }
        return {key: value for key, value in said.items() if value is not None}

    def _root(self) -> str | None:
        """Find the authorities as libpq does; it has none for verify-full, the system has."""
        named = self.root or os.environ.get("PGSSLROOTCERT")
        if named:
            return named if named == SYSTEM else _existing("sslrootcert", named)
        if (home := _at_home("root.crt")).exists():
            return str(home)
        if self.mode == "verify-ca":
            raise ConfigurationError(
                "database URL: sslmode=verify-ca needs to know whose certificates to trust: "
                "write sslrootcert=FILE, or sslmode=verify-full to trust the system's"
            )
        return SYSTEM if self.mode == "verify-full" else None

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = _version(self.minimum or "TLSv1.2")
        if self.maximum:
            context.maximum_version = _version(self.maximum)
        context.set_alpn_protocols(["postgresql"])
        root = self._root()
        context.check_hostname = self.mode == "verify-full" or root == SYSTEM
        context.verify_mode = ssl.CERT_REQUIRED if root else ssl.CERT_NONE
        if root:
            self._trust(context, root)
        self._identify(context)
        return context

    def _trust(self, context: ssl.SSLContext, root: str) -> None:
        if root == SYSTEM:
            context.load_default_certs()
        if file := _bundle() if root == SYSTEM else root:
            _load(context, "sslrootcert", cafile=file)
        for key, revoked, folder in self._revocations():
            _load(context, key, cafile=revoked, capath=folder)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN

    def _revocations(self) -> Iterator[tuple[str, str | None, str | None]]:
        if file := self.revoked or os.environ.get("PGSSLCRL"):
            yield "sslcrl", _existing("sslcrl", file), None
        if folder := self.revoked_folder or os.environ.get("PGSSLCRLDIR"):
            yield "sslcrldir", None, _existing("sslcrldir", folder)
        if not file and not folder and (home := _at_home("root.crl")).exists():
            yield "sslcrl", str(home), None

    def _identify(self, context: ssl.SSLContext) -> None:
        certificate = self.certificate or os.environ.get("PGSSLCERT")
        home = _at_home("postgresql.crt")
        if not certificate and not home.exists():
            return
        file = _existing("sslcert", certificate or str(home))
        key = self.key or os.environ.get("PGSSLKEY") or str(_at_home("postgresql.key"))
        try:
            # Asked for, so that OpenSSL does not ask at the terminal.
            context.load_cert_chain(file, _existing("sslkey", key), lambda: self.password or "")
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"database URL: the client's certificate {file} and key {key} cannot be used: "
                f"{_reason(error)}"
            ) from None


def read_tls(given: Mapping[str, str]) -> Tls:
    """Give what the keys of a URL say about TLS.

    Raises:
        ConfigurationError: they contradict each other, or libpq would refuse them together.
    """
    mode, root = _mode(given), given.get("sslrootcert")
    direct = given.get("sslnegotiation") == "direct"
    if root == SYSTEM and mode != "verify-full":
        raise ConfigurationError(
            f"database URL: sslrootcert=system with sslmode={mode} would take anybody's "
            "certificate; write sslmode=verify-full"
        )
    if direct and mode not in _INSISTING:
        raise ConfigurationError(
            "database URL: sslnegotiation=direct needs sslmode=require, verify-ca or verify-full"
        )
    _refuse_reversed(given)
    return Tls(
        mode=mode,
        root=root,
        certificate=given.get("sslcert"),
        key=given.get("sslkey"),
        password=given.get("sslpassword"),
        revoked=given.get("sslcrl"),
        revoked_folder=given.get("sslcrldir"),
        minimum=given.get("ssl_min_protocol_version"),
        maximum=given.get("ssl_max_protocol_version"),
        direct=direct,
    )


def refuse_weak(tls: Tls) -> None:
    """Refuse what asyncpg takes only together with a mode that insists on TLS.

    Raises:
        ConfigurationError: it names the key.
    """
    needs = {
        "sslcert": tls.certificate,
        "ssl_min_protocol_version": tls.minimum,
        "ssl_max_protocol_version": tls.maximum,
    }
    for key, value in needs.items():
        if value and tls.mode not in {*_INSISTING, "disable"}:
            raise ConfigurationError(
                f"database URL: {key} with sslmode={tls.mode or 'prefer'} cannot be had with "
                "asyncpg, which would not use it; write sslmode=require or stricter"
            )


def _mode(given: Mapping[str, str]) -> TlsMode | None:
    if "ssl" in given and "sslmode" in given:
        raise ConfigurationError("database URL: it has both ssl and sslmode; keep sslmode")
    if "sslmode" in given:
        return cast("TlsMode", given["sslmode"])
    if "ssl" in given:
        return _MEANING.get(given["ssl"]) or cast("TlsMode", given["ssl"])
    return "verify-full" if given.get("sslrootcert") == SYSTEM else None


def _refuse_reversed(given: Mapping[str, str]) -> None:
    low, high = given.get("ssl_min_protocol_version"), given.get("ssl_max_protocol_version")
    if low and high and low > high:
        raise ConfigurationError(
            f"database URL: ssl_min_protocol_version={low} is above ssl_max_protocol_version={high}"
        )


def _version(name: str) -> ssl.TLSVersion:
    return ssl.TLSVersion[name.replace(".", "_")]


def _at_home(name: str) -> Path:
    return Path(os.path.expanduser("~"), ".postgresql", name)  # noqa: PTH111  -- raises nothing


def _existing(key: str, path: str) -> str:
    if Path(path).exists():
        return path
    raise ConfigurationError(f"database URL: {key} names {path}, which is not there")


def _load(
    context: ssl.SSLContext, key: str, *, cafile: str | None = None, capath: str | None = None
) -> None:
    try:
        context.load_verify_locations(cafile=cafile, capath=capath)
    except OSError as error:
        raise ConfigurationError(
            f"database URL: {key} names {cafile or capath}, which cannot be used: {_reason(error)}"
        ) from None


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or type(error).__name__
    return getattr(error, "strerror", None) or str(error)


def _bundle() -> str | None:
    """Give the system's authorities as one file, for psycopg's wheel knows only its builder's."""
    found = (ssl.get_default_verify_paths().cafile, *_BUNDLES)
    return next((each for each in found if each and Path(each).exists()), None)
