"""Gather what the parts of a service say of themselves, each within a time limit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from holdfast.events import Check
from holdfast.urls import redact

Part = Callable[[], Awaitable[Sequence[Check]]]
# What a part may take to end after it was cancelled; then nobody waits for it any more.
_GRACE = 0.5  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What all parts say.

    Attributes:
        checks: in the order of the parts; their names begin with the part's: `database.pool`.
    """

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing has to be changed."""
        return all(each.ok for each in self.checks)


async def health(*, within: float = 5.0, **parts: Part) -> Health:
    """Ask all parts at once.

        await health(database=db.check, cache=partial(redis.check, client))

    One that raises, or gives no answer in time, is a failed check; never an exception.

    Args:
        within: seconds that each may take.
        **parts: called without arguments, by the name that their checks get.
    """
    asked = {name: asyncio.ensure_future(_ask(part)) for name, part in parts.items()}
    try:
        if asked:
            await asyncio.wait(asked.values(), timeout=within)
    finally:
        await _end([each for each in asked.values() if not each.done()])
    found = [check for name, answer in asked.items() for check in _read(name, answer, within)]
    return Health(checks=tuple(found))


async def _ask(part: Part) -> Sequence[Check]:
    return await part()


async def _end(late: Sequence["asyncio.Future[Sequence[Check]]"]) -> None:
    for each in late:
        each.add_done_callback(_hear_out)
        each.cancel()
    if late:
        await asyncio.wait(late, timeout=_GRACE)


def _hear_out(ended: "asyncio.Future[Sequence[Check]]") -> None:
    if not ended.cancelled():
        ended.exception()  # asked for, so that nobody reports it as overlooked


def _read(name: str, answer: "asyncio.Future[Sequence[Check]]", within: float) -> Sequence[Check]:
    if not answer.done() or answer.cancelled():
        said = f"no answer within {within:g} s"
        return [_failed(name, said, "look at its server and the network; a frozen one is silent")]
    if error := answer.exception():
        said = " ".join(redact(f"{type(error).__name__}: {error}").split())
        return [_failed(name, said, "see the error: the check itself could not be made")]
    return [replace(each, name=f"{name}.{each.name}") for each in answer.result()]


def _failed(name: str, said: str, advice: str) -> Check:
    return Check(name=name, said=said, state="failed", advice=advice)
