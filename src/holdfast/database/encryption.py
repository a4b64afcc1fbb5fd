"""Look at a connection from the client's side: where it leads, and how it is encrypted."""

import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Literal

from holdfast.events import Check
from holdfast.urls import DatabaseUrl

Verified = Literal["host", "authority", "binding", ""]

_SAID = {
    "host": "the server's certificate is checked, and that it is for this host",
    "authority": "the server's certificate is checked, but not for which host it is",
    "binding": "channel binding proves that the server knows the password",
    "": "nobody checks whose server it is",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A connection as it is.

    Attributes:
        place: the other end: an address or `a unix socket`.
        here: whether that is this machine.
        encrypted: whether it has TLS.
        details: version and cipher, where the driver tells.
        verified: what is proved about the server: its `host` name, the `authority` that signed
            its certificate, by channel `binding` that it knows the password, or nothing.
        pid: of the server's process, as the server told it when the connection began.
    """

    place: str
    here: bool
    encrypted: bool
    details: str
    verified: Verified
    pid: int


def look_at(driver: Any, name: str) -> Wire:
    """Give what a driver's connection knows of itself; nothing is sent.

    Args:
        driver: the connection of asyncpg or psycopg.
        name: which of them.
    """
    return _psycopg(driver) if name == "psycopg" else _asyncpg(driver)


def check_tls(wire: Wire, url: DatabaseUrl, *, details: str) -> Check:
    """Judge a connection's encryption.

    Args:
        wire: the connection.
        url: says what was asked for.
        details: version and cipher by the server's account, where the driver does not tell.
    """
    if not wire.encrypted:
        return _unencrypted(wire)
    told = wire.details or details
    said = f"{told or 'TLS'} to {wire.place}; {_SAID[wire.verified]}"
    if wire.verified and root(url):
        said += f"; trusted: {root(url)}"
    if wire.verified or wire.here:
        return Check(name="tls", said=said)
    return _unverified(said, url)


def root(url: DatabaseUrl) -> str:
    """Name the file of the authorities that are trusted, empty where none are asked."""
    return url.tls.for_libpq().get("sslrootcert", "")


def is_here(connected: socket.socket) -> bool:
    """Tell whether the other end is on this machine."""
    if connected.family == socket.AF_UNIX:
        return True
    peer, own = (str(end[0]) for end in (connected.getpeername(), connected.getsockname()))
    # A machine talks to an address of its own from that address.
    return peer == own or ipaddress.ip_address(peer.partition("%")[0]).is_loopback


def _unencrypted(wire: Wire) -> Check:
    if wire.here:
        return Check(name="tls", said=f"none; {wire.place} is on this machine")
    return Check(
        name="tls",
        said=f"none: what is sent to {wire.place} can be read and changed on the way",
        state="failed",
        advice="write sslmode=verify-full in the URL, or sslmode=require where the server's "
        "certificate cannot be checked; a server that has no TLS needs `ssl = on`",
    )


def _unverified(said: str, url: DatabaseUrl) -> Check:
    advice = (
        "write sslmode=verify-full in the URL, with sslrootcert=FILE of the provider's authority "
        "where the system does not know it"
    )
    if not url.tls.insists:
        said += (
            f", and sslmode={url.tls.mode or 'prefer'} goes on without TLS where that is refused"
        )
        return Check(name="tls", said=said, state="failed", advice=advice)
    return Check(name="tls", said=said, state="warning", advice=advice)


def _asyncpg(driver: Any) -> Wire:
    transport = driver._transport  # noqa: SLF001  -- it tells nobody about its encryption
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    connected: socket.socket = transport.get_extra_info("socket")
    return Wire(
        place=_place(connected),
        here=is_here(connected),
        encrypted=tls is not None,
        details=f"{tls.version()}, {(tls.cipher() or ['?'])[0]}" if tls else "",
        verified=_verified(tls.context) if tls else "",
        pid=driver.get_server_pid(),
    )


def _verified(context: ssl.SSLContext) -> Verified:
    if context.verify_mode is not ssl.CERT_REQUIRED:
        return ""
    return "host" if context.check_hostname else "authority"


def _psycopg(driver: Any) -> Wire:
    link = driver.pgconn
    with socket.socket(fileno=os.dup(link.socket)) as connected:
        place, here = _place(connected), is_here(connected)
    told = {each.keyword: each.val for each in link.info if each.val is not None}
    return Wire(
        place=place,
        here=here,
        encrypted=bool(link.ssl_in_use),
        details="",
        verified=_verified_by_libpq(told) if link.ssl_in_use else "",
        pid=link.backend_pid,
    )


def _verified_by_libpq(told: dict[bytes, bytes]) -> Verified:
    mode = told.get(b"sslmode")
    if mode == b"verify-full":
        return "host"
    # With a file of authorities, libpq reads require as verify-ca.
    if mode == b"verify-ca" or (mode == b"require" and told.get(b"sslrootcert")):
        return "authority"
    return "binding" if told.get(b"channel_binding") == b"require" else ""


def _place(connected: socket.socket) -> str:
    if connected.family == socket.AF_UNIX:
        return "a unix socket"
    host, port = connected.getpeername()[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
