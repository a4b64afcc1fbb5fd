"""The interpreters that rows start: all of them find compiled bytecode, as on a user's machine."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def bytecode() -> Iterator[dict[str, str]]:
    """Give an environment in which Python keeps its bytecode, in a folder that goes at the end.

    Where the caller's environment forbids to write it, every start would compile everything
    again, and the rows would measure the compiler.
    """
    with tempfile.TemporaryDirectory() as folder:
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        yield kept | {"PYTHONPYCACHEPREFIX": folder}
