"""What the explorer takes for Redis and PostgreSQL does what the scripts and statements do."""

import json
import os
import random

import pytest
from sqlalchemy import BigInteger, MetaData, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.state.explorer.postgres_twin import Insert, PostgresTwin
from tests.state.explorer.redis_twin import RedisTwin

from holdfast.errors import HoldfastError
from holdfast.state import StatePolicy, StateTable, state_version
from holdfast.state.port import Port
from holdfast.state.requests import (
    Acknowledge,
    Adopt,
    Adoption,
    Claim,
    Close,
    Count,
    Delete,
    Fill,
    Flush,
    Get,
    Page,
    Purge,
    Read,
    Refuse,
    Save,
    Select,
    Take,
    Text,
    Versions,
    Write,
)
from holdfast.state.rows import Rows
from holdfast.state.scripts import Scripts
from holdfast.state.versions import epoch

SEEDS = range(max(2, int(os.environ.get("HOLDFAST_SCHEDULES", "500")) // 1_000))
REQUESTS = 250
KEYS = ("k", "l", "m")
MOST_MARKS = 2
POLICY = StatePolicy(timeout=30, flush_timeout=30, lease=60, dirty_limit=MOST_MARKS)
STALE = "of-another-life"


class Own(DeclarativeBase):
    """Tables of this module."""

    metadata = MetaData()


class Game(Own):
    """A row whose other column shows something of its state."""

    __tablename__ = "games"

    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[int] = mapped_column(JSONB())
    shown: Mapped[int] = mapped_column(BigInteger())
    version: Mapped[int] = state_version()


class NumbersOnly(PostgresTwin):
    """The twin of a column of JSONB, which takes no NUL."""

    def takes(self, state):
        """Tell whether a state is one for the column."""
        return b"\\u0000" not in state


@pytest.fixture
async def port(db, client):
    """Give the way to both servers, with a table."""
    async with db.engine.begin() as connection:
        await connection.run_sync(Own.metadata.create_all)
    table = StateTable(model=Game, prefix="game:", columns={"shown": lambda state: state})
    return Port(Scripts(client, 30), Rows(db.engine, table), "game:", POLICY)


@pytest.mark.parametrize("seed", SEEDS)
async def test_redis(seed, port, client):
    """The same requests have the same answers, and leave the same fields."""
    rng, twin = random.Random(seed), RedisTwin(MOST_MARKS)
    twin.incarnation = (await client.info("replication"))["master_replid"]
    twin.now = 1_000
    asked = set()
    for number in range(REQUESTS):
        twin.now += 0.001
        if rng.random() < 0.1:
            await tamper(rng, client, port, twin)
        requests = ask_redis_for_some(rng, twin, port, number)
        expected = [twin.answer(each) for each in requests]
        asked |= {
            (type(each), type(answer), repr(answer)[:20])
            for each, answer in zip(requests, expected, strict=True)
        }

        ask = port.all if len(requests) > 1 else ask_alone(port)
        assert await ask(requests) == expected, requests
        await keep_time(client, port, twin)
        assert await dump(client, port) == dump_twin(twin), requests

    assert {kind for kind, _, _ in asked} == set(RedisTwin.scripts)
    assert len(asked) > 25, "answers of each kind were met"


def ask_alone(port):
    """Ask as one does who wants nothing else."""

    async def ask(requests):
        return [await port(each) for each in requests]

    return ask


def ask_redis_for_some(rng, twin, port, number):
    """Make one request, or some of a kind, which are carried out together."""
    first, *others = [ask_redis(rng, twin, port, number) for _ in range(rng.choice((1, 1, 20)))]
    return [first, *(each for each in others if type(each) is type(first))]


def ask_redis(rng, twin, port, number):
    """Make a request that may be right or come too late."""
    key = rng.choice(KEYS)
    known = twin.values.get(key, {}).get("v", 1 << 60)
    version = rng.choice((known, known, known, known + 1))
    filled = version + (1 << 23)
    later = filled + rng.choice((0, 0, 1))
    token = f"{rng.randrange(2):016x}"
    fresh = f"{rng.choice((number, number, number - 3)):016x}"
    state = Text(b"%d" % number, b'{"shown": %d}' % number)
    return rng.choice(
        (
            Get(key),
            Read(key),
            *[Save(key, version, version + 1, state, fresh)] * 5,
            *[Claim(key, token)] * 4,
            *[Fill(key, token, later, state, rng.random() < 0.5, filled)] * 4,
            *[Acknowledge(key, version), Acknowledge(key)],
            Close(key, token, rng.choice((None, version))),
            Purge(key, token),
            *[Take(f"{port.own}dirty", rng.randint(1, 2), token)] * 2,
            Refuse(key, version, f"reason {number}"),
        )
    )


async def tamper(rng, client, port, twin):
    """Have something happen that no script does."""
    key = rng.choice(KEYS)
    name, leases = f"game:{key}", f"{port.own}dirty:leases"
    what = rng.choice(("restarted", "dropped", "released"))
    if what == "released" and key in twin.leases:
        twin.leases[key] = 0, ""
        await client.hset(leases, key, "0")
    elif what == "dropped":
        twin.values.pop(key, None)
        await client.delete(name)
    elif what == "restarted" and key in twin.values:
        value = twin.values[key]
        old = {"r": STALE} if "v" in value else {}
        old |= {"c": value["c"][:16] + STALE} if "c" in value else {}
        twin.put(key, old)
        await client.hset(name, mapping=old)


async def keep_time(client, port, twin):
    """Put the twin's times for the server's."""
    for key, since in twin.marks.items():
        await client.zadd(f"{port.own}dirty", {key: since}, xx=True)


async def dump(client, port):
    """Read all that the server has of the store."""
    marks = f"{port.own}dirty"
    return (
        {key: found for key in KEYS if (found := await client.hgetall(f"game:{key}"))},
        [key.decode() for key in await client.zrange(marks, 0, -1)],
        sorted(key.decode() for key in await client.hkeys(f"{marks}:leases")),
        await client.hgetall(f"{marks}:refused"),
        [key for key in KEYS if await client.pttl(f"game:{key}") > 0],
    )


def dump_twin(twin):
    """Give the same of the twin."""
    return (
        {
            key: {b"%b" % name.encode(): field(value) for name, value in each.items()}
            for key, each in twin.values.items()
        },
        sorted(twin.marks, key=lambda key: (twin.marks[key], key)),
        sorted(twin.leases),
        {key.encode(): reason.encode() for key, reason in twin.refused.items()},
        [key for key in KEYS if "v" not in twin.values.get(key, {"v": 0})],
    )


def field(value):
    """Write a field as a hash has it."""
    if isinstance(value, tuple):
        value = "".join(value)
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.mark.parametrize("seed", SEEDS)
async def test_postgres(seed, port, db):
    """The same requests have the same answers, and leave the same rows."""
    rng, twin = random.Random(seed), NumbersOnly()
    asked = set()
    for number in range(REQUESTS):
        async with db.engine.begin() as connection:
            if rng.random() < 0.1:
                await insert(connection, twin, rng.choice(KEYS), number)
            await keep_epochs(connection, twin)
        request = ask_postgres(rng, twin, number)
        expected, answer = answer_of_twin(twin, request), await answer_of(port, request)
        agree_on_order(twin, request, expected, answer)
        asked.add((type(request), bool(expected)))

        assert answer == expected or is_permuted(request, answer, expected), request
        assert await rows(db) == {
            key: (version, json.loads(each.state), json.loads(each.columns)["shown"])
            for key, (version, each) in twin.rows.items()
        }, request

    assert {Select, Versions, Count, Page, Adopt, Flush, Delete} == {kind for kind, _ in asked}
    assert len(asked) >= 12, "each was also answered with nothing"


def ask_postgres(rng, twin, number):
    """Make a request that may be right or come too late."""
    keys = rng.sample(KEYS, rng.choice((1, 1, 2)))
    version = {key: twin.rows.get(key, (0, None))[0] + rng.choice((0, 0, 1, -1)) for key in KEYS}
    state = b'"\\u0000"' if rng.random() < 0.1 else b"%d" % number
    columns = rng.choice((b"", b'{"shown": %d}' % number))
    given = Text(state, columns)
    return rng.choice(
        (
            Select(keys[0]),
            Versions(keys),
            Count(),
            Page(rng.choice((None, *KEYS)), rng.randint(1, 2)),
            *[Adopt([Adoption(key, version[key], rng.choice((None, given))) for key in keys])] * 3,
            *[Flush([Write(key, version[key] + 1, given) for key in sorted(keys)])] * 3,
            Delete(keys[0], epoch(version[keys[0]]) + rng.choice((0, 1))),
        )
    )


async def insert(connection, twin, key, number):
    """Make a row, as an application does."""
    if key in twin.rows:
        return
    await connection.execute(
        text("INSERT INTO games (id, state, shown) VALUES (:id, '0', :shown)"),
        {"id": key, "shown": number},
    )
    await keep_epochs(connection, twin)
    twin.drawn -= 1
    twin.answer(Insert(key, b"0"))
    twin.rows[key] = (twin.rows[key][0], Text(b"0", b'{"shown": %d}' % number))


async def keep_epochs(connection, twin):
    """Have the twin's sequence where the server's is: a statement that fails also draws."""
    found = await connection.execute(text("SELECT last_value, is_called FROM holdfast_epoch"))
    last, called = found.one()
    twin.drawn = last if called else 0


async def rows(db):
    """Read all rows."""
    async with db.read() as session:
        found = await session.execute(text("SELECT id, version, state, shown FROM games"))
        return {key: tuple(each) for key, *each in found}


async def answer_of(port, request):
    """Ask the server."""
    try:
        answer = await port(request)
    except HoldfastError as error:
        return type(error)
    return dict(answer) if isinstance(request, Adopt | Versions) else answer


def answer_of_twin(twin, request):
    """Ask the twin."""
    try:
        return twin.answer(request)
    except HoldfastError as error:
        return type(error)


def is_permuted(request, answer, expected):
    """Tell whether epochs were given in another order, which nothing depends on."""
    return isinstance(request, Adopt) and sorted(answer.values()) == sorted(expected.values())


def agree_on_order(twin, request, expected, answer):
    """Have the twin give epochs in the order of the server."""
    if isinstance(request, Adopt) and isinstance(expected, dict):
        for key in expected:
            twin.rows[key] = (answer[key], twin.rows[key][1])
