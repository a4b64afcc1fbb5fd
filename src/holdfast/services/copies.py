"""Copy a server's programs to where the server's user can run them."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from holdfast.services.account import reaches
from holdfast.services.binaries import Binary
from holdfast.services.place import Place

POSTGRES_PARTS = ("bin", "lib", "share")  # not `include`, which nothing needs at run time


def within_reach(binary: Binary, place: Place) -> Binary:
    """Give a server that the user of `place` can run, copied into the place if it must be.

    Root may keep its packages where nobody else gets in. A copy takes about 0.1 s for
    PostgreSQL, once for each version of the file.
    """
    if place.account is None or reaches(place.account, binary.path):
        return binary
    changed = binary.path.stat().st_mtime_ns
    target = place.root / f"programs-{binary.version}-{changed:x}"
    if not target.exists():
        for old in place.root.glob("programs-*"):
            shutil.rmtree(old)
        _copy(binary, place, target)
    return replace(binary, path=target / _inner(binary))


def _copy(binary: Binary, place: Place, target: Path) -> None:
    new = place.make(target.with_name("programs.new"))
    new.chmod(0o755)
    if binary.product != "PostgreSQL":
        shutil.copy2(binary.path, new)
    else:
        for part in POSTGRES_PARTS:
            source = binary.path.parent.parent / part
            shutil.copytree(source, new / part, symlinks=True, copy_function=_readable)
    new.rename(target)


def _readable(source: str, target: str) -> None:
    """Copy a file so that everybody may read it, and run it if anybody may."""
    shutil.copyfile(source, target, follow_symlinks=False)
    if not Path(target).is_symlink():
        runs = os.access(source, os.X_OK)
        Path(target).chmod(0o755 if runs else 0o644)


def _inner(binary: Binary) -> Path:
    return Path("bin", "postgres") if binary.product == "PostgreSQL" else Path(binary.path.name)
