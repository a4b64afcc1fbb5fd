"""The demo on real servers, and that each of its checks can fail."""

import io
import sys
import uuid

import pytest
from rich.console import Console
from sqlalchemy import func, select, text

from faceplate.demo import __main__ as demo
from faceplate.demo import play, stack
from faceplate.demo.ledger import Ledger
from faceplate.models import User
from faceplate.services.messages import add_message
from holdfast.database import Database

PLAYED = (play.USERS, play.CONVERSATIONS, play.TASKS, play.CONNECTIONS)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Chat little: what is checked does not depend on how much."""
    monkeypatch.setattr(play, "USERS", 5)
    monkeypatch.setattr(play, "CONVERSATIONS", 21)
    monkeypatch.setattr(play, "SAID", 6)
    monkeypatch.setattr(play, "TASKS", 12)
    monkeypatch.setattr(play, "CONNECTIONS", 6)
    monkeypatch.setattr(play, "PAUSE", 0.02)


def test_it_is_as_large_as_it_says():
    """What people are told of 50 tasks and 2,000 conversations is what is played."""
    assert PLAYED == (200, 2_000, 50, 20)


@pytest.fixture
def _given(clean_environment, clone):
    clean_environment.setenv("DATABASE_URL", clone.app)
    clean_environment.setenv("DATABASE_OWNER_URL", clone.owner)


@pytest.fixture
def console():
    """Give a console that keeps what is printed."""
    return Console(file=io.StringIO(), width=160)


@pytest.mark.usefixtures("_given")
async def test_a_given_server_is_used_and_left_clean(console, clone):
    """On a server that the environment names, every check holds and the users are removed."""
    held = await demo.run(console)

    printed = console.file.getvalue()
    assert held, printed
    assert "from DATABASE_URL" in printed
    assert "162 by 12 tasks at once" in printed
    assert "5, with 21 conversations" in printed
    async with Database(clone.owner) as db, db.read() as session:
        assert await session.scalar(select(func.count()).select_from(User)) == 0


@pytest.mark.usefixtures("_given")
async def test_connections_are_really_cut(console, monkeypatch):
    """Back ends end while messages are written, and no more of them are there than allowed."""
    seen = []
    monkeypatch.setattr(demo, "print_report", lambda _console, report: seen.append(report.played))

    assert await demo.run(console)

    assert seen[0].cut > 0
    assert 0 < seen[0].connections <= 6


@pytest.mark.usefixtures("_given")
async def test_a_run_without_trouble_shows_nothing(console, monkeypatch):
    """Where no back end was terminated the run fails, although every message is there."""
    monkeypatch.setattr(play, "PAUSE", 60)

    assert not await demo.run(console)

    [broken] = [line for line in console.file.getvalue().splitlines() if "BROKEN" in line]
    assert "0 back ends were terminated meanwhile" in broken


async def lose_one(session, conversation, role, **message):
    """Acknowledge every message and store all but one of them."""
    lose_one.calls += 1
    if lose_one.calls != 30:
        await add_message(session, conversation, role, **message)


async def write_one_twice(session, conversation, role, **message):
    """Store one message a second time, as a retry does that is not safe."""
    lose_one.calls += 1
    for _ in range(2 if lose_one.calls == 30 else 1):
        await add_message(session, conversation, role, **message)


async def date_one_back(session, conversation, role, **message):
    """Give one message a time before all others of its conversation."""
    lose_one.calls += 1
    written = await add_message(session, conversation, role, **message)
    if lose_one.calls == 162:
        await session.execute(
            text("UPDATE faceplate.messages SET created_at = '2020-01-01 00:00Z' WHERE id = :id"),
            {"id": written.id},
        )


@pytest.mark.usefixtures("_given")
@pytest.mark.parametrize(
    ("harm", "broken"),
    [
        (lose_one, "162 acknowledged messages is there, once"),
        (write_one_twice, "162 acknowledged messages is there, once"),
        (date_one_back, "all of them are in order"),
    ],
)
async def test_harm_is_found(console, monkeypatch, harm, broken):
    """A message that is lost, stored twice or out of order breaks the check that says so."""
    lose_one.calls = 0
    monkeypatch.setattr(play, "add_message", harm)
    monkeypatch.setattr(play, "PAUSE", 60)  # nothing is cut: each message is written once

    assert not await demo.run(console)

    broken_lines = [line for line in console.file.getvalue().splitlines() if "BROKEN" in line]
    assert any(broken in line for line in broken_lines), broken_lines


HERE = uuid.UUID(int=1)


def told(*contents):
    """Make a ledger of messages that were sent and acknowledged one after the other."""
    ledger = Ledger()
    for content in contents:
        ledger.acknowledge(HERE, ledger.send(content))
    return ledger


@pytest.mark.parametrize(
    ("stored", "holds"),
    [
        (["a", "b", "c"], [True, True, True, True]),
        (["a", "c"], [False, True, True, True]),
        (["a", "b", "b", "c"], [False, True, True, False]),
        (["b", "a", "c"], [True, False, True, True]),
        (["a", "b", "c", "given up"], [True, True, False, False]),
        (["a", "b", "c", "unknown"], [True, True, True, True]),
        (["a", "unknown", "b", "c", "unknown"], [True, True, True, False]),
        (["a", "b", "c", "never sent"], [True, True, True, False]),
    ],
)
def test_what_the_ledger_finds(stored, holds):
    """Lost, doubled, out of order, given up and there all the same, or from nowhere."""
    ledger = told("a", "b", "c")
    ledger.failed.add("given up")
    ledger.unknown.add("unknown")

    assert list(ledger.check({HERE: stored}).values()) == holds


def test_messages_sent_at_the_same_time_have_no_order():
    """Of two that were under way together, either may be the first."""
    ledger = Ledger()
    both = [ledger.send(content) for content in "ab"]
    for message in both:
        ledger.acknowledge(HERE, message)

    for stored in ("ab", "ba"):
        assert all(ledger.check({HERE: list(stored)}).values())


def test_an_own_server_is_started_and_stopped(clean_environment, monkeypatch, capsys):
    """Without a URL the demo runs on a server of its own, ends with `demo: ok` and stops it."""
    stopped = []
    stop = stack.PostgresServer.stop

    async def watched(server):
        await stop(server)
        stopped.append(server)

    monkeypatch.setattr(stack.PostgresServer, "stop", watched)

    demo.main()

    assert capsys.readouterr().out.endswith("\ndemo: ok\n")
    assert len(stopped) == 1


def test_an_unreachable_database_is_one_line(clean_environment, monkeypatch, capsys):
    """A database that does not answer ends the demo in one line, without the password."""
    clean_environment.setenv("DATABASE_URL", "postgresql://ann:hunter2@127.0.0.1:1/range")
    monkeypatch.setattr(sys, "argv", ["demo"])

    with pytest.raises(SystemExit) as ended:
        demo.main()

    assert str(ended.value.code).startswith("error: PostgreSQL at 127.0.0.1:1/range: ")
    assert "hunter2" not in str(ended.value.code) + capsys.readouterr().out


@pytest.mark.usefixtures("_given")
def test_a_broken_check_fails(monkeypatch):
    """A check that does not hold ends the demo with an exit code of its own words."""

    async def broken(_console):
        return False

    monkeypatch.setattr(demo, "run", broken)

    with pytest.raises(SystemExit, match="a check does not hold"):
        demo.main()


@pytest.mark.usefixtures("_given")
def test_ctrl_c_is_one_line(monkeypatch):
    """Interrupted, it says that nothing is left running."""

    async def interrupted(_console):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupted)

    with pytest.raises(SystemExit, match="interrupted; nothing is left running"):
        demo.main()
