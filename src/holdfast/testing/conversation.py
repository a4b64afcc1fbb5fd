"""One client's connection to the server, with everything that can go wrong with it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from holdfast.testing.armed import COMMIT, Armed, Cut, Failure, strip
from holdfast.testing.wire import (
    SYNC,
    Line,
    Message,
    Start,
    make_error,
    make_execute,
    make_query,
)

# The server says these as FATAL, and hangs up.
_FATAL = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"})
_ENDED = (OSError, asyncio.IncompleteReadError)
_NEVER = -1


@dataclass(slots=True)
class Seen:
    """What passed, of all connections."""

    statements: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Conversation:
    """Passes messages from one side to the other, in both directions.

    A turn is what the server answers with one ReadyForQuery; the first one is the log-in.

    Args:
        client: its end.
        server: its end.
        armed: the faults that wait.
        seen: takes note.
        gate: waits while nothing may pass.
    """

    def __init__(
        self,
        client: Line,
        server: Line,
        armed: Armed,
        seen: Seen,
        gate: Callable[[], Awaitable[object]],
    ) -> None:
        self._client = client
        self._server = server
        self._armed = armed
        self._seen = seen
        self._gate = gate
        self._texts: dict[str, str] = {}  # of prepared statements, by name
        self._portals: dict[str, str] = {}  # texts of what is bound, by name
        self._asked = 1  # turns
        self._ready = 0  # turns
        self._copying = False  # then the server ignores Sync
        self._simple = False  # whether the last turn was a Query
        self._cut_turn = _NEVER  # whose answer nobody gets
        self._errors: dict[bytes, Message] = {}  # by what the server's own error names
        self._made = 0  # of them, so far
        self._commit_turn = _NEVER  # whose COMMIT fails
        self._commit_error: Message | None = None
        self._commit_ended = asyncio.Event()
        self._commit_ended.set()
        self._rolling_back = False
        self._hung_up = False
        self._last_words: Message | None = None
        self._answers: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    async def run(self, start: Start) -> None:
        """Pass everything on until one side hangs up, and hang up on the other."""
        await self._server.write(start.data)
        self._answers = answers = asyncio.create_task(self._pass_answers())
        requests = asyncio.create_task(self._pass_requests())
        try:
            await asyncio.wait({answers, requests}, return_when=asyncio.FIRST_COMPLETED)
            self._server.hang_up()
            await asyncio.wait({answers})
        finally:
            await _end(answers, requests)
            self._over.set()
        if self._last_words:
            await self._client.write(bytes(self._last_words))

    async def cut(self) -> None:
        """End it now; on the server, too, unless that is at work, when it only notices later."""
        self._hang_up()
        if self._answers and self._ready < self._asked:
            self._answers.cancel()
        await self._over.wait()

    def _hang_up(self) -> None:
        """Let the server end its side; the client's is cut when that is done.

        So whoever sees the connection gone finds the transaction ended and its locks free.
        """
        self._hung_up = True
        self._server.hang_up()

    # From the client

    async def _pass_requests(self) -> None:
        with suppress(*_ENDED):
            while not self._hung_up:
                message = await self._client.read()
                await self._gate()
                await self._request(message)

    async def _request(self, message: Message) -> None:
        match message.kind:
            case b"Q":
                await self._statement(message.strings(1)[0], message)
            case b"E":
                await self._statement(self._portals.get(message.strings(1)[0], ""), message)
            case b"H" if self._cut_turn > self._asked:
                await self._forward(SYNC)  # nobody will see the answer: let the server finish
            case _:
                self._note(message)
                await self._forward(message)

    def _note(self, message: Message) -> None:
        """Remember which name stands for which statement, and when COPY ends."""
        match message.kind:
            case b"P":
                name, sql = message.strings(2)
                self._texts[name] = sql
            case b"B":
                portal, name = message.strings(2)
                self._portals[portal] = self._texts.get(name, "")
            case b"c" | b"f":
                self._copying = False

    async def _forward(self, message: Message) -> None:
        if message.kind in {b"Q", b"F"} or (message.kind == b"S" and not self._copying):
            self._asked += 1
            self._simple = message.kind == b"Q"
        await self._client.pass_on(message, self._server)
        if self._asked == self._commit_turn:
            await self._commit_ended.wait()  # or what follows would be done before the ROLLBACK

    async def _statement(self, sql: str, message: Message) -> None:
        sql = strip(sql)
        self._seen.statements.append(sql)
        fault = self._armed.take(sql)
        if fault is None:
            await self._forward(message)
        elif isinstance(fault.what, Failure):
            await self._client.skip(message)
            await self._fail(fault.what, sql, message)
        else:
            await self._cut(fault.what, message)

    async def _cut(self, cut: Cut, message: Message) -> None:
        if not cut.reached:
            self._hang_up()
            return
        self._cut_turn = self._asked + 1
        await self._forward(message)

    async def _fail(self, failure: Failure, sql: str, message: Message) -> None:
        fatal = failure.code in _FATAL
        error = make_error("FATAL" if fatal else "ERROR", failure.code, failure.text)
        if fatal:
            self._last_words = error
            self._hang_up()
            return
        if COMMIT.match(sql):
            self._commit_turn = self._asked + 1
            self._commit_ended.clear()
            self._commit_error = error
        await self._forward(self._make_failing(error, message))

    def _make_failing(self, error: Message, message: Message) -> Message:
        """Make a message that the server refuses in any transaction, in place of another one.

        The server itself fails so, and its transaction is in the state that it reports.
        """
        self._made += 1
        name = f"holdfast_fault_{self._made}"
        self._errors[f'"{name}"'.encode()] = error
        return make_query(name) if message.kind == b"Q" else make_execute(name)

    # From the server

    async def _pass_answers(self) -> None:
        with suppress(*_ENDED):
            while True:
                message = await self._server.read()
                await self._gate()
                await self._answer(message)

    async def _answer(self, message: Message) -> None:
        turn = self._ready + 1
        if message.kind == b"Z":
            self._ready = turn
        if message.kind == b"G":
            self._begin_copy()
        if self._hung_up or (turn == self._cut_turn and message.kind != b"G"):
            await self._withhold(message)
        elif turn == self._commit_turn and message.kind == b"Z":
            await self._end_commit(message)
        elif not (self._rolling_back and message.kind == b"C"):
            await self._hand_back(message)

    def _begin_copy(self) -> None:
        self._copying = True
        if not self._simple and self._asked > self._ready:
            self._asked -= 1  # a Sync that was sent ahead, which the server ignores

    async def _withhold(self, message: Message) -> None:
        await self._server.skip(message)
        if self._ready == self._cut_turn:
            self._hang_up()

    async def _end_commit(self, ready: Message) -> None:
        """End the transaction, as a COMMIT that fails does, where it is still open."""
        skipped = any(each is self._commit_error for each in self._errors.values())
        if ready.head == b"E" and not self._rolling_back and not skipped:
            self._rolling_back = True
            self._asked += 1
            self._commit_turn = self._asked
            await self._server.write(bytes(make_query("ROLLBACK")))
            return
        self._rolling_back = False
        self._commit_turn = _NEVER
        await self._hand_back(ready)
        self._commit_ended.set()

    async def _hand_back(self, message: Message) -> None:
        if message.kind == b"Z":
            self._seen.counts["round trips"] += 1
        if message.kind == b"E":
            message = self._replace(message)
        await self._server.pass_on(message, self._client)

    def _replace(self, error: Message) -> Message:
        """Give the error that was asked for in place of the one that the server was brought to."""
        name = next((each for each in self._errors if each in error.head), None)
        return error if name is None else self._errors.pop(name)


async def _end(*tasks: "asyncio.Task[None]") -> None:
    """Cancel what still goes on, and let out what went wrong."""
    for each in tasks:
        each.cancel()
    await asyncio.wait(tasks)
    for each in tasks:
        if not each.cancelled():
            each.result()
