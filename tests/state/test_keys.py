"""A store's rows may be named by a number or a text as well as by a UUID."""

import dataclasses

import pytest
from sqlalchemy import BigInteger, MetaData, Text
from sqlalchemy.orm import Mapped, mapped_column
from tests.state.conftest import POLICY, Board

from holdfast.database import Database
from holdfast.errors import StoreUnavailableError
from holdfast.events import Events
from holdfast.models import Base, json_type
from holdfast.state import StateStore, StateTable, state_version


class Numbered(Base):
    """A row that is named by a number."""

    metadata = MetaData()
    __tablename__ = "numbered"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    state: Mapped[dict[str, object]] = mapped_column(json_type())
    version: Mapped[int] = state_version()


class Named(Base):
    """A row that is named by a text."""

    metadata = Numbered.metadata
    __tablename__ = "named"
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    state: Mapped[dict[str, object]] = mapped_column(json_type())
    version: Mapped[int] = state_version()


@pytest.fixture
async def tables(db: Database) -> None:
    """Make both tables."""
    async with db.engine.begin() as connection:
        await connection.run_sync(Numbered.metadata.create_all)


@pytest.mark.parametrize(
    ("model", "keys"), [(Numbered, [2, 10, -7, 2**62]), (Named, ["a:b", "é 'x'"])]
)
async def test_numbers_and_texts_are_keys(db, client, tables, model, keys):
    """Everything that a store does with a key is done, a page of one row at a time."""
    table = StateTable[Board](model=model, prefix="key:")
    policy = dataclasses.replace(POLICY, batch_size=1)
    store = StateStore(db, client, table=table, codec=Board, policy=policy)
    async with db.begin() as session:
        session.add_all([model(id=key, state={"turn": 1, "moves": []}) for key in keys])

    for key in keys:
        entry = await store.load(key)
        saved = await store.save(key, Board(turn=2), expect=entry.version)
        assert await store.persist(key, saved) == saved.version
        await store.save(key, Board(turn=3), expect=saved.version)
    assert await store.flush() == len(keys)
    await client.flushdb()
    recovered = await store.recover()
    assert (recovered.rows, recovered.filled) == (len(keys), len(keys))
    assert [(await store.read_durable(key)).value.turn for key in keys] == [3] * len(keys)
    assert [await store.delete(key) for key in keys] == [True] * len(keys)
    assert [await store.load(key) for key in keys] == [None] * len(keys)


async def test_a_deletion_in_a_transaction_that_finds_nothing_to_delete(db, store, begin):
    """Somebody else was quicker: it is False, and the rest of the transaction is the caller's."""
    match = await begin()
    entry = await store.load(match)
    async with db.begin() as session:
        assert await store.delete(match, session=session) is True
    async with db.begin() as session:
        assert await store.delete(match, expect=entry.version, session=session) is False


async def test_a_start_without_postgresql_is_unavailable(client):
    """A store says so, as it does later."""
    nowhere = "postgresql://app@/app?host=/nowhere"
    table = StateTable[Board](model=Numbered, prefix="key:")
    store = StateStore(
        Database(nowhere, events=Events(lambda _: None)),
        client,
        table=table,
        codec=Board,
        policy=POLICY,
    )

    for start in (store.open, store.recover):
        with pytest.raises(StoreUnavailableError, match="PostgreSQL"):
            await start()
