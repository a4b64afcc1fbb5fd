"""Copy a server's programs to where the server's user can run them."""

import shutil
from collections.abc import Iterator
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
    if reaches(place.account, binary.path):
        return binary
    changed = binary.path.stat().st_mtime_ns
    target = place.root / f"programs-{binary.version}-{changed:x}"
    base = _base(binary)
    if not target.exists():
        for old in place.root.glob("programs-*"):
            shutil.rmtree(old)
        new = place.make(target.with_name("programs.new"))
        new.chmod(0o755)
        for source in _parts(binary):
            _copy(source, new / source.relative_to(base))
        new.rename(target)
    return replace(binary, path=target / binary.path.relative_to(base))


def _parts(binary: Binary) -> Iterator[Path]:
    if binary.product == "PostgreSQL":
        prefix = binary.path.parent.parent
        yield from (path for part in POSTGRES_PARTS if (path := prefix / part).is_dir())
    else:
        yield binary.path
    if libraries := _libraries(binary.path):
        yield libraries


def _base(binary: Binary) -> Path:
    """Find the folder below which all of it has to keep its relative place."""
    if libraries := _libraries(binary.path):
        return libraries.parent
    return binary.path.parent.parent


def _libraries(program: Path) -> Path | None:
    """Find the shared libraries of a wheel, which its programs look for beside their package."""
    for parent in list(program.parents)[:-1]:
        for folder in (parent.with_name(f"{parent.name}.libs"), parent / ".dylibs"):
            if folder.is_dir():
                return folder
    return None


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)
    for each in (target, *target.rglob("*")):
        if not each.is_symlink():
            _open_up(each)


def _open_up(path: Path) -> None:
    """Let everybody read a copy, and run or enter it if its owner may."""
    mode = path.stat().st_mode
    path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
