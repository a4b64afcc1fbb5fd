"""Lay out the folder of a server where its user can reach it, and touch nothing else.

<folder>/.gitignore
<folder>/postgres/{lock,info.json,log,data,socket}
<folder>/redis/{lock,info.json,log,data,socket,…}
"""

import errno
import hashlib
import json
import os
import pwd
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from holdfast.errors import ConfigurationError, ServiceError
from holdfast.services.process import Account

SOCKET_LIMIT = 103 if sys.platform == "darwin" else 107  # bytes: sockaddr_un less its final zero
LOG_LIMIT = 10_000_000  # bytes: a larger log is put aside at the next start

# What needs no quoting in a URL, in postgresql.conf or in a list of folders.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What another process needs to know to use a server; written before it is started."""

    product: str
    version: str
    path: str
    source: str
    socket: str
    port: int
    listen: str | None
    passwords: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one server lives; `account` is who it runs as, None for the user of this process."""

    folder: Path
    root: Path
    account: Account | None

    @property
    def lock(self) -> Path:
        """The file whose lock says that a server lives."""
        return self.root / "lock"

    @property
    def log(self) -> Path:
        """What the server and its start print."""
        return self.root / "log"

    @property
    def data(self) -> Path:
        """The server's own files."""
        return self.root / "data"

    def make(self, path: Path) -> Path:
        """Make an empty folder here that only the server's user can enter."""
        _discard(path)
        path.mkdir(mode=0o700)
        self.give(path)
        return path

    def give(self, path: Path) -> None:
        """Make the server's user the owner of something that was just made here."""
        if self.account:
            os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)

    def write(self, path: Path, text: str) -> None:
        """Write a file that only the server's user can read, all of it or nothing."""
        new = path.with_name(path.name + ".new")
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123  -- Path.open has no mode for a new file
            file.write(text)
        self.give(new)
        new.replace(path)

    def write_info(self, info: Info) -> None:
        """Tell other processes how to reach the server."""
        self.write(self.root / "info.json", json.dumps(asdict(info), indent=1))

    def read_info(self) -> Info | None:
        """Read what the server's starter wrote, None if nobody did.

        Raises:
            ServiceError: the file is damaged.
        """
        path = self.root / "info.json"
        try:
            return Info(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ServiceError(f"{path} is damaged ({error})") from error

    def forget_info(self) -> None:
        """Remove what an earlier server told, so that nobody takes it for this one's."""
        (self.root / "info.json").unlink(missing_ok=True)

    def passwords(self, names: Sequence[str]) -> dict[str, str]:
        """Make a password for each name, once: URLs that were pasted elsewhere go on working."""
        path = self.root / "passwords"
        if not path.exists():
            self.write(path, "\n".join(secrets.token_urlsafe(18) for _ in names))
        return dict(zip(names, path.read_text(encoding="utf-8").split(), strict=True))

    def open_log(self) -> BinaryIO:
        """Open the log to append to it; a large one is kept once as `log.old`."""
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_LIMIT:
                self.log.replace(self.log.with_name("log.old"))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        log = os.fdopen(os.open(self.log, flags, 0o600), "ab")
        self.give(self.log)
        return log

    def socket_folder(self, longest: str) -> Path:
        """Make the folder for sockets whose names have at most the length of `longest`.

        It is in the server's folder, or where that path is too long or has special characters,
        in a short one for temporary files, named after the server's folder.

        Raises:
            ServiceError: no such folder is short enough, or somebody else made it first.
        """
        here = self.root / "socket"
        if _fits(here / longest):
            return self.make(here)
        name = f"holdfast-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]}"
        for base in temporary_folders(self.account):
            if _fits(base / name / longest):
                return self._claim(base / name)
        raise ServiceError(
            f"the path of a socket may have {SOCKET_LIMIT} bytes, and {here / longest} has more or "
            f"holds special characters; so has every folder for temporary files: set TMPDIR to a "
            f"shorter one"
        )

    def _claim(self, path: Path) -> Path:
        owner = self.account.uid if self.account else os.geteuid()
        try:
            path.mkdir(mode=0o700)
            self.give(path)
        except FileExistsError:
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
                raise ServiceError(
                    f"{path} is needed for sockets but belongs to somebody else: remove it"
                ) from None
        for left in path.iterdir():
            left.unlink()
        return path


def find_place(folder: Path, name: str) -> Place | None:
    """Find where a server lives, None where none was ever started.

    Raises:
        ConfigurationError: there is something else at that place.
    """
    root = (folder / name).resolve()
    try:
        (root / "lock").lstat()
    except FileNotFoundError:
        if not root.exists() or not any(root.iterdir()):
            return None
        raise ConfigurationError(
            f"{root} was not made by Holdfast: choose another folder"
        ) from None
    return Place(folder=folder, root=root, account=_owner(root) if os.geteuid() == 0 else None)


def make_place(folder: Path, name: str) -> Place:
    """Find or make the place of a server.

    As root it belongs to the owner of `folder` where that is an ordinary user, else to
    `postgres`, else to `nobody`. Where that user cannot get into `folder`, the place is made
    below `/var/tmp` and linked to from `folder`.

    Raises:
        ConfigurationError: `folder` is a file or of somebody else.
        ServiceError: the disk is full, or there is no user to run as.
    """
    _make_folder(folder)
    if place := find_place(folder, name):
        return place
    account = _account(folder) if os.geteuid() == 0 else None
    if account and not reaches(account, folder):
        _relocate(folder, name, account)
    place = Place(folder=folder, root=(folder / name).resolve(), account=account)
    with suppress(FileExistsError):  # two make it at once
        place.root.mkdir(mode=0o700)
        place.give(place.root)
    os.close(os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    place.give(place.lock)
    return place


def make_temporary() -> Path:
    """Make a folder for temporary files that the server's user can get into."""
    account = _account(Path("/")) if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="holdfast-", dir=temporary_folders(account)[0]))
    if account:
        folder.chmod(0o711)
    return folder


