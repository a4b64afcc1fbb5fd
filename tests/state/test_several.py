"""What is asked for several keys at once is run by one script, and each has its own answer."""

from collections import Counter

import pytest
from redis.exceptions import ConnectionError as LostError
from tests.state.conftest import Board

from holdfast.errors import ConfigurationError, OutcomeUnknownError
from holdfast.state.pipelining import Pipelines
from holdfast.state.requests import (
    Absent,
    Acknowledge,
    Claim,
    Claimed,
    Fill,
    Held,
    Mark,
    Read,
    Text,
)


@pytest.fixture
def calls(monkeypatch):
    """Give what counts how often scripts were run since it was asked last."""
    sent = Counter()
    send = Pipelines.send

    async def counting(pipelines, command, size):
        sent[command[0].lower()] += 1
        return await send(pipelines, command, size)

    def count():
        found = {name: sent[name] for name in ("evalsha", "eval")}
        sent.clear()
        return found

    monkeypatch.setattr(Pipelines, "send", counting)
    return count


async def saved(store, begin, number):
    """Save so many states."""
    keys = [await begin() for _ in range(number)]
    for turn, key in enumerate(keys):
        await store.update(key, lambda _, turn=turn: Board(turn=turn + 1))
    return keys


async def test_one_call_for_many_keys(store, begin, calls):
    """A script reads what it needs of the server once for 25 of them."""
    keys = await saved(store, begin, 60)
    requests = [Read(str(key)) for key in keys]
    await store._port.all(requests[:2])  # from now on Redis has the script
    calls()

    answers = await store._port.all(requests)

    assert calls() == {"evalsha": 3, "eval": 0}
    assert [b'"turn":%d,' % (turn + 1) in each.text.state for turn, each in enumerate(answers)]
    assert [each.text.columns for each in answers] == [b'{"turn":%d}' % n for n in range(1, 61)]


async def test_few_of_what_is_large(store, begin, calls):
    """So that nobody waits for a script that copies megabytes."""
    keys = [str(await begin()) for _ in range(6)]
    text = Text(b"s" * 150_000)
    await store._port.all([Claim(key, "t" * 16) for key in keys])
    fills = [Fill(key, "t" * 16, 9, text, keep_tokens=False, persisted=9) for key in keys]
    await store._port.all(fills[:2])
    calls()

    assert await store._port.all(fills) == [False, False, True, True, True, True]
    assert calls() == {"evalsha": 3, "eval": 0}


async def test_one_of_several_that_fails_is_told_alone(store, client, begin):
    """A key that holds something else is named, and the others are read."""
    keys = await saved(store, begin, 3)
    await client.set(f"match:{keys[1]}", "no state")  # in place of the hash

    first, second, third = await store._port.all([Read(str(key)) for key in keys])

    assert isinstance(first, Held)
    assert isinstance(second, ConfigurationError)
    assert "holds something else" in str(second)
    assert isinstance(third, Held)


async def test_several_by_a_script_that_redis_has_forgotten(store, client, begin, row):
    """It is given anew."""
    keys = await saved(store, begin, 30)
    await store.flush()
    for key in keys:
        await store.update(key, lambda board: Board(turn=board.turn + 100))
    await client.script_flush()

    assert await store.flush() == 30
    assert [(await row(key))[1] for key in keys] == [*range(101, 131)]
    assert (await store.stats()).dirty == 0


async def test_several_whose_answer_is_lost_where_redis_was_just_given_the_script(
    store, client, monkeypatch
):
    """They are not run again either."""
    await client.script_flush()
    sent = []
    send = Pipelines.send

    async def lose(pipelines, command, size):
        sent.append(command[0])
        return LostError("lost") if command[0] == "EVAL" else await send(pipelines, command, size)

    monkeypatch.setattr(Pipelines, "send", lose)

    answers = await store._port.all([Acknowledge("a"), Acknowledge("b")])

    assert sent == ["EVALSHA", "EVAL"]
    assert [type(each) for each in answers] == [OutcomeUnknownError] * 2


async def test_keys_that_are_not_there(store):
    """What a script says of a key is not taken for what it says of another."""
    asked = [Read("a"), Acknowledge("a"), Acknowledge("b"), Claim("c", "t" * 16), Read("d")]

    answers = await store._port.all(asked)

    assert answers == [Absent.MISSING, Mark.MISSING, Mark.MISSING, Claimed(None), Absent.MISSING]
