"""Start a server or join the one that runs, and keep hold of it until nothing of it is left."""

import asyncio
import os
import time
from functools import partial
from pathlib import Path

from holdfast.errors import ServiceError
from holdfast.services.failures import PortLostError, failure, indented, read_tail
from holdfast.services.folders import (
    make_place,
    make_temporary,
    real,
    remove_abandoned,
    remove_temporary,
)
from holdfast.services.lock import Lock, held, mark_of
from holdfast.services.place import Info, Place
from holdfast.services.policy import ServerPolicy
from holdfast.services.process import PAUSE, Child, Program, in_thread, until
from holdfast.services.running import Engine, Launch, Running

ANSWER = 1.0  # seconds for a server to answer once, on the same machine
KILLED_WITHIN = 5.0  # seconds for the kernel and the last backends, after the last signal


class Keeper:
    """Holds the process that was started, and the temporary folder if there is one."""

    def __init__(self, engine: Engine, policy: ServerPolicy) -> None:
        self._engine = engine
        self._policy = policy
        self._child: Child | None = None
        self._temporary: tuple[Path, Lock] | None = None

    @property
    def has_child(self) -> bool:
        """Whether there is a server here to be stopped."""
        return self._child is not None

    async def bring_up(self, folder: Path | None) -> Running:
        """Start the server of a folder, or join the one that runs there.

        Raises:
            ServiceError: it did not start, or it runs and does not answer.
        """
        began = time.monotonic()
        base = real(folder or await self._temporary_folder())
        while True:
            place = make_place(base, self._engine.name)
            if lock := Lock.take(place.lock):
                running = await self._own(place, lock, began)
            else:
                running = await self.join(place, began)
            if running:
                return running
            self._refuse_to_wait(place, began)
            await asyncio.sleep(PAUSE)

    async def join(self, place: Place, began: float) -> Running | None:
        """Use the server that another process has started, if it answers."""
        info = place.read_info()
        if info is None or not await self._engine.reach(info, ANSWER):
            return None
        wanted = self._policy
        if wanted.listen not in (None, info.listen) or wanted.port not in (0, info.port):
            raise ServiceError(
                f"{self._engine.title} runs in {place.root} already, and does not listen on "
                f"{wanted.listen} port {wanted.port or 'any'}: stop it and start again"
            )
        return self._now(place, info, began, attached=True)

    def ended(self, running: Running) -> bool:
        """Tell whether a server that answered has ended since."""
        if self._child:
            return self._child.status is not None
        return not held(running.place.lock, running.mark)

    def refuse_to_hide(self, running: Running) -> None:
        """Raise unless the server ended as it does when it is told to: pid file gone, status 0."""
        status = self._child.status if self._child else None
        noted = self._engine.pid_file(running.place).exists()
        if status == 0 or (status is None and not noted):
            return
        raise failure(self._what(running.place, running.info), status, read_tail(running.place.log))

    def release(self) -> None:
        """Have the server stopped; nothing to wait for, and safe to repeat."""
        if self._child:
            self._child.release()

    async def clear(self) -> None:
        """Stop what was started here, and wait until nothing is left of it.

        Raises:
            ServiceError: it is still there after every signal.
        """
        if self._child is None:
            return
        self._child.release()
        patience = (self._policy.stop_timeout + 1) * len(self._engine.signals)
        if not await until(self._child.gone, patience):
            self._child.kill()
            if not await until(self._child.gone, KILLED_WITHIN):
                raise ServiceError(
                    f"{self._engine.title} did not stop, not even when it was killed"
                )
        self._child = None

    def let_go(self) -> None:
        """Let the server go on without this process.

        Nothing is awaited here: a cancelled start has either kept its child or finished.
        """
        if self._child:
            self._child.detach()
            self._child = None

    async def remove_temporary(self) -> None:
        """Remove the temporary folder if there is one."""
        if self._temporary:
            folder, claim = self._temporary
            await in_thread(partial(remove_temporary, folder))
            claim.release()
            self._temporary = None

    async def _temporary_folder(self) -> Path:
        if self._temporary is None:
            await in_thread(remove_abandoned)
            self._temporary = make_temporary()
        return self._temporary[0]

    async def _own(self, place: Place, lock: Lock, began: float) -> Running | None:
        """Start the server; None when it lost a free port to somebody else."""
        with lock:
            place.forget_info()
            launch = await self._engine.launch(place, lock, self._spawn)
            place.write_info(launch.info)
            child, start = self._run(launch, place, lock)
        try:
            await self._until_reached(place, child, launch.info, start, began)
        except PortLostError:
            if self._policy.port:
                raise
            await self.clear()
            return None
        return self._now(place, launch.info, began, attached=False)

    def _run(self, launch: Launch, place: Place, lock: Lock) -> tuple[Child, int]:
        """Run the server; give it, and where its words begin in the log."""
        with place.open_log() as log:
            start = os.fstat(log.fileno()).st_size
            program = Program(
                command=launch.command,
                place=place,
                lock=lock,
                output=log.fileno(),
                signals=self._engine.signals,
            )
            return self._spawn(program), start

    def _spawn(self, program: Program) -> Child:
        self._child = Child.spawn(program, self._policy.stop_timeout)
        return self._child

    async def _until_reached(
        self, place: Place, child: Child, info: Info, start: int, began: float
    ) -> None:
        # What answers may be another process's server by now, so the child is looked at last.
        while not await self._engine.reach(info, ANSWER) or child.status is not None:
            if child.status is not None:
                words = read_tail(place.log, start)
                raise failure(self._what(place, info), child.status, words)
            self._refuse_to_wait(place, began)
            await asyncio.sleep(PAUSE)

    def _refuse_to_wait(self, place: Place, began: float) -> None:
        """Raise when it takes too long, with the process that has the folder."""
        limit = self._policy.start_timeout
        if time.monotonic() - began < limit:
            return
        holder = self._engine.read_pid(place) or mark_of(place.lock).partition(" ")[0]
        raise ServiceError(
            f"{self._engine.title} in {place.root} did not answer within {limit:g} s; "
            f"process {holder} has it; the end of {place.log}:{indented(read_tail(place.log))}"
        )

    def _now(self, place: Place, info: Info, began: float, *, attached: bool) -> Running:
        return Running(
            place=place,
            info=info,
            mark=mark_of(place.lock),
            pid=self._engine.read_pid(place) or 0,
            attached=attached,
            seconds=time.monotonic() - began,
        )

    def _what(self, place: Place, info: Info) -> str:
        return f"{info.product} {info.version} in {place.root}"
