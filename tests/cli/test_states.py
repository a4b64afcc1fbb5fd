"""`holdfast state`: what it prints and ends with."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from proofs.redis_engines import cluster, sentinels
from sqlalchemy import text
from tests.cli.conftest import Shell
from tests.state.conftest import PATIENT, Board, Match, make_store

from holdfast import redis
from holdfast.database import Database
from holdfast.models import uuid7
from holdfast.state import StateStore

STORES = """
from tests.state.conftest import make_store

def boards(db, client):
    return make_store(db, client)
"""
MISTAKEN = """
table = object()

class Kind:
    def __init__(self, db, client): ...

async def make(db, client): ...

def alone(): ...
"""
URLS = ("DATABASE_URL", "REDIS_URL")
Play = Callable[[Callable[[StateStore[Board]], Awaitable[Any]]], Any]


@pytest.fixture
def play(shell: Shell, project: Path, database_url: str, redis_url: str) -> Play:
    """Give what does something with the store whose commands are called."""
    (project / "stores.py").write_text(STORES)
    (project / "pyproject.toml").write_text(
        '[project]\nname = "shop"\n[tool.holdfast]\nstate = ["stores:boards"]\n'
    )
    shell.environ |= {"DATABASE_URL": database_url, "REDIS_URL": redis_url}

    async def run(work: Callable[[StateStore[Board]], Awaitable[Any]]) -> Any:
        async with (
            Database(database_url) as db,
            redis.client(redis_url, policy=PATIENT) as client,
        ):
            return await work(make_store(db, client))

    async def prepare(store: StateStore[Board]) -> None:
        async with store._engine.begin() as connection:
            await connection.run_sync(Match.metadata.create_all)

    def play(work: Callable[[StateStore[Board]], Awaitable[Any]]) -> Any:
        return asyncio.run(run(work))

    play(prepare)
    yield play
    play(lambda store: store._redis.flushdb())


def insert(play: Play, count: int) -> list[str]:
    """Insert rows, and give their keys."""
    matches = [uuid7() for _ in range(count)]

    async def work(store: StateStore[Board]) -> None:
        async with store._engine.begin() as connection:
            for match in matches:
                await connection.execute(
                    text("INSERT INTO matches (id, state) VALUES (:id, '{}')"), {"id": match}
                )

    play(work)
    return matches


def advance(play: Play, match: Any, turn: int) -> None:
    """Save a state."""
    play(lambda store: store.update(match, lambda _: Board(turn=turn, moves=["é4"])))


def test_stats(shell, play):
    """What is there, and what waits."""
    one, two = insert(play, 2)
    advance(play, one, 1)
    advance(play, two, 1)

    lines = shell("state", "stats").stdout.splitlines()

    assert lines[0] == "2 states in Redis"
    assert lines[1].startswith("2 wait to be written, the first for ")
    assert lines[2:] == ["0 are refused by the database", "0.0 were written each second"]
    assert shell.json("state", "stats")["dirty"] == 2


def test_flush(shell, play):
    """It writes what waits, and the rate is counted."""
    for match in insert(play, 3):
        advance(play, match, 1)

    assert shell("state", "flush").stdout == "3 states were written\n"
    assert shell.json("state", "flush") == {"written": 0}
    found = shell.json("state", "stats")
    assert found["dirty"] == 0
    assert found["flushed_per_second"] > 0


@pytest.mark.parametrize("prefix", ["", "match:"])
def test_show(shell, play, prefix):
    """Both versions, and the newest state as it is."""
    (match,) = insert(play, 1)
    advance(play, match, 7)

    done = shell("state", "show", f"{prefix}{match}")

    redis_line, row_line, *state = done.stdout.splitlines()
    assert redis_line.endswith("it goes on from there, waits to be written")
    assert row_line.startswith("row:   version ")
    assert json.loads("\n".join(state)) == {"turn": 7, "moves": ["é4"]}
    assert "é4" in done.stdout
    found = shell.json("state", "show", f"{prefix}{match}")
    assert (found["waits"], found["state"]["turn"]) == (True, 7)
    assert found["redis_version"] == found["row_version"] + 1


def test_show_of_what_redis_does_not_have(shell, play):
    """The row's."""
    (match,) = insert(play, 1)

    done = shell("state", "show", str(match))

    assert done.stdout.startswith("Redis: there is no such key\nrow:   version ")


@pytest.mark.parametrize(
    ("key", "code", "says"),
    [
        ("0190a5b2-0000-7000-8000-000000000000", 1, "there is no such row"),
        ("one", 2, "'one' is no key of matches: id is a UUID"),
    ],
)
def test_show_of_an_unknown_key(shell, play, key, code, says):
    """One line, and nothing on the output."""
    done = shell("state", "show", key)

    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr


def test_recover(shell, play):
    """How many were filled; what cannot be read is named, and fails it."""
    good, bad = insert(play, 2)

    async def spoil(store):
        async with store._engine.begin() as connection:
            await connection.execute(
                text("""UPDATE matches SET state = '{"turn": "x"}' WHERE id = :id"""), {"id": bad}
            )

    assert shell("state", "recover").stdout == (
        "2 rows: 2 filled, of which Redis was ahead with 0; 0 left to their next load\n"
    )
    play(spoil)
    play(lambda store: store._redis.flushdb())
    done = shell("state", "recover")
    assert done.returncode == 1
    assert done.stdout.splitlines()[1:] == [
        f"{bad}: its row holds what is no state of the store; it was left alone"
    ]
    assert play(lambda store: store._redis.exists(f"match:{good}"))


