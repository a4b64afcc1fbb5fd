"""Does several things at once, and leaves none of them behind."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> "list[T]":
    """Give the results of all, in their order, once each has come to its own end.

    Raises:
        BaseException: the first of theirs. The others are not cancelled by it: each ends as soon
            as it can without leaving something half done.
    """
    done = []
    for each in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(each, BaseException):
            raise each
        done.append(each)
    return done
