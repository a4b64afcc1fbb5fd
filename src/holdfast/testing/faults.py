"""Faults for tests, at the statement that they are meant for: no clock and no chance.

    def test_…(faults):               # with pytest; elsewhere `with Faults(url) as faults:`
        faults.fail_next("40001")     # the next statement is answered with this error
        faults.cut_commit()           # the next COMMIT is done, and its answer lost

What is between the code under test and PostgreSQL listens in a thread of its own.
"""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast.errors import ConfigurationError
from holdfast.testing.armed import COMMIT, TRANSACTION, Cut, Failure, Fault, begins_with, is_counted
from holdfast.testing.certificates import Certificates
from holdfast.testing.front import HOST, Front, Place
from holdfast.urls import Host, parse

__all__ = ["Faults", "TlsFront"]

_SQLSTATE = re.compile(r"(?!00|01|02)[0-9A-Z]{5}")
_TLS_KEYS = ("ssl", "sslmode", "sslrootcert", "channel_binding")


class Faults:
    """Stands in front of a database, and lets go wrong what a test asks for.

        with Faults(clone.app) as faults:
            async with Database(faults.url) as db:
                faults.fail_next("40001", at="UPDATE")
                ...

    A fault waits for its statement on whichever connection that comes. Statements are what a
    client sends to be done, prepared or not; the words of transactions (BEGIN, COMMIT,
    SAVEPOINT, …) and empty ones are counted only where `at` names them.

    Args:
        url: of the database behind, in PostgreSQL. The server is spoken to without TLS.

    Raises:
        ConfigurationError: it is no such URL.
    """

    def __init__(self, url: str) -> None:
        self._given = url
        self._place = _find(url)
        self._front: Front | None = None

    def open(self) -> None:
        """Begin to listen."""
        if self._front is None:
            front = self._make_front()
            front.start()
            self._front = front

    def close(self) -> None:
        """Cut all connections and stop listening."""
        front, self._front = self._front, None
        if front is not None:
            front.stop()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _traceback: TracebackType | None
    ) -> None:
        unused = self.unused
        self.close()
        if unused and kind is None:
            raise AssertionError(describe_unused(unused))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    @property
    def url(self) -> str:
        """The URL of the same database, by this way."""
        scheme, _, _ = self._given.strip().partition("://")
        given = parse(self._given).engine
        address = given.difference_update_query(["host", "port", *_TLS_KEYS])
        address = address.set(drivername=scheme, host=HOST, port=self._running.port)
        return address.render_as_string(hide_password=False)

    def fail_next(
        self,
        sqlstate: str,
        *,
        at: str | None = None,
        after: int = 0,
        times: int = 1,
        message: str | None = None,
    ) -> None:
        """Answer the next statement with an error; the server never sees it.

        The server's transaction is in the state that such an error leaves it in: failed, or ended
        where the statement is COMMIT. An SQLSTATE that a server says good-bye with, such as 57P01,
        ends the connection.

        Args:
            sqlstate: five characters, of PostgreSQL's appendix A.
            at: words that the statement begins with.
            after: how many statements pass before.
            times: how many statements fail.
            message: of the error.

        Raises:
            ConfigurationError: there is no such SQLSTATE, or a number is negative.
        """
        _require_sqlstate(sqlstate)
        call = _name("fail_next", sqlstate, at=at, after=after)
        failure = Failure(code=sqlstate, text=message or f"{call} of holdfast.testing.faults")
        if times < 1:
            raise ConfigurationError(f"{call}: `times` is {times}; it is 1 or more")
        for _ in range(times):
            self._arm(call, failure, at, after)

    def drop_connection(
        self, *, at: str | None = None, after: int = 0, reached: bool = False
    ) -> None:
        """Cut the connection on which the next statement comes.

        Args:
            at: words that the statement begins with.
            after: how many statements pass before.
            reached: whether the server does the statement, so that only its answer is lost.

        Raises:
            ConfigurationError: a number is negative.
        """
        call = _name("drop_connection", at=at, after=after, reached=reached)
        self._arm(call, Cut(reached=reached), at, after)

    def cut_commit(self, *, after: int = 0, reached: bool = True) -> None:
        """Cut the connection at the next COMMIT: its answer never arrives.

        Args:
            after: how many COMMITs pass before.
            reached: whether the server does it. If not, the transaction is rolled back.

        Raises:
            ConfigurationError: a number is negative.
        """
        call = _name("cut_commit", after=after, reached=reached)
        self._arm(call, Cut(reached=reached), COMMIT, after)

    def drop_all(self) -> None:
        """Cut all connections that are open now."""
        self._running.do(self._running.cut)

    def pause_server(self) -> AbstractContextManager[object]:
        """Let nothing pass from now on, in either direction; connections stay open.

        It goes on at the end of a `with` block, or at `heal()`.
        """
        self._running.do(self._running.pause)
        block = ExitStack()
        block.callback(self.heal)
        return block

    def refuse(self, sqlstate: str | None = None, *, message: str | None = None) -> None:
        """Let in no new connections until `heal()`.

        Args:
            sqlstate: that each is answered with, such as 53300. Without one nothing listens.
            message: of the error; of one at log-in psycopg gives the program nothing else.

        Raises:
            ConfigurationError: there is no such SQLSTATE, or there is a message without one.
        """
        if sqlstate is None:
            if message is not None:
                raise ConfigurationError("refuse(): `message` is that of an SQLSTATE: give both")
            self._running.do(self._running.refuse, None)
            return
        _require_sqlstate(sqlstate)
        text = message or "refuse() of holdfast.testing.faults"
        self._running.do(self._running.refuse, Failure(code=sqlstate, text=text))

    def heal(self) -> None:
        """Take back `pause_server()` and `refuse()`."""
        self._running.do(self._running.heal)

    def clear(self) -> None:
        """Forget what was seen so far."""
        self._running.seen.statements.clear()
        self._running.seen.counts.clear()

    @property
    def statements(self) -> list[str]:
        """What clients sent to be done, in order, without the words of transactions."""
        return [*filter(is_counted, self._running.seen.statements)]

    @property
    def transactions(self) -> list[str]:
        """The words that began and ended transactions, and savepoints, in order: BEGIN, COMMIT."""
        found = map(TRANSACTION.match, self._running.seen.statements)
        return [match[1].upper() for match in found if match]

    @property
    def round_trips(self) -> int:
        """How often a server said that it is ready for the next query."""
        return self._running.seen.counts["round trips"]

    @property
    def connections(self) -> int:
        """How many connections were asked for."""
        return self._running.seen.counts["connections"]

    @property
    def cancels(self) -> int:
        """How often the server was asked to cancel a statement."""
        return self._running.seen.counts["cancels"]

    @property
    def unused(self) -> list[str]:
        """The faults that still wait for their statement, as they were asked for."""
        return list(self._front.armed.calls) if self._front else []

    @property
    def _running(self) -> Front:
        if self._front is None:
            raise _not_open()
        return self._front

    def _make_front(self) -> Front:
        return Front(self._place)

    def _arm(
        self, call: str, what: Cut | Failure, at: str | re.Pattern[str] | None, after: int
    ) -> None:
        if after < 0:
            raise ConfigurationError(f"{call}: `after` is {after}; it is 0 or more")
        if isinstance(at, str) and not at.strip():
            raise ConfigurationError(f"{call}: `at` is empty; it has the words that begin it")
        pattern = begins_with(at) if isinstance(at, str) else at
        self._running.armed.add(Fault(call=call, what=what, at=pattern, after=after))


