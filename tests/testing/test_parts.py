"""Small parts of the kit: statements are counted, callers found, Redis is shared."""

import json
import select
import socket
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

import holdfast
from holdfast.pool import Caller, find_caller, is_library
from holdfast.testing import count_statements
from holdfast.testing.keyspace import open_keyspace, with_number
from holdfast.testing.servers import Guest, Host, Servers


async def test_statements_are_counted(db):
    """All of them, by any session of the database, without BEGIN and COMMIT."""
    with count_statements(db) as counted:
        async with db.begin() as session:
            await session.execute(text("SELECT 1"))
        async with db.read() as session:
            await session.execute(text("SELECT\n 2"))
    await db.ping()

    assert [each.sql for each in counted.statements] == ["SELECT 1", "SELECT\n 2"]
    assert len(counted) == 2


async def ask(db, *sql):
    async with db.read() as session:
        for each in sql:
            await session.execute(text(each))


async def test_too_many_statements_are_listed(db):
    """The failure has every statement, with the line that sent it."""
    with pytest.raises(AssertionError) as error, count_statements(db, at_most=1):
        await ask(db, "SELECT 1", "SELECT\n 2")

    said, first, second = str(error.value).splitlines()
    assert said == "2 statements were sent, at most 1 expected:"
    line = ask.__code__.co_firstlineno + 3
    assert first == f"  1. {__file__}:{line}: SELECT 1"
    assert second == f"  2. {__file__}:{line}: SELECT 2"


async def test_one_statement_is_one(db):
    """Where none was expected, the sentence is about one."""
    with pytest.raises(AssertionError) as error, count_statements(db, at_most=0):
        await ask(db, "SELECT 1")

    assert str(error.value).splitlines()[0] == "1 statement was sent, at most 0 expected:"


async def test_what_fails_in_the_block_comes_out(db):
    """An error of the code is not hidden behind a count."""
    with pytest.raises(ProgrammingError), count_statements(db, at_most=0):
        await ask(db, "SELECT nothing")


def test_a_caller_is_somebody_s_own_line():
    """Neither a library's nor Holdfast's, and a folder with a longer name is neither."""
    here = test_a_caller_is_somebody_s_own_line.__code__.co_firstlineno
    assert find_caller() == Caller(__file__, here + 3)
    assert is_library(pytest.__file__)
    assert is_library(json.__file__)
    assert is_library("<string>")
    assert is_library(holdfast.__file__)
    assert not is_library(f"{Path(holdfast.__file__).parent}_shop/a.py")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=3"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=5"),
        ("redis://:secret@here:7/4", "redis://:secret@here:7?db=7"),
        ("redis://here", "redis://here?db=3"),
        ("rediss://here/1?protocol=3", "rediss://here?protocol=3&db=4"),
    ],
)
def test_databases_of_redis_are_counted_from_the_given_one(url, expected):
    """The rest of the URL stays."""
    assert with_number(url, number=3) == expected


async def test_processes_share_a_redis_with_one_database(redis_url):
    """Where there are fewer databases than processes, all have the same one, and take turns."""
    first = await open_keyspace(redis_url, 1, 10**6, unsafe=True)
    assert first.shared
    assert first.url == redis_url
    await first.close()

    second = await open_keyspace(redis_url, 1, 2, unsafe=True)
    assert not second.shared
    assert second.url == with_number(redis_url, number=1)
    await second.close()


@pytest.fixture
def host(tmp_path):
    """Give the first process of a run."""
    made = Host(Servers(tmp_path))
    yield made
    made.close()


def test_turns_are_taken_one_by_one(host):
    """One process waits for the other, and does not wait for one that has died."""
    guest = Guest(host.invite())
    order = []

    def wait(party, name):
        with party.turn():
            order.append(name)

    with guest.turn():
        waiting = [
            threading.Thread(target=wait, args=[party, name])
            for party, name in ((host, "host"), (Guest(host.invite()), "guest"))
        ]
        for each in waiting:
            each.start()
        order.append("first")
    for each in waiting:
        each.join(30)

    assert order[0] == "first"
    assert sorted(order[1:]) == ["guest", "host"]


def test_numbers_are_those_of_processes_that_live(host):
    """A worker that replaces one that was killed takes its number, and with it its database."""
    first, second = Guest(host.invite()), Guest(host.invite())
    assert (first.number(), second.number()) == ((0, False), (1, False))

    del first  # as when its process ends: the connection closes
    end = time.monotonic() + 30
    while (number := Guest(host.invite()).number()) != (0, True) and time.monotonic() < end:
        pass

    assert number == (0, True)


def test_a_process_that_dies_while_it_asks_is_in_nobody_s_way(host):
    """Killed in the middle of its first words, which end in an error here."""
    invited = host.invite()
    with socket.socket(socket.AF_UNIX) as dying:
        dying.connect(invited["address"])
        select.select([dying], [], [])  # closed with something unread, which the other side hears

    assert Guest(invited).number() == (0, False)


def test_what_no_server_can_be_started_for_is_told(host, monkeypatch, tmp_path):
    """The message of the first process reaches the one that asked."""
    monkeypatch.setenv("HOLDFAST_REDIS_BIN", str(tmp_path))
    with pytest.raises(Exception, match="HOLDFAST_REDIS_BIN"):
        Guest(host.invite()).urls("redis")
