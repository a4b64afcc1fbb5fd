"""Connect to the end, so that a cancelled task leaves no half-made connection behind."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

C = TypeVar("C")
Leaving = set[asyncio.Task[Any]]


async def connect_whole(
    connecting: Coroutine[Any, Any, C], close: Callable[[C], Awaitable[object]], leaving: Leaving
) -> C:
    """Await a connection; cancelled meanwhile, close it in the background when it is there.

    A driver that is cancelled forgets what it has so far, and server or file stay open until
    Python's garbage collector comes by.

    Args:
        connecting: makes the connection.
        close: closes one.
        leaving: holds what goes on in the background.
    """
    making = asyncio.create_task(connecting)
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        closing = asyncio.create_task(_close(making, close))
        leaving.add(closing)
        closing.add_done_callback(leaving.discard)
        raise


async def _close(making: "asyncio.Task[C]", close: Callable[[C], Awaitable[object]]) -> None:
    with suppress(Exception):  # that it could not be made no longer matters to anybody
        await close(await making)
