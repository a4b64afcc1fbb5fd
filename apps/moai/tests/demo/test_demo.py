"""The demo, and that each of its checks can fail."""

import asyncio
import io
import itertools
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console
from sqlalchemy import update

from holdfast import transfer
from holdfast.errors import HoldfastError
from moai.core.models import Round
from moai.demo import __main__ as demo
from moai.demo import move, play
from moai.demo.play import Sent, in_order
from moai.services.discussions import complete_discussion
from moai.services.messages import add_message, list_messages
from moai.services.rounds import add_round

PLAYED = play.DISCUSSIONS


@pytest.fixture(autouse=True)
def _small(clean_environment):
    """Discuss little: what is checked does not depend on how much."""
    clean_environment.setattr(play, "DISCUSSIONS", 3)


@pytest.fixture
def console():
    """Give a console that keeps what is printed."""
    return Console(file=io.StringIO(), width=160)


def test_it_is_as_large_as_it_says():
    """What people are told is what is played."""
    assert PLAYED == 12


async def test_every_check_holds(console):
    """One discussion is shown whole, and what was said is counted."""
    held = await demo.run(console)

    printed = console.file.getvalue()
    assert held, printed
    assert printed.count("\n# Should a chat keep the answers of its models in a cache?\n") == 2
    assert "\n### mistral, asked directly (" in printed
    assert "3 at once, of 4 models" in printed
    assert "9, with 27 messages" in printed


def harmed(work, at, harm):
    """Give what does the same as a service, and at one call some harm."""
    calls = itertools.count(1)

    async def call(session, *args, **kwargs):
        if next(calls) == at:
            return await harm(work, session, *args, **kwargs)
        return await work(session, *args, **kwargs)

    return call


async def lose(_work, _session, *_args, **_kwargs):
    return None


async def do_twice(work, session, *args, **kwargs):
    await work(session, *args, **kwargs)
    return await work(session, *args, **kwargs)


async def leave_out(work, session, *args, **kwargs):
    begun = await work(session, *args, **kwargs)
    await session.execute(update(Round).where(Round.id == begun.id).values(number=7))
    return begun


async def leave_out_and_tell(work, session, *args, **kwargs):
    begun = await work(session, *args, **kwargs)
    begun.number = 7
    return begun


async def hear_nobody(work, session, *args, **kwargs):
    page = await work(session, *args, **kwargs)
    page.items.clear()
    return page


async def date_back(session, *args, **kwargs):
    """Write a message down, and one that is not the first of its round as if it were."""
    said = await add_message(session, *args, **kwargs)
    if "claude, gemini" in said.content:
        said.created_at = said.created_at.replace(year=2020)
    return said


@pytest.mark.parametrize(
    ("name", "harm", "broken"),
    [
        ("add_message", harmed(add_message, 20, lose), "messages is there, once"),
        ("add_message", harmed(add_message, 20, do_twice), "messages is there, once"),
        ("add_message", date_back, "in the order in which they arrived"),
        ("add_round", harmed(add_round, 9, leave_out), "rounds are 1, 2 and 3"),
        ("list_messages", harmed(list_messages, 12, hear_nobody), "had heard all who spoke"),
        ("complete_discussion", harmed(complete_discussion, 3, lose), "all are completed"),
    ],
)
async def test_harm_is_found(console, monkeypatch, name, harm, broken):
    """What is lost, doubled or out of order breaks the check that says so."""
    monkeypatch.setattr(play, name, harm)

    assert not await demo.run(console)

    lines = [line for line in console.file.getvalue().splitlines() if "BROKEN" in line]
    assert any(broken in line for line in lines), lines


async def test_what_is_not_refused_is_found(console, monkeypatch):
    """Where a discussion has not ended, another round is no error, and that is one."""
    monkeypatch.setattr(play, "complete_discussion", lambda *_: asyncio.sleep(0))

    assert not await demo.run(console)

    assert "BROKEN: a round after the end" in console.file.getvalue()


async def test_what_reads_otherwise_is_found(console, monkeypatch):
    """When it is read again from the file."""
    written = iter(range(10_000))
    monkeypatch.setattr(play, "write_markdown", lambda _discussion: str(next(written)))

    assert not await demo.run(console)

    assert "BROKEN: opened again, all of it reads as before" in console.file.getvalue()


async def test_what_is_otherwise_after_the_copy_is_found(console, monkeypatch):
    """A message is missing, a discussion reads otherwise, a round is not the first."""
    counted = itertools.count(1)

    async def lose_a_message(source, target, config):
        copied = await transfer.copy(source, target, config)
        tables = tuple(replace(each, rows=each.rows - 1) for each in copied.tables)
        return replace(copied, tables=tables)

    monkeypatch.setattr(move, "transfer", SimpleNamespace(copy=lose_a_message))
    monkeypatch.setattr(move, "write_markdown", lambda _discussion: str(next(counted)))
    monkeypatch.setattr(move, "add_round", harmed(add_round, 1, leave_out_and_tell))

    assert not await demo.run(console)

    printed = console.file.getvalue()
    for broken in ("every message was copied", "the discussion reads", "the next one is held"):
        assert f"BROKEN: {broken}" in printed


@pytest.mark.parametrize(("stored", "holds"), [("abc", True), ("acb", False), ("xabc", True)])
def test_order(stored, holds):
    """Of messages that were sent one after the other; what was not sent has no place."""
    sent = [Sent(content=each, sent=2 * n, acknowledged=2 * n + 1) for n, each in enumerate("abc")]

    assert in_order(sent, list(stored)) is holds


def test_messages_sent_at_the_same_time_have_no_order():
    """Of two that were under way together, either may be the first."""
    sent = [Sent(content=each, sent=n, acknowledged=n + 2) for n, each in enumerate("ab")]

    assert in_order(sent, ["a", "b"])
    assert in_order(sent, ["b", "a"])


def test_it_ends_well_and_leaves_nothing(clean_environment, tmp_path, capsys):
    """The last line says so, and its folder is gone."""
    clean_environment.setenv("TMPDIR", str(tmp_path))
    clean_environment.setattr("tempfile.tempdir", None)

    demo.main()

    assert capsys.readouterr().out.endswith("\ndemo: ok\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (HoldfastError("it cannot be reached"), "error: it cannot be reached"),
        (KeyboardInterrupt(), "interrupted; nothing is left behind"),
        (None, "demo: a check does not hold"),
    ],
)
def test_how_it_ends_otherwise(monkeypatch, raised, says):
    """In one line, with exit code 1."""

    async def run(_console):
        if raised:
            raise raised
        return False

    monkeypatch.setattr(demo, "run", run)
    monkeypatch.setattr(sys, "argv", ["demo"])

    with pytest.raises(SystemExit, match=says):
        demo.main()
