"""The files of one server: what is where, who owns it, and what others are told."""

import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from holdfast.errors import ServiceError
from holdfast.services.account import Account, temporary_folders

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

    def __post_init__(self) -> None:
        texts = (self.product, self.version, self.path, self.source, self.socket, self.listen or "")
        named = self.passwords.items()
        if not all(isinstance(each, str) for each in (*texts, *chain.from_iterable(named))):
            raise TypeError("a value is no text")
        if not isinstance(self.port, int):
            raise TypeError("the port is no number")


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
        """What the server prints."""
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
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(new, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        self.give(new)
        new.replace(path)

    def passwords(self, names: Sequence[str]) -> dict[str, str]:
        """Make a password for each name, once: URLs that were pasted elsewhere go on working."""
        path = self.root / "passwords"
        if not path.exists():
            self.write(path, "\n".join(secrets.token_urlsafe(18) for _ in names))
        return dict(zip(names, path.read_text(encoding="utf-8").split(), strict=True))

    def made_passwords(self) -> Sequence[str]:
        """List those that were made here."""
        with suppress(OSError):  # none was, or they are not ours to read
            return (self.root / "passwords").read_text(encoding="utf-8").split()
        return ()

    def write_info(self, info: Info) -> None:
        """Tell other processes how to reach the server."""
        self.write(self.root / "info.json", json.dumps(asdict(info), indent=1))

    def forget_info(self) -> None:
        """Remove what an earlier server told, so that nobody takes it for this one's."""
        (self.root / "info.json").unlink(missing_ok=True)

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
        except (ValueError, TypeError, AttributeError) as error:
            raise ServiceError(
                f"{path} is damaged ({error}), so the server that runs cannot be reached: "
                f"stop it with `holdfast down` and start again"
            ) from error

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
        here, *shorter = self.socket_folders()
        if _fits(here / longest):
            return self.make(here)
        for short in shorter:
            if _fits(short / longest):
                return self._claim(short)
        raise ServiceError(
            f"the path of a socket may have {SOCKET_LIMIT} bytes, and {here / longest} has more or "
            f"special characters; so has every folder for temporary files: set TMPDIR to a "
            f"shorter one"
        )

    def socket_folders(self) -> list[Path]:
        """List where sockets may be, the best first."""
        return [self.root / "socket", *self.short_folders()]

    def short_folders(self) -> list[Path]:
        """List where sockets may be when they do not fit into the server's folder."""
        name = f"holdfast-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]}"
        return [base / name for base in temporary_folders(self.account)]

    def _claim(self, path: Path) -> Path:
        owner = self.account.uid if self.account else os.geteuid()
        try:
            path.mkdir(mode=0o700)
            self.give(path)
        except FileExistsError:
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
                raise ServiceError(
                    f"{path} is needed for sockets but somebody else has made it: remove it"
                ) from None
        for left in path.iterdir():
            left.unlink()
        return path


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_LIMIT and bool(PLAIN_PATH.fullmatch(str(path)))


def _discard(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
