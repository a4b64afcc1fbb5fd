"""What `run()` is given: a function, whose answer it can await."""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import TypeVar

from holdfast.errors import UsageError

R = TypeVar("R")


def name_of(work: object) -> str:
    """Give the name by which messages and events call the work of a `run()`.

    Raises:
        UsageError: it cannot be called, as what a call has given.
    """
    if callable(work):
        return str(getattr(work, "__qualname__", type(work).__qualname__))
    if asyncio.iscoroutine(work):
        work.close()  # it would be reported as never awaited, which is not what is wrong
    raise UsageError(
        f"run() was given an object of type {type(work).__name__}, which cannot be called; give "
        "it the function and its arguments, run(work, 1, 2), and it calls work(session, 1, 2)"
    )


def awaitable(answer: Awaitable[R], name: str) -> Awaitable[R]:
    """Give back what the work of this name gave for being awaited.

    Raises:
        UsageError: it cannot be.
    """
    if inspect.isawaitable(answer):
        return answer
    raise UsageError(
        f"{name} gave run() an object of type {type(answer).__name__}, which cannot be awaited, "
        "and was rolled back; make it an async function that awaits each call of the session"
    )
