"""What commands read from the standard input or a file."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from moai.errors import InvalidInputError

STANDARD_INPUT = "-"


def read_text(given: str) -> str:
    """Give a text as it is, or for `-` what the standard input has, without the last line's end.

    Raises:
        InvalidInputError: the standard input is closed, or no text.
    """
    if given != STANDARD_INPUT:
        return given
    try:
        return _standard_input().read().decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise InvalidInputError("the standard input is no UTF-8 text") from None


@contextmanager
def open_lines(file: str) -> Iterator[BinaryIO]:
    """Open a file, or for `-` the standard input, to be read more than once.

    What comes through a pipe is kept in a temporary file, so that nobody waits for who writes it.

    Raises:
        InvalidInputError: there is no such file, or it cannot be read.
    """
    if file == STANDARD_INPUT:
        with _kept(_standard_input()) as lines:
            yield lines
        return
    try:
        source = Path(file).open("rb")  # noqa: SIM115  -- closed below
        source.read(0)
    except OSError as error:
        raise InvalidInputError(f"{file}: {error.strerror}") from None
    with source:
        if source.seekable():
            yield source
            return
        with _kept(source) as lines:
            yield lines


@contextmanager
def _kept(source: BinaryIO) -> Iterator[BinaryIO]:
    with TemporaryFile() as copy:
        shutil.copyfileobj(source, copy)
        copy.seek(0)
        yield copy


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise InvalidInputError(f"the standard input is closed, and {STANDARD_INPUT} reads it")
    return sys.stdin.buffer
