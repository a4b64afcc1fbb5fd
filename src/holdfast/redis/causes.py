"""Say why a Redis did not answer, in one sentence that tells what to do."""

import socket
import ssl

# redis-py's own errors have the system's as their context.
_BY_KIND = (
    (ConnectionRefusedError, "the connection was refused; nothing listens there: is it started?"),
    (FileNotFoundError, "there is no socket there: is the server started?"),
    (socket.gaierror, "the host name is unknown: is it spelled right, does DNS answer?"),
    (ssl.SSLError, "TLS failed: {said}; write redis:// where the server has none"),
)
_BY_NAME = {
    "AuthenticationError": "it refused the user or the password of the URL: {said}",
    "InvalidResponse": "what answers there does not speak Redis: is the port right?",
    "TimeoutError": "no answer in time: a firewall, a wrong address, a server that is busy, or "
    "rediss:// where it speaks no TLS",
}
_WITHOUT_PASSWORD = ("Authentication required", "HELLO must be called with the client already")
_NO_PASSWORD = "it wants a password, and the URL has none: redis://:PASSWORD@HOST:6379/0"  # noqa: S105
_CLOSED = "Connection closed by server"
_HUNG_UP = (
    "the connection was closed before an answer: it is stopping, has too many clients, wants TLS "
    "(rediss://), or is no Redis"
)


def explain(error: BaseException) -> str:
    """Say what it means, with the server's own words where they say it."""
    said = " ".join(str(error).split()) or type(error).__name__
    for each in (error, error.__cause__, error.__context__):
        for kind, text in _BY_KIND:
            if isinstance(each, kind):
                return text.format(said=said)
    if said.startswith(_WITHOUT_PASSWORD):
        return _NO_PASSWORD
    if said.startswith(_CLOSED):
        return _HUNG_UP
    return _BY_NAME.get(type(error).__name__, "{said}").format(said=said)