def remove_place(place: Place, name: str, sockets: Path | None) -> None:
    """Delete all data of a server whose lock the caller holds."""
    shutil.rmtree(place.root)
    if sockets:
        shutil.rmtree(sockets, ignore_errors=True)
    link = place.folder / name
    if link.is_symlink():
        link.unlink()
        shutil.rmtree(place.root.parent)


def reaches(account: Account, path: Path) -> bool:
    """Tell from the permissions whether the account can get to what is below or at `path`."""
    real = path.resolve()
    return all(_allowed(each.stat(), account) & 1 for each in (real, *real.parents))


def temporary_folders(account: Account | None) -> list[Path]:
    """List the folders for temporary files that the account can get into; the last persists.

    Raises:
        ServiceError: there is none.
    """
    names = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108  -- what is made in them has a random name or its owner is checked
    folders = [path for name in names if (path := Path(name).resolve()).is_dir()]
    usable = [path for path in folders if not account or reaches(account, path)]
    if not usable:
        raise ServiceError(f"the user {account and account.name} can get into none of {names}")
    return usable


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
                f"{where} may not be used ({error.strerror}); it belongs to {_whose(where)}: "
                f"run as that user, or choose another folder"
            ) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise ConfigurationError(f"{where} is a file, but must be a folder") from error
        raise


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


def _account(folder: Path) -> Account:
    with suppress(KeyError):
        if owner := folder.stat().st_uid:
            return _known(pwd.getpwuid(owner))
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return _known(pwd.getpwnam(name))
    raise ServiceError("PostgreSQL refuses to run as root, and there is no user `nobody` here")


def _owner(root: Path) -> Account:
    uid = root.stat().st_uid
    try:
        return _known(pwd.getpwuid(uid))
    except KeyError:
        raise ServiceError(f"{root} belongs to the user number {uid}, who is not known") from None


def _known(entry: pwd.struct_passwd) -> Account:
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _allowed(found: os.stat_result, account: Account) -> int:
    """Give the three permission bits that count for this account."""
    if found.st_uid == account.uid:
        return found.st_mode >> 6 & 7
    return found.st_mode >> (3 if found.st_gid == account.gid else 0) & 7


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_LIMIT and bool(PLAIN_PATH.fullmatch(str(path)))


def _whose(path: str | Path) -> str:
    existing = next(
        (each for each in (Path(path), *Path(path).parents) if os.access(each, os.F_OK)), None
    )
    try:
        return existing.owner() if existing else "somebody else"
    except (OSError, KeyError):
        return "somebody else"


def _discard(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