class TlsFront(Faults):
    """Stands in front of a database and speaks TLS, with a certificate of its own authority.

        with TlsFront(clone.app) as front:
            psycopg.connect(f"{front.url}?sslmode=verify-full&sslrootcert={front.authority}")

    A client without TLS is turned away, as hosters do. All that `Faults` can do is there, too.

    Args:
        url: of the database behind, in PostgreSQL.
        names: hosts and addresses that the certificate is for.
        expired: whether it was valid until yesterday.

    Raises:
        ConfigurationError: it is no such URL.
    """

    def __init__(
        self, url: str, *, names: Sequence[str] = ("localhost", HOST), expired: bool = False
    ) -> None:
        super().__init__(url)
        self._names = names
        self._expired = expired
        self._certificates: Certificates | None = None

    def open(self) -> None:
        """Make the certificate and begin to listen.

        Raises:
            MissingExtraError: trustme is not installed.
        """
        if self._certificates is None:
            self._certificates = Certificates(self._names, expired=self._expired)
            super().open()

    def close(self) -> None:
        """Cut all connections, stop listening and remove the files."""
        super().close()
        if self._certificates is not None:
            self._certificates.remove()
            self._certificates = None

    @property
    def authority(self) -> Path:
        """The file of the authority that signed the certificate, to be trusted by clients."""
        return self._made.authority

    @property
    def stranger(self) -> Path:
        """The file of an authority that did not."""
        return self._made.stranger

    @property
    def _made(self) -> Certificates:
        if self._certificates is None:
            raise _not_open()
        return self._certificates

    def _make_front(self) -> Front:
        return Front(self._place, self._made.context)


def describe_unused(calls: list[str]) -> str:
    """Say which faults nobody met."""
    return (
        f"never happened: {', '.join(calls)}; no such statement came, so nothing was tested: "
        "arm it before the statement, use `faults.url`, and look at `faults.statements`"
    )


def _not_open() -> ConfigurationError:
    return ConfigurationError("these faults are not open: use `with Faults(url) as faults:`")


def _require_sqlstate(code: str) -> None:
    if not _SQLSTATE.fullmatch(code):
        raise ConfigurationError(
            f"{code!r} is not the SQLSTATE of an error: that is five digits and capital letters, "
            "such as 40001, and does not begin with 00, 01 or 02"
        )


def _name(method: str, *args: object, **options: object) -> str:
    named = [f"{key}={value!r}" for key, value in options.items() if value not in (None, 0)]
    return f"{method}({', '.join([*map(repr, args), *named])})"


def _find(url: str) -> Place:
    parsed = parse(url)
    if parsed.backend != "postgresql":
        raise ConfigurationError("faults stand in front of PostgreSQL; a SQLite file has no server")
    if parsed.tls.insists:
        raise ConfigurationError("faults speak to the server without TLS, which the URL demands")
    if len(parsed.hosts) > 1:
        raise ConfigurationError("faults stand in front of one server; the URL names several")
    host = parsed.hosts[0] if parsed.hosts else Host(host="localhost", port=5432)
    return Place(host=host.host, port=host.port)
