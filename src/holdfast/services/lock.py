"""Lock a folder for as long as any process of its server lives."""

import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self


class Lock:
    """An exclusive lock on a file, held by every process that has inherited it.

    It ends with the last of them, whatever killed them, so a free lock proves that nothing of
    the server is left. The file says who took it: the process number and a random mark.
    """

    def __init__(self, fd: int, mark: str) -> None:
        self.fd = fd
        self.mark = mark

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """Take the lock, or answer None at once when somebody has it or its folder is gone."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_ino == path.stat().st_ino:
                mark = f"{os.getpid()} {secrets.token_hex(8)}"
                os.ftruncate(fd, 0)
                os.pwrite(fd, mark.encode(), 0)
                return cls(fd, mark)
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # held, or a file that was removed while we opened it
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let go of it; processes that have inherited it hold it on."""
        os.close(self.fd)


def held(path: Path, mark: str | None = None) -> bool:
    """Tell whether anybody holds the lock at `path`, or still the one who left `mark`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        # Shared: two that only look do not see each other.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return mark in (None, os.pread(fd, 100, 0).decode())
    else:
        return False
    finally:
        os.close(fd)


def mark_of(path: Path) -> str:
    """Read who took the lock last; the first word is the process number."""
    return path.read_text(encoding="utf-8")