def test_verify(shell, play):
    """Nothing to name while both agree, also where Redis is ahead."""
    one, two, three = insert(play, 3)
    advance(play, one, 1)
    play(lambda store: store.load(two))

    done = shell("state", "verify")

    assert (done.returncode, done.stdout) == (
        0,
        "3 rows: 1 as in Redis, 1 wait to be written, 1 in the row only\n",
    )
    assert three


SPOILED = {
    "goes on from": "UPDATE matches SET version = version + (1 << 23)",
    "older than the row's": "UPDATE matches SET version = version + 1",
    "was written, and the row has": "UPDATE matches SET version = version - 1",
    "one state in Redis and another": """UPDATE matches SET state = '{"turn": 99}'""",
    "there is no row": "DELETE FROM matches",
}


@pytest.mark.parametrize("says", SPOILED)
def test_verify_names_every_difference(shell, play, says):
    """What somebody did to the rows behind the store's back; exit code 1."""
    (match,) = insert(play, 1)
    advance(play, match, 1)
    play(lambda store: store.persist(match))

    async def spoil(store):
        async with store._engine.begin() as connection:
            await connection.execute(text(SPOILED[says]))

    play(spoil)
    done = shell("state", "verify")

    assert done.returncode == 1
    assert str(match) in done.stdout
    assert says in done.stdout


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda store, _: store._redis.delete("holdfast:state:match:dirty"), "is not marked"),
        (lambda store, match: store._redis.set(f"match:{match}x", "mine"), "it is no state"),
    ],
)
def test_verify_names_what_is_odd_in_redis(shell, play, spoil, says):
    """Marks that somebody removed, and keys of somebody else."""
    (match,) = insert(play, 1)
    advance(play, match, 1)
    play(lambda store: spoil(store, match))

    done = shell("state", "verify")

    assert (done.returncode, says in done.stdout) == (1, True), done.stdout


@pytest.fixture(params=[sentinels, cluster])
async def several(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Give the URL of servers of which others take over."""
    async with request.param() as servers:
        yield servers.url


def test_several_servers(shell, play, several):
    """Each command does the same behind Sentinels and on a cluster."""
    one, *_ = insert(play, 3)
    shell.environ["REDIS_URL"] = several

    assert shell("state", "recover").stdout.startswith("3 rows: 3 filled")
    assert shell.json("state", "stats")["keys"] == 3
    assert shell.json("state", "show", str(one))["in_redis"] == "it goes on from there"
    assert shell("state", "flush").stdout == "0 states were written\n"
    assert shell("state", "verify").stdout.startswith("3 rows: 3 as in Redis")
    doctor = json.loads(shell("doctor", "--json").stdout)["checks"]
    assert {each["state"] for each in doctor if each["name"].startswith("redis.")} == {"ok"}
    (given,) = [each for each in shell.json("status") if each["service"] == "redis"]
    assert given["where"].removesuffix("/0") in several


def test_a_project_without_a_store(shell, database_url):
    """It says where it is named."""
    done = shell("state", "stats", DATABASE_URL=database_url)

    assert done.returncode == 2
    assert '[tool.holdfast] state = ["shop.states:make_store"]' in done.stderr


@pytest.mark.parametrize("name", ["nowhere:make", "stores:nothing", "stores"])
def test_a_store_that_cannot_be_had(shell, play, project, name):
    """By the name that is wrong."""
    (project / "pyproject.toml").write_text(f'[tool.holdfast]\nstate = ["{name}"]\n')

    done = shell("state", "stats")

    assert done.returncode == 2
    assert f"'{name}' cannot be had" in done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mistaken:make", "'mistaken:make' gives a coroutine, no StateStore"),
        ("mistaken:Kind", "'mistaken:Kind' gives a Kind, no StateStore"),
        ("mistaken:alone", "'mistaken:alone' cannot be called with a Database and a client"),
        ("mistaken:table", "'mistaken:table' cannot be called with a Database and a client"),
    ],
)
def test_what_makes_no_store(shell, play, project, name, said):
    """It is said what it is in its place."""
    (project / "mistaken.py").write_text(MISTAKEN)
    (project / "pyproject.toml").write_text(f'[tool.holdfast]\nstate = ["{name}"]\n')

    done = shell("state", "stats")

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "never awaited" not in done.stderr


def test_several_stores(shell, play, project):
    """One has to be chosen, by its prefix."""
    (project / "pyproject.toml").write_text(
        '[tool.holdfast]\nstate = ["stores:boards", "stores:boards"]\n'
    )

    done = shell("state", "stats")

    assert done.returncode == 2
    assert "Choose one by --store: match:, match:" in done.stderr


def test_no_redis(shell, play):
    """It says what is missing, or cannot be reached."""
    del shell.environ["REDIS_URL"]
    done = shell("state", "stats")
    assert (done.returncode, "set REDIS_URL" in done.stderr) == (2, True)

    done = shell("state", "stats", REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, "Redis: " in done.stderr) == (1, True)
