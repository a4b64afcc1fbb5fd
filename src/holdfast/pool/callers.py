"""Find the line of somebody's code that led here, for messages."""

import asyncio
import os
import sys
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FrameType

from greenlet import getcurrent

_FOLDERS = (
    *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")},
    str(Path(__file__).parent.parent),
)
# `<` is what was never in a file.
_LIBRARIES = (*(f"{folder}{os.sep}" for folder in _FOLDERS), "<")


@dataclass(frozen=True, slots=True)
class Caller:
    """A line of code; its text form is `file:line`.

    Without a file it is in a task that a library started, so that nobody waits further up; `task`
    is then the function that the task runs.
    """

    file: str = ""
    line: int = 0
    task: str = ""

    def __str__(self) -> str:
        if self.file:
            return f"{self.file}:{self.line}"
        return f"a task that a library started{f' ({self.task})' if self.task else ''}"


def find_caller() -> Caller:
    """Give the innermost line that is neither a library's nor Holdfast's."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  -- inspect's own is 100 times slower
    found = _outside(frame)
    greenlet = getcurrent().parent
    while found is None and greenlet is not None:
        # SQLAlchemy runs in a greenlet; who called it waits in the parent.
        found = _outside(greenlet.gr_frame)
        greenlet = greenlet.parent
    return found or Caller(task=_find_task())


@lru_cache(maxsize=4096)  # the same few files at every checkout
def is_library(file: str) -> bool:
    """Tell whether a file is Python's own, an installed package's or Holdfast's."""
    return file.startswith(_LIBRARIES)


def _find_task() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs
        return ""
    return getattr(task and task.get_coro(), "__qualname__", "")


def _outside(frame: FrameType | None) -> Caller | None:
    while frame is not None:
        file = frame.f_code.co_filename
        if not is_library(file):
            return Caller(file, frame.f_lineno)
        frame = frame.f_back
    return None
