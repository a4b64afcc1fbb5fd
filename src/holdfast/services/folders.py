"""Find and make the folders of servers, where their user gets to them, and nothing else.

<folder>/.gitignore
<folder>/postgres/{lock,info.json,log,data,socket,…}
<folder>/redis/{lock,info.json,log,data,socket,…}
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast.errors import ConfigurationError, ServiceError
from holdfast.services.account import (
    Account,
    account_for,
    account_of,
    reaches,
    temporary_folders,
    whose,
)
from holdfast.services.lock import Lock, held
from holdfast.services.place import Place
from holdfast.services.process import in_thread

SERVERS = ("postgres", "redis")
# What stands where something else belongs.
WRONG_KIND = {
    errno.ENOTDIR: "not a folder",
    errno.EEXIST: "not a folder",
    errno.EISDIR: "a folder where a file belongs",
    errno.ELOOP: "a link that cannot be followed",
}
OWNER = "owner"  # the lock of a temporary folder, which the process that made it holds


async def remove(folder: Path) -> None:
    """Delete all data of the stopped servers of a folder, wherever it is.

    Raises:
        ConfigurationError: `folder` holds something that Holdfast did not make.
        ServiceError: a server runs.

    Example:
        >>> await remove(Path(".holdfast"))  # doctest: +SKIP
    """
    with explained(folder):
        await in_thread(lambda: _remove(folder))


def find_place(folder: Path, name: str) -> Place | None:
    """Find where a server lives, None where none was ever started.

    Raises:
        ConfigurationError: there is something else at that place.
    """
    root = real(folder / name)
    try:
        (root / "lock").lstat()
    except FileNotFoundError:
        if not root.exists() or not any(root.iterdir()):
            return None
        raise ConfigurationError(
            f"{root} was not made by Holdfast: choose another folder"
        ) from None
    return Place(folder=folder, root=root, account=account_of(root))


def make_place(folder: Path, name: str) -> Place:
    """Find or make the place of a server.

    Where the user it runs as cannot get into `folder`, the place is made below `/var/tmp` and
    linked to from `folder`.

    Raises:
        ConfigurationError: `folder` is a file or of somebody else.
        ServiceError: there is no user to run as.
    """
    _make_folder(folder)
    place = find_place(folder, name) or _new_place(folder, name)
    if not reaches(place.account, place.root):
        raise ConfigurationError(
            f"{place.root} belongs to {whose(place.root)}, who cannot get to it: "
            f"let that user through the folders above it, or remove it"
        )
    return place


def make_temporary() -> tuple[Path, Lock]:
    """Make a temporary folder; its lock is to be held until the folder is removed."""
    account = account_for(Path("/"))
    folder = Path(tempfile.mkdtemp(prefix="holdfast-", dir=temporary_folders(account)[0]))
    if account:
        folder.chmod(0o711)
    lock = Lock.take(folder / OWNER)
    assert lock, "the name is random, so nobody else knows it"
    return folder, lock


def remove_abandoned() -> None:
    """Remove the temporary folders of processes that were killed."""
    for folder in temporary_folders(account_for(Path("/")))[0].glob("holdfast-*"):
        locks = [folder / OWNER, *(folder / name / "lock" for name in SERVERS)]
        with suppress(OSError):
            if locks[0].stat().st_uid == os.geteuid() and not any(map(held, locks)):
                remove_temporary(folder)


def remove_temporary(folder: Path) -> None:
    """Delete a temporary folder and what its servers have elsewhere."""
    for name in SERVERS:
        with suppress(ConfigurationError, ServiceError):
            if place := find_place(folder, name):
                _remove_sockets(place)
    shutil.rmtree(folder, ignore_errors=True)


def real(path: Path) -> Path:
    """Follow all links; one that leads to itself stays, for the next call to refuse."""
    return Path(os.path.realpath(path))


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that says what to do."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ServiceError(f"the disk is full: {where} could not be written") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ConfigurationError(
                f"{where} may not be used ({error.strerror}); it belongs to {whose(where)}: "
                f"run as that user, or choose another folder"
            ) from error
        if error.errno in WRONG_KIND:
            raise ConfigurationError(
                f"{_first_file(where)} is {WRONG_KIND[error.errno]}: remove it, or choose another"
            ) from error
        raise


def _first_file(path: str | Path) -> Path:
    """Find what is in the way of a path, where it is no folder but has something below it."""
    whole = Path(path)
    return next((each for each in reversed(whole.parents) if each.is_file()), whole)


def _make_folder(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
        if os.geteuid() == 0:
            # Made a moment ago, so ours to arrange: like a new file it belongs to whom the
            # project belongs to, and the server's user has to get through it.
            above = folder.parent.stat()
            os.chown(folder, above.st_uid, above.st_gid)
            folder.chmod(0o755)
    if not any(folder.iterdir()):
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def _new_place(folder: Path, name: str) -> Place:
    account = account_for(folder)
    if account and not reaches(account, folder):
        _relocate(folder, name, account)
    place = Place(folder=folder, root=real(folder / name), account=account)
    with suppress(FileExistsError):  # of another process that makes it now, or was killed at it
        place.root.mkdir(mode=0o700)
    place.give(place.root)
    os.close(os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    place.give(place.lock)
    return place


def _relocate(folder: Path, name: str, account: Account) -> None:
    """Link `folder/name` to a new folder that the account can get to."""
    link = folder / name
    if link.is_symlink():
        link.unlink()  # what it led to was removed
    base = Path(tempfile.mkdtemp(prefix="holdfast-", dir=temporary_folders(account)[-1]))
    base.chmod(0o711)
    (base / "belongs-to").write_text(f"{folder}\n", encoding="utf-8")
    try:
        link.symlink_to(base / name)
    except FileExistsError:  # another process was quicker
        shutil.rmtree(base)


def _remove(folder: Path) -> None:
    folder = real(folder)
    for name in SERVERS:
        if place := find_place(folder, name):
            _remove_place(place, name)
    if folder.is_dir() and {each.name for each in folder.iterdir()} <= {".gitignore"}:
        shutil.rmtree(folder)


def _remove_place(place: Place, name: str) -> None:
    lock = Lock.take(place.lock)
    if lock is None:
        raise ServiceError(f"a server runs in {place.root}: stop it with `holdfast down` first")
    with lock:
        _remove_sockets(place)
        shutil.rmtree(place.root)
    link = place.folder / name
    if link.is_symlink():
        link.unlink()
        shutil.rmtree(place.root.parent)


def _remove_sockets(place: Place) -> None:
    for short in place.short_folders():
        shutil.rmtree(short, ignore_errors=True)
