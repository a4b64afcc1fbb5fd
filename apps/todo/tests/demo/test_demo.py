"""The demo on both engines, and that each of its checks can fail."""

import io
import sys

import pytest
from rich.console import Console
from sqlalchemy import func, select, text

from holdfast.database import Database
from todo.demo import __main__ as demo
from todo.demo import play
from todo.models import Task
from todo.services.tasks import add_task, complete_task, get_task, list_tasks


@pytest.fixture
def console():
    """Give a console that keeps what is printed."""
    return Console(file=io.StringIO(), width=160)


@pytest.mark.usefixtures("on_clone")
async def test_a_given_server_is_used_and_left_clean(console, clone):
    """On a server that the environment names, every check holds and the tasks are removed."""
    held = await demo.run(console)

    printed = console.file.getvalue()
    assert held, printed
    assert "SQLite" in printed
    assert "PostgreSQL, from DATABASE_URL" in printed
    assert printed.count("ok: ") == 2 * 6 + 1
    assert printed.count("Buy milk") == 2
    async with Database(clone.owner) as db, db.read() as session:
        assert await session.scalar(select(func.count()).select_from(Task)) == 0


async def add_one_twice(session, user, title):
    """Store a task a second time, as a retry does that is not safe."""
    if title == "Bake bread":
        await add_task(session, user, title)
    return await add_task(session, user, title)


async def lose_one(session, user, title):
    """Acknowledge a task that is not stored."""
    task = await add_task(session, user, title)
    if title == "Bake bread":
        await session.delete(task)
    return task


async def complete_nothing(session, user, task):
    """Acknowledge what was not done."""
    return await get_task(session, user, task)


async def complete_without_a_time(session, user, task):
    """Leave the time as it was."""
    before = (await get_task(session, user, task)).updated_at
    done = await complete_task(session, user, task)
    done.updated_at = before
    return done


async def give_to_anybody(session, _user, task):
    """Look at the task alone, not at whose it is."""
    return await session.get_one(Task, task)


async def list_in_any_order(session, user, **options):
    """Give a page in the wrong order."""
    page = await list_tasks(session, user, **options)
    page.items.reverse()
    return page


@pytest.mark.usefixtures("on_clone")
@pytest.mark.parametrize(
    ("name", "harm", "broken"),
    [
        ("add_task", add_one_twice, "12 tasks that were added at once are there"),
        ("add_task", lose_one, "12 tasks that were added at once are there"),
        ("list_tasks", list_in_any_order, "12 tasks that were added at once are there"),
        ("complete_task", complete_nothing, "of two that were completed one was reopened"),
        ("complete_task", complete_without_a_time, "every change moved updated_at"),
        ("get_task", give_to_anybody, "Bob sees his own tasks alone"),
    ],
)
async def test_harm_is_found(console, monkeypatch, name, harm, broken):
    """What is lost, doubled, not done or somebody else's breaks the check that says so."""
    monkeypatch.setattr(play, name, harm)

    assert not await demo.run(console)

    lines = [line for line in console.file.getvalue().splitlines() if "BROKEN" in line]
    assert any(broken in line for line in lines), lines


async def test_a_database_that_is_not_as_it_should_be(console, on_clone):
    """A check on one engine fails although the other one is right."""
    async with Database(on_clone.owner) as db, db.begin() as session:
        await session.execute(text("ALTER TABLE tasks DROP CONSTRAINT ck_tasks_title_not_empty"))

    assert not await demo.run(console)

    [line] = [line for line in console.file.getvalue().splitlines() if "BROKEN" in line]
    assert "the database refuses one too" in line


def test_an_own_server_is_started_and_stopped(clean_environment, monkeypatch, capsys):
    """Without a URL the demo runs on a server of its own, ends with `demo: ok` and stops it."""
    stopped = []
    stop = demo.PostgresServer.stop

    async def watched(server):
        await stop(server)
        stopped.append(server)

    monkeypatch.setattr(demo.PostgresServer, "stop", watched)

    demo.main()

    assert capsys.readouterr().out.endswith("\ndemo: ok\n")
    assert len(stopped) == 1


def test_an_unreachable_database_is_one_line(clean_environment):
    """A database that does not answer ends the demo in one line, without the password."""
    clean_environment.setenv("DATABASE_URL", "postgresql://ann:hunter2@127.0.0.1:1/tasks")

    with pytest.raises(SystemExit) as ended:
        demo.main()

    assert str(ended.value.code).startswith("error: PostgreSQL at 127.0.0.1:1/tasks: ")
    assert "hunter2" not in str(ended.value.code)


@pytest.mark.parametrize(
    ("ends", "says"),
    [(False, "a check does not hold"), (KeyboardInterrupt(), "interrupted; nothing is left")],
)
def test_how_it_ends(clean_environment, ends, says):
    """A broken check and Ctrl-C are one line each, and exit code 1."""

    async def run(_console):
        if isinstance(ends, BaseException):
            raise ends
        return ends

    clean_environment.setattr(demo, "run", run)
    clean_environment.setattr(sys, "argv", ["demo"])

    with pytest.raises(SystemExit, match=says):
        demo.main()
