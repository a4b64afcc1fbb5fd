"""Make the data folder of a PostgreSQL: all of it, or nothing."""

import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import ConfigurationError, ServiceError
from holdfast.services.binaries import Binary
from holdfast.services.failures import failure
from holdfast.services.lock import Lock
from holdfast.services.place import Place
from holdfast.services.process import Program, until
from holdfast.services.roles import SUPERUSER
from holdfast.services.running import Spawn

LOCALES = ("C.UTF-8", "C")  # the same order on every machine; not every machine has the first
PIPE = 65_536  # bytes that a pipe holds; initdb prints some hundred


@dataclass(frozen=True, slots=True, kw_only=True)
class Initdb:
    """One making of a data folder."""

    binary: Binary
    place: Place
    lock: Lock
    spawn: Spawn
    timeout: float

    async def run(self) -> None:
        """Make the data beside its final place, so that a crash leaves no half of it there.

        Raises:
            ServiceError: initdb failed; the message has its words.
        """
        for locale in LOCALES:
            new = self.place.make(self.place.root / "data.new")
            status, words = await self._run(new, locale)
            if "invalid locale name" not in words:
                break
        if status != 0:
            shutil.rmtree(new)
            raise failure(f"initdb of {self.binary} for {self.place.root}", status, words)
        new.rename(self.place.data)

    async def _run(self, new: Path, locale: str) -> tuple[int | None, str]:
        command: list[str | Path] = [
            self.binary.path.with_name("initdb"),
            f"--pgdata={new}",
            f"--username={SUPERUSER}",
            "--encoding=UTF8",
            f"--locale={locale}",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--no-sync",
            "--no-instructions",
        ]
        # A pipe, because on a full disk there is no room for words in a file; they fit into it.
        reader, writer = os.pipe()
        stops = (signal.SIGTERM, signal.SIGKILL)
        with os.fdopen(reader, "rb"):
            with os.fdopen(writer, "wb"):
                program = Program(
                    command=command, place=self.place, lock=self.lock, output=writer, signals=stops
                )
                child = self.spawn(program)
            if not await until(lambda: child.status is not None, self.timeout):
                raise ServiceError(f"initdb did not end within {self.timeout:g} s")
            child.release()
            return child.status, _read(reader)


def major_of(data: Path) -> str | None:
    """Read which major version made a data folder, None where there is none yet.

    Raises:
        ConfigurationError: there is something else.
    """
    try:
        return (data / "PG_VERSION").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        if not data.exists():
            return None
        raise ConfigurationError(
            f"{data} is no data folder of PostgreSQL, it has no PG_VERSION: "
            f"remove it to begin anew, or put the right one there"
        ) from None


def _read(pipe: int) -> str:
    """Read what is in a pipe; a process that was killed may have left a child that holds it."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        return os.read(pipe, PIPE).decode(errors="replace")
    return ""
