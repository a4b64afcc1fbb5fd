"""Make the project's own environment: what requirements.txt pins, and the project itself.

Runs on the machine's Python with nothing but the standard library. uv does the installing; a
machine without it gets the pinned one in `.uv`. Everything is written inside the project's
folder. `--lock` writes requirements.txt anew instead.
"""

import argparse
import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements.txt"
UV_REQUIREMENTS = ROOT / "requirements-uv.txt"
UV_FOLDER = ROOT / ".uv"
STAMP = "installed"  # in the environment; written last, so that a broken install is seen


class SetupError(Exception):
    """The environment cannot be made; the message has the reason and what to do."""


def main(arguments: list[str]) -> int:
    """Make or refresh the environment, or write the lock; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=Path(".venv"), help="the environment's folder")
    parser.add_argument("--lock", action="store_true", help="write requirements.txt anew")
    options = parser.parse_args(arguments)
    os.environ.setdefault("UV_CACHE_DIR", str(ROOT / ".cache" / "uv"))
    os.environ["UV_PYTHON_DOWNLOADS"] = "never"
    try:
        with _one_at_a_time():
            if options.lock:
                lock(find_uv())
            else:
                install(ROOT / options.venv)
    except SetupError as error:
        print(f"environment: {error}", file=sys.stderr)
        return 1
    return 0


def install(venv: Path) -> None:
    """Bring the environment to what the project's files ask for; nothing to do when it is there.

    Raises:
        SetupError: a step failed; its own output was printed.
    """
    stamp = venv / STAMP
    if _is_current(stamp):
        return
    uv = find_uv()
    installed = stamp.read_text() if stamp.exists() else None
    if installed is None:  # new, or left half made: begin from nothing
        print(f"environment: making {venv.name} with Python {sys.version.split()[0]}", flush=True)
        _run(uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, venv)
    stamp.unlink(missing_ok=True)
    python = venv / "bin" / "python"
    pins = REQUIREMENTS.read_text()
    if installed != pins:
        print("environment: installing what requirements.txt pins", flush=True)
        # Compiled here once: where Python may not write bytecode, each start would cost seconds.
        flags = ("--quiet", "--compile-bytecode", "--require-hashes", "--python", python)
        _run(uv, "pip", "sync", *flags, REQUIREMENTS)
    editable = [word for folder in _projects() for word in ("--editable", folder)]
    # The build backend is pinned with the rest, so that nothing unpinned is fetched to build.
    alone = ("--quiet", "--no-deps", "--no-build-isolation", "--offline", "--python", python)
    _run(uv, "pip", "install", *alone, *editable)
    stamp.write_text(pins)


def lock(uv: Path) -> None:
    """Write requirements.txt: the library with all extras, the applications, and the tools.

    Raises:
        SetupError: nothing satisfies all of them at once.
    """
    applications = [folder.relative_to(ROOT) / "pyproject.toml" for folder in _projects()[1:]]
    own_names = [word for folder in _projects() for word in ("--no-emit-package", _name(folder))]
    groups = ("--group", "pyproject.toml:dev", "--group", "pyproject.toml:peers")
    extras = ("--all-extras",) if applications else ()  # `.[all,testing]` has the library's own
    form = ("--universal", "--generate-hashes", "--no-emit-index-url", "--no-header")
    _run(
        uv, "pip", "compile", "--quiet", *form, "--annotation-style", "line",
        "--python-version", "3.11", *extras, *groups, *own_names,
        "--output-file", REQUIREMENTS.name, "-", *applications,
        text="--editable .[all,testing]\n",
    )  # fmt: skip


def find_uv() -> Path:
    """Return the uv on PATH, or the pinned one in the project's folder, put there if it is not.

    Raises:
        SetupError: this Python cannot make environments, or the download failed.
    """
    on_path = shutil.which("uv")
    if on_path:
        return Path(on_path)
    uv = UV_FOLDER / "bin" / "uv"
    stamp = UV_FOLDER / STAMP
    if not (stamp.exists() and stamp.read_text() == UV_REQUIREMENTS.read_text()):
        _install_uv(stamp)
    return uv


def _install_uv(stamp: Path) -> None:
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            f"{sys.executable} has no venv module; on Debian and Ubuntu: "
            f"apt install python{version}-venv (or install uv)"
        )
    print("environment: no uv on PATH; putting the pinned one into .uv", flush=True)
    _run(sys.executable, "-m", "venv", "--clear", UV_FOLDER)
    pip = (UV_FOLDER / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
    flags = ("--quiet", "--no-cache-dir", "--require-hashes", "--only-binary", ":all:")
    _run(*pip, "install", *flags, "--requirement", UV_REQUIREMENTS)
    stamp.write_text(UV_REQUIREMENTS.read_text())


def _projects() -> list[Path]:
    """Return the folders of the library and of each application, the library first."""
    return [ROOT, *sorted(path.parent for path in ROOT.glob("apps/*/pyproject.toml"))]


def _name(project: Path) -> str:
    return "holdfast" if project == ROOT else project.name


def _is_current(stamp: Path) -> bool:
    inputs = [REQUIREMENTS, *(folder / "pyproject.toml" for folder in _projects())]
    return stamp.exists() and all(path.stat().st_mtime <= stamp.stat().st_mtime for path in inputs)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let one process at a time work on the environment; the others wait and find it ready."""
    folder = ROOT / ".cache"
    folder.mkdir(exist_ok=True)
    with (folder / "environment.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(*command: str | Path, text: str | None = None) -> None:
    words = [str(word) for word in command]
    result = subprocess.run(words, cwd=ROOT, input=text, text=True, check=False)
    if result.returncode:
        raise SetupError(f"{Path(words[0]).name} {words[1]} failed (exit {result.returncode})")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
