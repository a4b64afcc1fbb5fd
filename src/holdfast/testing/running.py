"""Run a coroutine from where nothing can be awaited: in fixtures, which are not asynchronous.

They are so that they work with any plugin for asynchronous tests, whatever loop it uses.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop | None = None) -> T:
    """Run a coroutine to its end, in a loop that is not running or in one of its own.

    Where another loop runs in this thread, as under `request.getfixturevalue` in an asynchronous
    fixture, it stands still meanwhile.
    """
    if _is_in_loop():
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(lambda: run(work, loop)).result()
    if loop is not None:
        return _run_whole(loop.create_task(work), loop)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(work)


def _run_whole(task: "asyncio.Task[T]", loop: asyncio.AbstractEventLoop) -> T:
    try:
        return loop.run_until_complete(task)
    except BaseException:
        if not task.done():  # Ctrl-C: it must not go on beside what the loop is used for next
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                loop.run_until_complete(task)
        raise


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
