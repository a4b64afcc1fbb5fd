"""What a proof is, and how it is run and shown.

A proof is a module `proofs/<name>.py` with a constant `PROOF`: the same thing done on the plain
stack, on its nearest peer and on Holdfast, each on real servers, each as its documentation says.
It also runs alone: `python -m proofs.<name>`.
"""

import argparse
import asyncio
import logging
import os
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any, Self, TypeVar
from unittest import SkipTest

from holdfast.errors import HoldfastError
from holdfast.services import PostgresPolicy, PostgresServer, RedisServer

T = TypeVar("T")

WIDTH = 98  # columns of the output
REQUIRE_ALL = "HOLDFAST_REQUIRE_ALL"  # 1 lets nothing be left out


class NotHereError(SkipTest):
    """A proof, or a test, cannot be done on this machine; the text says what to install."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Real servers that were started for this run; nothing else is in them.

    Attributes:
        postgres: a PostgreSQL whose `url(…)` names each role.
        redis: a Redis.
        quick: do a small form of the proof, which shows the same thing.
    """

    postgres: PostgresServer
    redis: RedisServer
    quick: bool
    _made: dict[Any, Any] = field(default_factory=dict, repr=False)
    _ending: AsyncExitStack = field(default_factory=AsyncExitStack, repr=False)

    async def once(self, make: Callable[[], AbstractAsyncContextManager[T]]) -> T:
        """Give what the sides of a proof share, such as a server of its own kind.

        The first side that asks has it made; it ends with the proof.
        """
        if make not in self._made:
            self._made[make] = await self._ending.enter_async_context(make())
        made: T = self._made[make]
        return made

    @asynccontextmanager
    async def for_one_proof(self) -> AsyncIterator[Self]:
        """Give the same servers, and end what was made beside them."""
        async with AsyncExitStack() as ending:
            yield replace(self, _made={}, _ending=ending)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it went on one side.

    Attributes:
        said: what the program was told.
        true: what the server says afterwards.
        kept: whether the promise was kept.
    """

    said: str
    true: str
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One stack: the distributions that it is made of, and the same deed done with them.

    `run` sets up what it needs, and leaves the servers as it found them. `way` tells sides of one
    stack from each other.
    """

    packages: Sequence[str]
    run: Callable[[Servers], Awaitable[Outcome]]
    way: str = ""

    @property
    def title(self) -> str:
        """The packages with their versions, after the way that they are used."""
        stack = " + ".join(f"{package} {version(package)}" for package in self.packages)
        return f"{self.way}, {stack}" if self.way else stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One promise of docs/design.md, shown broken on the plain stack and kept on Holdfast.

    Attributes:
        promise: its number.
        title: what breaks, in a line.
        deed: what each side does, in a sentence or two.
        plain: the stack without Holdfast; it must break the promise for the proof to hold.
        peers: the nearest alternatives; one that keeps the promise is shown as keeping it.
        holdfast: our side; it must keep the promise.
    """

    promise: int
    title: str
    deed: str
    plain: Side
    peers: Sequence[Side] = ()
    holdfast: Side


def main(proofs: Sequence[Proof]) -> int:
    """Run the proofs on fresh servers, print them side by side, return the exit code."""
    parser = argparse.ArgumentParser(description="Show each promise broken and kept.")
    parser.add_argument("--quick", action="store_true", help="the short form of each proof")
    options = parser.parse_args()
    logging.getLogger().addHandler(logging.NullHandler())  # what counts is printed
    try:
        ends = asyncio.run(_run_all(proofs, quick=options.quick))
    except HoldfastError as error:
        print(f"proofs: no servers to run them on: {error}", file=sys.stderr)
        return 1
    for proof, end in zip(proofs, ends, strict=True):
        if end is False:
            print(f"proofs: did not hold: {proof.title}")
    held, left_out = ends.count(True), ends.count(None)
    print(f"proofs: {held} of {len(proofs)} held{f', {left_out} left out' if left_out else ''}")
    required = len(proofs) if os.environ.get(REQUIRE_ALL) == "1" else len(proofs) - left_out
    return 0 if held == required else 1


async def run(proof: Proof, servers: Servers) -> bool | None:
    """Run every side, print how it went, and tell whether the proof held.

    Returns:
        None where it cannot be done on this machine.
    """
    print(f"{proof.promise:>2}  {proof.title}")
    print(textwrap.fill(proof.deed, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 4))
    try:
        async with servers.for_one_proof() as shared:
            held = await _run_sides(proof, shared)
    except NotHereError as reason:
        print(f"    LEFT OUT: {reason}\n", flush=True)
        return None
    print(f"    {'held' if held else 'DID NOT HOLD'}\n", flush=True)
    return held


async def _run_all(proofs: Sequence[Proof], *, quick: bool) -> list[bool | None]:
    policy = PostgresPolicy(listen="127.0.0.1")  # by TCP, as in production
    async with PostgresServer(policy=policy) as postgres, RedisServer() as redis:
        print(f"{postgres.product} {postgres.version}, {redis.product} {redis.version}, ", end="")
        print(f"Python {sys.version.split()[0]}\n", flush=True)
        servers = Servers(postgres=postgres, redis=redis, quick=quick)
        return [await run(proof, servers) for proof in proofs]


async def _run_sides(proof: Proof, servers: Servers) -> bool:
    plain = await _run_side(proof.plain, servers)
    for peer in proof.peers:
        await _run_side(peer, servers)
    ours = await _run_side(proof.holdfast, servers)
    return plain is not None and ours is not None and not plain.kept and ours.kept


async def _run_side(side: Side, servers: Servers) -> Outcome | None:
    """Run one side; one that cannot be run is shown, and its proof does not hold."""
    try:
        outcome = await side.run(servers)
    except NotHereError:
        raise
    except Exception as error:  # noqa: BLE001  -- whatever went wrong, the other sides still run
        print(f"      {side.title}: did not run: {type(error).__name__}: {error}")
        return None
    print(f"      {side.title}: {'kept' if outcome.kept else 'BROKEN'}")
    for label, text in (("said", outcome.said), ("true", outcome.true)):
        print(textwrap.indent(textwrap.fill(f"{label}  {text}", WIDTH - 8), " " * 8))
    return outcome
