"""A store's rows may be named by a number or a text as well as by a UUID."""

import dataclasses
import enum
import uuid

import pytest
from sqlalchemy import BigInteger, MetaData, String, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column
from tests.state.conftest import POLICY, Board

from holdfast.database import Database
from holdfast.errors import InvalidValueError, StoreUnavailableError
from holdfast.events import Events
from holdfast.models import Base, json_type
from holdfast.state import StateCodec, StateStore, StateTable, state_version


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


class Short(Base):
    """A row that is named by a text of five characters, in columns whose names are odd."""

    metadata = Numbered.metadata
    __tablename__ = "short"
    id: Mapped[str] = mapped_column(String(5), primary_key=True)
    state: Mapped[str] = mapped_column("100% of:it", Text, key="state")
    turn: Mapped[int] = mapped_column("turn:%s", default=0, key="turn")
    version: Mapped[int] = state_version()


class Spelled(Base):
    """A row that is named by a UUID, as text."""

    metadata = Numbered.metadata
    __tablename__ = "spelled"
    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    state: Mapped[dict[str, object]] = mapped_column(json_type())
    version: Mapped[int] = state_version()


class Name(str, enum.Enum):  # noqa: UP042  -- whose text is its name
    """Names that are texts as well."""

    FIRST = "first"


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


async def test_a_key_that_is_too_long_is_no_shorter_one(db, client, tables):
    """It has no row; the one that begins like it is left alone."""
    store = StateStore(
        db, client, table=StateTable[Board](model=Short, prefix="key:"), codec=Board, policy=POLICY
    )
    async with db.begin() as session:
        session.add(Short(id="abcde", state='{"turn": 1}'))

    assert await store.load("abcdefgh") is None
    assert await store.delete("abcdefgh") is False
    assert (await store.load("abcde")).value == Board(turn=1)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_columns_of_odd_names(db, client, tables, database_url, driver):
    """What a driver or SQLAlchemy would take for a parameter is a name as any other."""
    table = StateTable[Board](
        model=Short, prefix="key:", columns={"turn": lambda board: board.turn}
    )
    async with db.begin() as session:
        session.add(Short(id="first", state='{"turn": 1}'))

    url = database_url.replace("postgresql://", f"postgresql+{driver}://")
    async with Database(url, events=Events(lambda _: None)) as other:
        store = StateStore(other, client, table=table, codec=Board, policy=POLICY)
        await store.open()
        entry = await store.load(Name.FIRST)
        await store.save("first", Board(turn=2), expect=entry.version)
        await store.flush()
    async with db.read() as session:
        row = await session.get_one(Short, "first")
    assert (row.turn, row.state) == (2, '{"turn":2,"moves":[]}')


async def test_spellings_of_a_key_are_one_key(db, client, tables):
    """However a UUID is written, its state is one."""
    store = StateStore(
        db, client, table=StateTable[Board](model=Spelled, prefix="key:"), codec=Board
    )
    key = uuid.uuid4()
    async with db.begin() as session:
        session.add(Spelled(id=str(key), state={"turn": 1}))

    entry = await store.load(str(key).upper())
    saved = await store.save(key.hex, Board(turn=2), expect=entry.version)
    assert (await store.load(str(key))).version == saved.version
    with pytest.raises(InvalidValueError, match=r"spelled.id cannot be 'x': it is no UUID"):
        await store.load("x")


@pytest.mark.parametrize(
    ("model", "key", "says"),
    [
        (Named, "a\0b", "it has a NUL character in it"),
        (Named, "a\ud800", "it has half a character in it"),
        (Numbered, 2**63, "PostgreSQL's numbers have 64 bits"),
    ],
)
async def test_a_key_that_no_row_can_have(db, client, model, key, says):
    """It is refused before anything is sent."""
    store = StateStore(db, client, table=StateTable[Board](model=model, prefix="key:"), codec=Board)
    with pytest.raises(InvalidValueError, match=says):
        await store.load(key)


async def test_no_text_is_a_state_where_the_codec_says_so(db, client, tables):
    """Ahead of its row when Redis is restarted, it is what goes on."""
    codec = StateCodec[str](encode=str.encode, decode=bytes.decode)
    table = StateTable[str](model=Short, prefix="key:")
    store = StateStore(db, client, table=table, codec=codec, policy=POLICY)
    async with db.begin() as session:
        session.add(Short(id="one", state="something"))
    await store.save("one", "", expect=(await store.load("one")).version)
    await client.hset("key:one", "r", "another life of Redis")

    assert (await store.load("one")).value == ""
    assert (await store.read_durable("one")).value == ""


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
