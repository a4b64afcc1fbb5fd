"""Tests that see only their own rows and keys, some of which harm themselves, a worker or a server.

`soak.py` copies this file into a project and runs it there: `PLAN` names the file that says
what each test does, `SEEN` the one in which each says when it began, did harm and ended.
"""

import asyncio
import json
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

PLAN = json.loads(Path(os.environ["PLAN"]).read_text())
ENDLESS = "SELECT pg_sleep(600)"
KEPT = []  # what leaked, so that nobody collects it
FIXTURES = {"sandbox": ["db"], "own": ["database"], "redis": ["redis"], "all": ["db", "redis"]}


def note(number, what):
    with Path(os.environ["SEEN"]).open("a") as file:
        file.write(f"{time.monotonic_ns()} {os.environ['PYTEST_XDIST_WORKER']} {number} {what}\n")


@pytest.fixture(autouse=True)
def noted(number):
    note(number, "begins")
    crash = threading.Timer(PLAN[number]["pause"], os.kill, [os.getpid(), signal.SIGKILL])
    if PLAN[number]["harm"] == "crash anywhere":
        crash.start()
    yield
    if crash.ident:  # the test failed before it: the crash must not be the next one's
        crash.join()
    note(number, "ends")


@pytest.fixture
def used(request, number, noted):
    return {name: request.getfixturevalue(name) for name in FIXTURES[PLAN[number]["uses"]]}


async def rows(db):
    async with db.read() as session:
        return list(await session.scalars(text("SELECT id FROM items ORDER BY id")))


async def add(db, number):
    async with db.begin() as session:
        await session.execute(text(f"INSERT INTO items VALUES ({number})"))


async def backend(db):
    async with db.read() as session:
        return await session.scalar(text("SELECT pg_backend_pid()"))


async def wait_in_a_statement(db):
    async with db.begin() as session:
        await session.execute(text(ENDLESS))


def processes():
    command = ["ps", "-A", "-o", "pid=,ppid=,stat="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    found = (line.split() for line in listed.stdout.splitlines())
    return {int(pid): int(parent) for pid, parent, state in found if not state.startswith("Z")}


def kill(number, server, pid, how, family):
    """Kill a process, and wait until all that end with it have ended."""
    note(number, f"harms {server}")
    os.kill(pid, how)
    while family & set(processes()):
        time.sleep(0.01)
    note(number, f"has harmed {server}")
    pytest.fail("did harm")


async def kill_postgres(number, db, redis, *, how, backend_only=False):
    found = processes()
    own = await backend(db)
    postmaster = found[own]
    children = {pid for pid, parent in found.items() if parent == postmaster}
    if backend_only:
        kill(number, "postgres", own, how, children)
    kill(number, "postgres", postmaster, how, children | {postmaster})


async def crash(number, db, redis):
    os.kill(os.getpid(), signal.SIGKILL)


async def wait_for_the_crash(number, db, redis):
    await asyncio.sleep(600)


async def kill_redis(number, db, redis):
    pid = (await redis.info())["process_id"]
    kill(number, "redis", pid, signal.SIGKILL, {pid})


async def terminate(number, db, redis):
    async with db.begin() as session:
        await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


async def terminate_and_go_on(number, db, redis):
    with suppress(SQLAlchemyError):
        await terminate(number, db, redis)


async def cancel(number, db, redis):
    with suppress(TimeoutError):
        async with asyncio.timeout(PLAN[number]["pause"] / 10):
            await wait_in_a_statement(db)


async def leak(number, db, redis):
    await db.session().execute(text("SELECT 1"))


async def leak_and_keep(number, db, redis):
    KEPT.append(db.session())
    await KEPT[-1].execute(text("SELECT 1"))


async def leave_tasks(number, db, redis):
    KEPT.append(asyncio.create_task(asyncio.sleep(600)))
    KEPT.append(asyncio.create_task(rows(db)))
    KEPT.append(asyncio.create_task(wait_for_the_crash(number, db, redis)))
    await asyncio.sleep(0)


async def leave_a_statement(number, db, redis):
    KEPT.append(asyncio.create_task(wait_in_a_statement(db)))
    await asyncio.sleep(PLAN[number]["pause"] / 10)


async def ask_many_at_once(number, db, redis):
    await asyncio.gather(*(db.ping() for _ in range(3)))


HARMS = {
    "crash": crash,
    "crash anywhere": wait_for_the_crash,
    "kill redis": kill_redis,
    "quit postgres": partial(kill_postgres, how=signal.SIGQUIT),
    "kill postgres": partial(kill_postgres, how=signal.SIGKILL),
    "kill backend": partial(kill_postgres, how=signal.SIGKILL, backend_only=True),
    "terminate": terminate,
    "terminate and go on": terminate_and_go_on,
    "cancel": cancel,
    "leak": leak,
    "leak and keep": leak_and_keep,
    "task": leave_tasks,
    "task in a statement": leave_a_statement,
    "many at once": ask_many_at_once,
}


async def test_own_data_only(number, used):
    """See nothing of any other test, write, do harm if told to, and see what was written."""
    planned = PLAN[number]
    databases = [used[name] for name in ("db", "database") if name in used]
    mine = [10 * number + each for each in range(3)]
    for db in databases:
        assert await rows(db) == []
        for each in mine:
            await add(db, each)
    if redis := used.get("redis"):
        assert await redis.keys() == []
        await redis.set(f"of {number}", number, ex=600)
    await asyncio.sleep(planned["pause"])
    if harm := HARMS.get(planned["harm"]):
        await harm(number, used.get("db") or used.get("database"), used.get("redis"))
    for db in databases:
        assert await rows(db) == mine
    if "database" in used:
        await asyncio.gather(*(add(used["database"], each + 5) for each in mine))
    if redis:
        assert await redis.keys() == [f"of {number}".encode()]


def pytest_generate_tests(metafunc):
    metafunc.parametrize("number", range(len(PLAN)))
