"""Put a directory of files in its place, whole or not at all."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex


def place(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files into a new directory and give it this name, instead of what had it before.

    They are written beside it, so a reader finds what was there before or all of the new files.
    A process that dies leaves the other one of the two beside it, under a hidden name; between
    two renames that may be the old one, and then nothing has the name.

    Raises:
        OSError: it could not be written; what was there before still is.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    aside = f".{directory.name}.{token_hex(4)}"
    new, old = directory.with_name(f"{aside}.new"), directory.with_name(f"{aside}.old")
    try:
        _write(new, contents)
        _swap(directory, new, old)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _swap(directory: Path, new: Path, old: Path) -> None:
    if not directory.exists():
        new.rename(directory)
        return
    try:
        directory.rename(old)
        new.rename(directory)
    except BaseException:
        if old.exists() and not directory.exists():
            old.rename(directory)
        raise


def _write(directory: Path, contents: Mapping[str, bytes]) -> None:
    directory.mkdir()
    for name, content in contents.items():
        with (directory / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a machine that loses power must not keep only the names
