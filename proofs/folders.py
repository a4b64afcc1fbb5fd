"""Folders for servers that a proof runs beside those of `make proofs`."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_folder() -> Iterator[Path]:
    """Make a folder that servers get into, whoever they run as, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="hf-proof-")).resolve()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
