"""Those who play the games of a round: what they do is chosen by a seed, what came of it noted."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from proofs.state_log import DONE, Log, Moves
from proofs.state_stores import Seen, Store

LONG: Final = 40  # moves, after which a game is finished
STALE_AFTER: Final = 0.25  # seconds, for the list of the games
THINKS: Final = 0.02  # seconds at most
# What a player does next, and how often; some of it with what was seen long ago.
DOES: Final = {
    "play": 30,
    "play on": 20,
    "update": 10,
    "look": 10,
    "end turn": 12,
    "end newest turn": 8,
    "finish": 3,
}


@dataclass(slots=True)
class Lobby:
    """Which games there are, as a process knows it."""

    store: Store
    most: int
    keys: Sequence[int] = ()
    _asked: float = -1.0

    async def look(self) -> None:
        """Ask the table now and then; what was known stays known while it cannot be asked."""
        now = asyncio.get_running_loop().time()
        if now - self._asked < STALE_AFTER:
            return
        self._asked = now
        with suppress(Exception):  # of this nothing is promised, on either side
            self.keys = await self.store.games()


@dataclass(slots=True)
class Player:
    """One task.

    Attributes:
        store: of the games.
        log: for what it does.
        lobby: of its process.
        chance: of its own.
        hand: games as it saw them last.
    """

    store: Store
    log: Log
    lobby: Lobby
    chance: random.Random
    hand: dict[int, Seen] = field(default_factory=dict)

    async def play_until(self, stop: asyncio.Event) -> None:
        """Do one thing after the other."""
        while not stop.is_set():
            await self.lobby.look()
            if len(self.lobby.keys) < self.lobby.most:
                await self.create()
            elif self.lobby.keys:
                key = self.chance.choice(self.lobby.keys)
                (what,) = self.chance.choices([*DOES], [*DOES.values()])
                await self.do(what, key)
            await asyncio.sleep(self.chance.uniform(0, THINKS))

    async def create(self) -> None:
        """Begin a game."""
        number = self.log.number()
        self.lobby.keys = [*self.lobby.keys, number]
        await self.call("create", number, number, lambda: self.store.create(number))

    async def do(self, what: str, key: int) -> None:
        """Do one of those."""
        held = self.hand.get(key)
        if what == "update":
            await self.update(key)
        elif what == "end newest turn":
            await self.ask("persist", key, lambda: self.store.persist_newest(key))
        elif what == "end turn" and held:
            await self.ask("persist", key, lambda: self.store.persist(held))
        elif what == "play on" and held:
            await self.save(held)
        elif seen := await self.load(key):
            if what == "finish" or len(seen.moves or ()) >= LONG:
                # Sometimes by what was seen long ago.
                await self.finish(held if held and self.chance.random() < 0.3 else seen)
            elif what != "look":
                for _ in range(self.chance.randint(1, 3)):
                    if not (seen := await self.save(seen)):
                        break

    async def load(self, key: int) -> Seen | None:
        """See how a game stands."""
        seen = await self.ask("load", key, lambda: self.store.load(key))
        # Some keep what they saw before, and go on from that later.
        if seen and (key not in self.hand or self.chance.random() < 0.6):
            self.hand[key] = seen
        return seen

    async def save(self, seen: Seen) -> Seen | None:
        """Add a move to what was seen."""
        move, base = self.log.number(), seen.moves or ()
        saved = await self.call(
            "save", seen.key, move, lambda: self.store.save(seen, (*base, move)), base=base
        )
        if saved:
            self.hand[seen.key] = saved
        return saved

    async def update(self, key: int) -> None:
        """Add a move to the newest state, whatever that is."""
        move = self.log.number()

        def add(moves: Moves) -> Moves:
            self.log.tried(move, "save", key, move=move, base=moves)
            return (*moves, move)

        await self.end(move, "save", lambda: self.store.update(key, add))

    async def finish(self, seen: Seen) -> None:
        """Move a game into the history as it was seen."""

        async def finish() -> Seen:
            await self.store.finish(seen)
            return seen

        await self.ask("finish", seen.key, finish, base=seen.moves or ())

    async def ask(
        self, what: str, key: int, work: Callable[[], Awaitable[Seen | None]], base: Moves = ()
    ) -> Seen | None:
        """Do what adds no move."""
        number = self.log.number()
        self.log.tried(number, what, key, base=base)
        return await self.end(number, what, work)

    async def call(
        self,
        what: str,
        key: int,
        number: int,
        work: Callable[[], Awaitable[Seen | None]],
        base: Moves = (),
    ) -> Seen | None:
        """Do what has a number already."""
        self.log.tried(number, what, key, move=number if what == "save" else None, base=base)
        return await self.end(number, what, work)

    async def end(
        self, number: int, what: str, work: Callable[[], Awaitable[Seen | None]]
    ) -> Seen | None:
        """Note what came of it."""
        try:
            seen = await work()
        except Exception as error:  # noqa: BLE001  -- the store says what it means
            said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            self.log.ended(number, self.store.judge(what, error), said=said)
            return None
        moves, version = (seen.moves, seen.version) if seen else (None, None)
        self.log.ended(number, DONE, moves=moves, version=version)
        return seen
