"""What a fresh worker finds, whenever all others end: every state, and every key usable."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tests.state.explorer.ledger import WEDGED, WINDOW, Ledger, Operation, ViolationError
from tests.state.explorer.postgres_twin import POISON
from tests.state.explorer.working import Hands, WorkerIo, take_up_all, write_all
from tests.state.explorer.world import Worker, World

from holdfast.errors import HoldfastError, StateConflictError
from holdfast.state import operations
from holdfast.state.requests import Text
from holdfast.state.versions import is_last

MOST_STEPS = 400


def drain(world: World) -> None:
    """Have all others end: a fresh worker finds every state, and can use every key."""
    copy = Copy(world)
    truths = {key: copy.ledger.find_truth(key) for key in world.ledger.past}
    try:
        copy.run(copy.flush())
        for key, truth in truths.items():
            row = copy.postgres.rows.get(key)
            refused = truth is not None and truth.endswith(POISON)
            if not refused and (row[1].state if row else None) != truth:
                raise ViolationError(WINDOW, f"{key} was at {truth!r}, the row has {row}")
        for key in copy.redis.marks:
            if key not in copy.redis.refused:
                raise ViolationError(WEDGED, f"the mark of {key} stays")
        copy.run(copy.use(truths))
    except HoldfastError as error:
        raise ViolationError(WEDGED, f"{type(error).__name__}: {error}") from error


class Copy:
    """Both servers as they are, for one worker without faults."""

    def __init__(self, world: World) -> None:
        self.redis, self.postgres = type(world.redis)(), type(world.postgres)()
        self.redis.load(world.redis.dump())
        self.redis.lives, self.redis.incarnation = world.redis.lives, world.redis.incarnation
        self.postgres.rows = dict(world.postgres.rows)
        self.postgres.drawn = world.postgres.drawn
        self.ledger = Ledger(self.redis, self.postgres)
        self.io = WorkerIo(f"z{world.ledger.step}")
        self.world = world

    def run(self, coroutine: Any) -> None:
        """Answer at once."""
        server = World({}, ())
        server.redis, server.postgres, server.ledger = self.redis, self.postgres, self.ledger
        worker = Worker(Hands(self.io, self.ledger, Operation("z")), coroutine)
        server.workers["z"] = worker
        worker.go_on()
        for _ in range(MOST_STEPS):
            if worker.asking is None:
                return
            server.step("z")
        raise ViolationError(WEDGED, "there is no end")

    async def play_on(self, key: str, version: int, state: bytes) -> None:
        """Save and persist a state."""
        self.ledger.effects.clear()
        if is_last(version):  # costs a conflict
            with suppress(StateConflictError):
                await operations.save(self.io, key, version, Text(state, state))
            found = await operations.load(self.io, key)
            version = found.version if found else version
        await operations.save(self.io, key, version, Text(state, state))
        await operations.persist(self.io, key)
        if self.postgres.rows[key][1].state != state:
            raise ViolationError(WEDGED, f"{key} is not persisted")

    async def flush(self) -> None:
        """Write all that waits, and again when leases are over."""
        for _ in range(3):
            self.redis.leases = dict.fromkeys(self.redis.leases, (self.redis.now, ""))
            await write_all(self.io)

    async def use(self, truths: Mapping[str, bytes | None]) -> None:
        """Load, save and persist every key."""
        await take_up_all(self.io, 1)
        for key, truth in truths.items():
            found = await operations.load(self.io, key)
            if (found.text.state if found else None) != truth:
                raise ViolationError(WINDOW, f"{key} was at {truth!r}, and is at {found}")
            if found:
                await self.play_on(key, found.version, found.text.state + b"z/")
        await self.flush()
        if self.redis.marks:
            raise ViolationError(WEDGED, f"marks stay: {self.redis.marks}")
