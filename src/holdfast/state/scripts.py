"""The store's Lua scripts, run by their hash in one round trip."""

import asyncio
import hashlib
import re
import socket
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    MaxConnectionsError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from holdfast.errors import ConfigurationError, OutcomeUnknownError, StoreUnavailableError
from holdfast.state.pipelining import TOO_LATE, Command, Pipelines

Client = Redis | RedisCluster
# The codes of errors by which a server says that it did nothing, and may do it later.
_PASSING = frozenset(
    {"ASK", "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "MOVED", "NOAUTH"}
    | {"NOREPLICAS", "OOM", "READONLY", "TRYAGAIN", "WRONGPASS"}
)
# Said of a command, while connecting too, and of one in a script; the last before Redis 7.
_NO_RIGHT = (
    *("has no permissions", "ACL failure", "user executing the script can't"),
    *("unknown command", "Unknown Redis command"),  # renamed, or not of this server
)
_OF_A_SCRIPT = re.compile(r".*@user_script: ?\d+: -?")  # before an error's code, in Redis 6
_NO_CLUSTER = "Cluster mode is not enabled"  # redis-py, of whatever CLUSTER SLOTS refuses
_LOST = (RedisConnectionError, RedisTimeoutError)
# What stands behind redis-py's errors, and begins their texts, when nothing was sent yet.
_NOT_SENT = (ConnectionRefusedError, FileNotFoundError, socket.gaierror)
_NOT_CONNECTED = ("No connection available", "Error connecting", "Timeout connecting")
RIGHTS: Final = (
    "~<prefix>* ~holdfast:state:* +eval +evalsha +info +time +exists +del +pexpire +@hash "
    "+@sortedset +select, in a cluster +cluster|slots +command, and to be looked at +scan +get "
    "+incrby +expire"
)


class Call(msgspec.Struct, frozen=True):
    """One call of a script.

    Attributes:
        name: of its file.
        keys: all of one slot.
        values: after them.
        changes: it may have changed something when its answer is lost.
        size: bytes of states in it.
        several: for how many keys it does what the script does for one; see several.lua.
    """

    name: str
    keys: tuple[str, ...]
    values: tuple[str | bytes | int, ...] = ()
    changes: bool = True
    size: int = 0
    several: int = 0


class Scripts:
    """Runs scripts, each within a time limit, and never twice.

    Args:
        client: of redis-py, which does not send again by itself.
        timeout: seconds for an answer.
    """

    def __init__(self, client: Client, timeout: float) -> None:
        self.client = client
        self._timeout = timeout
        self._pipelines: Pipelines | None = None
        self._turns: asyncio.Semaphore | None = None  # where there are no pipelines
        self._loop: asyncio.AbstractEventLoop | None = None  # of either

    async def run(self, call: Call) -> Any:
        """Run one.

        Raises:
            OutcomeUnknownError: no answer, and it may have changed something.
            StoreUnavailableError: no answer, and it has not.
        """
        source, digest = _script(call.name, several=call.several > 0)
        answer = await self._send("EVALSHA", digest, call)
        if isinstance(answer, NoScriptError):  # it was not run
            answer = await self._send("EVAL", source, call)
        if isinstance(answer, Exception):
            raise explain_redis(answer, changes=call.changes) from answer
        return answer

    async def run_all(self, calls: Sequence[Call]) -> "list[Any]":
        """Run several at once; an answer for each key, or an error in its place."""
        told = await asyncio.gather(*map(self.run, calls), return_exceptions=True)
        answers: list[Any] = []
        for call, answer in zip(calls, told, strict=True):
            answers += _split(call, answer)
        return answers

    async def close(self) -> None:
        """Wait for the answers to what was sent."""
        if self._pipelines and self._loop is asyncio.get_running_loop():
            await self._pipelines.close()

    async def _send(self, command: str, script: str, call: Call) -> Any:
        given: Command = (command, script, len(call.keys), *call.keys, *call.values)
        if isinstance(self.client, RedisCluster):
            return await self._send_to_cluster(self.client, given)
        loop = asyncio.get_running_loop()
        if self._pipelines is None or self._loop is not loop:
            self._pipelines, self._loop = Pipelines(self.client, self._timeout), loop
        return await self._pipelines.send(given, call.size)

    async def _send_to_cluster(self, client: RedisCluster, command: Command) -> Any:
        """Send a command alone, since the client finds out which server has its key.

        A pool of redis-py gives a connection to who comes back at once before those who wait: a
        writer behind fifty tasks that save would never have one. Before Python 3.12
        `asyncio.wait_for`, with which redis-py sends, may swallow a cancellation.
        """
        loop = asyncio.get_running_loop()
        if self._turns is None or self._loop is not loop:
            most = int(client.connection_kwargs["max_connections"])  # for each node
            self._turns, self._loop = asyncio.Semaphore(most), loop
        task = asyncio.current_task()
        assert task, "it is awaited"
        before, sent = task.cancelling(), False
        try:
            async with asyncio.timeout(self._timeout), self._turns:
                sent = True
                answer = await client.execute_command(*command)
        except (RedisError, OSError) as error:
            return error if sent else StoreUnavailableError(TOO_LATE)
        if task.cancelling() > before:
            raise asyncio.CancelledError
        return answer


def _split(call: Call, answer: Any) -> "list[Any]":
    """Give the answers of a call's keys."""
    if not call.several:
        return [answer]
    if isinstance(answer, Exception):
        return [answer] * call.several
    return [
        explain_redis(ResponseError(each[1].decode()), changes=call.changes)
        if len(each) > 1
        else each[0]
        for each in answer
    ]


@cache
def _script(name: str, *, several: bool = False) -> tuple[str, str]:
    folder = files("holdfast.state")
    incarnation, one, each_of_several = (
        folder.joinpath(f"{each}.lua").read_text() for each in ("incarnation", name, "several")
    )
    if several:
        one = f"local function one(KEYS, ARGV)\n{one}\nend\n{each_of_several}"
    source = f"{incarnation}\n{one}"
    return source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


def explain_redis(error: Exception, *, changes: bool) -> Exception:
    """Say what an error means for what was asked."""
    if isinstance(error, StoreUnavailableError):  # it was not sent
        return error
    said = " ".join(str(error).split()) or "no answer in time"
    said, inside = _OF_A_SCRIPT.subn("", said)
    code = (not inside and getattr(error, "status_code", None)) or said.partition(" ")[0]
    if wrong := _find_wrong(said):
        return ConfigurationError(f"Redis: {wrong}")
    if isinstance(error, ResponseError) or code in _PASSING:  # the server said so
        return _explain_answer(error, code, said)
    if not isinstance(error, (*_LOST, OSError)):
        return error
    if changes and _was_sent(error, said):
        return OutcomeUnknownError(f"Redis gave no answer: {said}")
    return StoreUnavailableError(f"Redis: {said.removesuffix('.')}; nothing was done")


def _find_wrong(said: str) -> str:
    """Say how rights or client have to be changed; nothing where they are right."""
    if any(each in said for each in _NO_RIGHT):
        return f"a command is not allowed here ({said}); what a store needs: {RIGHTS}"
    if _NO_CLUSTER in said:
        return (
            "the client is that of a cluster, and the server is in none, or its user may not ask "
            "for CLUSTER SLOTS; make the client by redis.client, with redis:// in place of "
            "redis+cluster://, or give the user +cluster|slots"
        )
    return ""


def _explain_answer(error: Exception, code: str, said: str) -> Exception:
    if code in _PASSING:
        said = said.removeprefix(f"{code} ").removesuffix(".")
        if code in {"NOAUTH", "WRONGPASS"}:
            said += " (look at the user and the password of its URL)"
        return StoreUnavailableError(f"Redis: {code} {said}; nothing was done")
    if code == "WRONGTYPE":
        return ConfigurationError(
            f"Redis: a key of the store holds something else ({said}); each store has a prefix "
            "of its own"
        )
    return error


def _was_sent(error: Exception, said: str) -> bool:
    if isinstance(error, MaxConnectionsError) or said.startswith(_NOT_CONNECTED):
        return False
    causes = (error, error.__cause__, error.__context__)
    return not any(isinstance(each, _NOT_SENT) for each in causes)
