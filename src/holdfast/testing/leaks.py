"""What a test leaves behind, and the lines that it comes from."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import greenlet_spawn

from holdfast.pool import Caller, find_caller, is_library

_SHOWN = 10  # keys in a message


class Checkouts:
    """Who has connections of an engine's pool at the moment, by the line that took each.

    A connection is kept until it is given back or forgotten: Python's garbage collector would take
    one that leaked away at any moment, and SQLAlchemy's warning of that may hit another test.
    """

    def __init__(self, engine: Engine) -> None:
        self._taken: dict[ConnectionPoolEntry, tuple[Caller, object]] = {}
        event.listen(engine, "checkout", self._check_out)
        event.listen(engine, "checkin", self._check_in)

    @property
    def callers(self) -> Sequence[Caller]:
        """The lines, the oldest first."""
        return tuple(caller for caller, _ in self._taken.values())

    def forget(self) -> None:
        """Begin anew: what is taken is nobody's business any more."""
        entry: Any
        for entry in self._taken:
            entry.fairy_ref = None  # or SQLAlchemy would warn in the middle of a later test
        self._taken.clear()

    async def close(self) -> None:
        """Close what is taken, or a driver would warn when it is collected, and forget it."""
        entries = tuple(self._taken)
        self.forget()
        for entry in entries:
            await greenlet_spawn(entry.invalidate)  # which does not wait for a statement

    def _check_out(self, _connection: object, entry: ConnectionPoolEntry, proxy: object) -> None:
        self._taken[entry] = find_caller(), proxy

    def _check_in(self, _connection: object, entry: ConnectionPoolEntry) -> None:
        self._taken.pop(entry, None)


def describe_connections(callers: Sequence[Caller]) -> str:
    """Say which connections are still in use."""
    taken = ", ".join(map(str, callers))
    return (
        f"{len(callers)} connection(s) still in use at the end of the test, taken at {taken}: "
        "close the session or connection there, best with `async with`"
    )


def describe_tasks(tasks: Iterable["asyncio.Task[Any]"]) -> str:
    """Say which tasks are pending, what they run and where they wait."""
    return "\n".join(
        f"a task is still pending at the end of the test: {task.get_name()} runs "
        f"{_place(task)}; await it, or cancel it and await that"
        for task in tasks
    )


def pending(loop: asyncio.AbstractEventLoop | None) -> "set[asyncio.Task[Any]]":
    """Give the tasks of a loop that run somebody's code, not a library's alone."""
    if loop is None or loop.is_closed():
        return set()
    return {task for task in asyncio.all_tasks(loop) if _own_coroutine(task) is not None}


def describe_keys(names: Sequence[str]) -> str:
    """Say which keys of Redis were left."""
    shown = ", ".join([*names[:_SHOWN], *("…" for _ in names[_SHOWN : _SHOWN + 1])])
    return (
        f"{len(names)} key(s) of Redis left that never expire: {shown}; give them a time to live, "
        "delete them, name their pattern in `redis_keys` of [tool.holdfast], or mark the test "
        "@pytest.mark.holdfast(leaks=False)"
    )


def _own_coroutine(task: "asyncio.Task[Any]") -> Any:
    """Give the outermost coroutine that is somebody's: `db.run(work)` runs theirs."""
    coroutine: Any = task.get_coro()
    while hasattr(coroutine, "cr_code"):
        if not is_library(coroutine.cr_code.co_filename):
            return coroutine
        coroutine = coroutine.cr_await
    return None


def _place(task: "asyncio.Task[Any]") -> str:
    coroutine = _own_coroutine(task)
    code, frame = coroutine.cr_code, coroutine.cr_frame
    waits = f", at line {frame.f_lineno}" if frame else ""
    return f"{code.co_qualname} of {code.co_filename}{waits}"
