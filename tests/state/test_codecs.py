"""What a state may be: each kind comes back as it was, also from its row."""

from dataclasses import dataclass
from typing import TypedDict

import msgspec
import pydantic
import pytest
from tests.state.conftest import POLICY, Match

from holdfast.state import StateCodec, StateStore, StateTable


class Struct(msgspec.Struct):
    """msgspec's."""

    turn: int


class Model(pydantic.BaseModel):
    """pydantic's."""

    turn: int


@dataclass
class Plain:
    """The standard library's."""

    turn: int


class Typed(TypedDict):
    """A dict with a schema."""

    turn: int


REVERSED = StateCodec[str](
    encode=lambda text: msgspec.json.encode(text[::-1]),
    decode=lambda stored: msgspec.json.decode(stored, type=str)[::-1],
)


@pytest.mark.parametrize(
    ("codec", "states"),
    [
        (Struct, [Struct(1), Struct(2)]),
        (Model, [Model(turn=1), Model(turn=2)]),
        (Plain, [Plain(1), Plain(2)]),
        (Typed, [{"turn": 1}, {"turn": 2}]),
        (dict, [{"a": [1, {"b": None}]}, {"é": 1.5}]),
        (REVERSED, ["abc", "é"]),
    ],
)
async def test_each_kind_of_state_comes_back(db, client, begin, codec, states):
    """From Redis as it was saved, and from PostgreSQL, which has its own order of keys."""
    match = await begin()
    table = StateTable(model=Match, prefix="match:")
    store = StateStore(db, client, table=table, codec=codec, policy=POLICY)
    version = (
        await StateStore(db, client, table=table, codec=dict, policy=POLICY).load(match)
    ).version

    for state in states:
        version = (await store.save(match, state, expect=version)).version
    await store.persist(match)

    assert (await store.load(match)).value == state
    assert (await store.read_durable(match)).value == state
    await client.flushdb()
    assert (await store.load(match)).value == state
