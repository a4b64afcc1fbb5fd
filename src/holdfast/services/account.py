"""Choose who a server runs as, and tell where that user can get to."""

import os
import pwd
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import ServiceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user that servers run as when this process is root, since PostgreSQL refuses root."""

    name: str
    uid: int
    gid: int


def account_for(folder: Path) -> Account | None:
    """Choose who a new server in `folder` runs as; None for the user of this process.

    For root it is the owner of the folder where that is an ordinary user, who can then go on
    without root; else `postgres`, else `nobody`.

    Raises:
        ServiceError: there is no such user.
    """
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        if owner := folder.stat().st_uid:
            return _known(pwd.getpwuid(owner))
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return _known(pwd.getpwnam(name))
    raise ServiceError("PostgreSQL refuses to run as root, and there is no user `nobody` here")


def account_of(root: Path) -> Account | None:
    """Say who the server in `root` has to run as; None for the user of this process.

    Raises:
        ServiceError: its owner is not known on this machine.
    """
    if os.geteuid() != 0:
        return None
    uid = root.stat().st_uid
    try:
        return _known(pwd.getpwuid(uid))
    except KeyError:
        raise ServiceError(f"{root} belongs to user number {uid}, who has no name here") from None


def reaches(account: Account | None, path: Path) -> bool:
    """Tell from the permissions whether the account can enter, or run, all that leads to `path`."""
    real = path.resolve()
    return account is None or all(_enters(account, each) for each in (real, *real.parents))


def temporary_folders(account: Account | None) -> list[Path]:
    """List the folders for temporary files that the account can get into; the last persists.

    Raises:
        ServiceError: there is none.
    """
    names = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108  -- what is made in them has a random name or its owner is checked
    folders = [path for name in names if (path := Path(name).resolve()).is_dir()]
    usable = [path for path in folders if reaches(account, path)]
    if not usable:
        raise ServiceError(f"the user {account and account.name} can get into none of {names}")
    return usable


def whose(path: str | Path) -> str:
    """Name the owner of a path, or of what is nearest above it, for a message."""
    for each in (Path(path), *Path(path).absolute().parents):
        with suppress(OSError, KeyError):
            return each.owner()
    return "somebody else"


def _known(entry: pwd.struct_passwd) -> Account:
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _enters(account: Account, path: Path) -> bool:
    found = path.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
