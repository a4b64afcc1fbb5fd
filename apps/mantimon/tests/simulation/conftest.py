"""The command in a process of its own, and what can be seen of its workers from outside."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from holdfast.database import Database
from mantimon.db.models import ActiveGame

COMMAND = """
import typer
from holdfast.cli import run
from mantimon.cli.simulate import simulate
from mantimon.errors import InvalidInputError
app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(simulate)
run(app, wrong=(InvalidInputError,))
"""


class Quiet:
    """Progress that counts, and tells whoever waits for it."""

    def __init__(self):
        self.steps = {}
        self.done = 0
        self.told = lambda: None

    def begin(self, step, total):
        """Remember the step."""
        self.steps[step] = total

    def advance(self):
        """Count."""
        self.done += 1
        self.told()


@pytest.fixture
def progress():
    """Give progress that counts."""
    return Quiet()


@pytest.fixture
def command(patient, clone, redis_url):
    """Give what starts the command on a database of its own; what is left of it is ended."""
    started = []

    def start(*arguments, **options):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *map(str, arguments)],
            env={**os.environ, "DATABASE_URL": clone.app, "REDIS_URL": redis_url},
            **pipes | options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def children(pid):
    """Give the processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(each) for each in found.split()]


def command_line(pid):
    """Give how a process was started, as anybody on the machine sees it."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def is_there(pid):
    """Tell whether a process runs; one that has ended and was not fetched does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class Outside:
    """Looks at a simulation from outside."""

    children = staticmethod(children)
    command_line = staticmethod(command_line)
    is_there = staticmethod(is_there)

    def __init__(self, url):
        self._url = url

    async def until_games_are_played(self, by, *, workers=2):
        """Wait until each of these workers, counted from 0, is in the middle of a game."""
        begun = select(ActiveGame.id).where(ActiveGame.turn_number > 0)
        async with asyncio.timeout(120), Database(self._url) as db:
            while True:
                async with db.read() as session:
                    at_play = {game.int % workers for game in await session.scalars(begun)}
                if at_play.issuperset(by):
                    return
                await asyncio.sleep(0.01)

    async def until_gone(self, pids):
        """Wait until none of these processes is there."""
        async with asyncio.timeout(120):
            while any(map(is_there, pids)):  # noqa: ASYNC110  -- they are nobody's children
                await asyncio.sleep(0.01)


@pytest.fixture
def outside(clone):
    """Give what looks at the command from outside."""
    return Outside(clone.app)
