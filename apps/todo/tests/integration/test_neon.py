"""Neon's URL as it is printed, over TLS, through PgBouncer in transaction mode, from a cold start.

Neon's names lead to this machine here, to a port that the URL has to have besides.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from proofs.pgbouncer import SERVER_CONNECTIONS, pgbouncer
from sqlalchemy import make_url, text

from holdfast.errors import UnavailableError
from holdfast.testing.faults import TlsFront
from todo.core.database import async_session_factory, get_database, make_database
from todo.services.tasks import add_task, complete_task, list_tasks

PASSWORD = "hunter2-the-secret"
PRINTED = (
    "postgresql://{user}:{password}@ep-cool-dew-a1b2c3d4-pooler.eu-central-1.aws.neon.tech:{port}"
    "/{database}?sslmode=require&channel_binding=require"
)
PROCESSES, TASKS, ADDED = 3, 4, 25
PROGRAM = f"""
import asyncio, json, socket, uuid

from todo.core.database import get_database
from todo.services.tasks import add_task, complete_task, list_tasks

find = socket.getaddrinfo
socket.getaddrinfo = lambda _host, *rest, **options: find("127.0.0.1", *rest, **options)

async def work(db, user, task):
    for number in range({ADDED}):
        title = f"{{user}} {{task}} {{number}}"
        added = await db.run(add_task, user, title)
        done = await db.run(complete_task, user, added.id)
        assert (done.user_id, done.title, done.status) == (user, title, "completed")

async def main():
    user = uuid.uuid4()
    async with get_database() as db:
        await asyncio.gather(*(work(db, user, task) for task in range({TASKS})))
        async with db.read() as session:
            page = await list_tasks(session, user, limit=1000)
    print(json.dumps([task.title.startswith(str(user)) for task in page.items]))

asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Neon:
    """What stands in for Neon: its URL, and what lets it sleep."""

    url: str
    front: TlsFront


@pytest.fixture
async def neon(on_clone, clean_environment) -> AsyncIterator[Neon]:
    """Put PgBouncer in front of the database, and TLS in front of that, by Neon's name."""
    find = socket.getaddrinfo

    def found(host: object, *rest: object, **options: object) -> object:
        return find("127.0.0.1" if str(host).endswith(".neon.tech") else host, *rest, **options)

    clean_environment.setattr(socket, "getaddrinfo", found)
    async with pgbouncer(on_clone.app) as pooled:
        with TlsFront(pooled) as front:
            place = make_url(front.url)
            url = PRINTED.format(
                user=place.username, password=PASSWORD, port=place.port, database=place.database
            )
            clean_environment.setenv("DATABASE_URL", url)
            yield Neon(url, front)


async def test_the_url_works_as_it_is_printed(neon, ann):
    """The driver is chosen, TLS is on, and what a pooler cannot keep is not used."""
    db = get_database()
    assert (db.url.provider, db.url.pooler, db.url.tls.mode) == ("Neon", "transaction", "require")
    assert PASSWORD not in repr(db)

    await asyncio.gather(*(db.run(add_task, ann, f"task {number}") for number in range(20)))
    async with db.read() as session:
        assert len((await list_tasks(session, ann)).items) == 20
        left = await session.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
        backends = await session.scalar(
            text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        )
    assert left == 0
    assert backends <= SERVER_CONNECTIONS
    async with async_session_factory() as session:
        assert len((await list_tasks(session, ann)).items) == 20


async def test_without_tls_nobody_gets_in(neon):
    """What stands in for Neon turns away who does not ask for it, as Neon does."""
    with pytest.raises(UnavailableError, match="may not log in"):
        await make_database(f"{neon.front.url}?sslmode=disable").ping()


async def test_several_processes_get_their_own_results(neon):
    """In transaction mode they share connections, where one's statements would be another's."""
    programs = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, env=os.environ, stdout=subprocess.PIPE
        )
        for _ in range(PROCESSES)
    ]
    for program in programs:
        out, _ = await program.communicate()
        assert program.returncode == 0
        assert json.loads(out) == [True] * TASKS * ADDED


async def test_a_cold_start_is_waited_for(neon, clean_environment, ann):
    """As long as Neon may take to wake up, whatever limit there is for others."""
    clean_environment.setenv("TODO_DB_CONNECT_TIMEOUT", "0.2")
    db, impatient = get_database(), make_database(f"{neon.front.url}?sslmode=require")
    with neon.front.pause_server():
        added = asyncio.create_task(db.run(add_task, ann, "Buy milk"))
        with pytest.raises(UnavailableError, match="no answer"):
            await impatient.ping()
        assert not added.done()

    assert (await added).title == "Buy milk"
    assert (await db.run(complete_task, ann, added.result().id)).status == "completed"
    assert db.url.connect_timeout == 15
