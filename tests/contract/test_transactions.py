"""Transactions, savepoints and foreign keys are the same on every engine."""

import asyncio

import pytest
from sqlalchemy import ForeignKey, delete, func, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from holdfast.database import Database
from holdfast.errors import ReadOnlyError, TransactionAbortedError


class Base(DeclarativeBase):
    """What the tables here are made from."""


class Deck(Base):
    """A deck of cards."""

    __tablename__ = "decks"
    name: Mapped[str] = mapped_column(primary_key=True)


class Card(Base):
    """A card, which is in a deck."""

    __tablename__ = "cards"
    name: Mapped[str] = mapped_column(primary_key=True)
    deck: Mapped[str] = mapped_column(ForeignKey("decks.name", ondelete="CASCADE"))


class Note(Base):
    """A note on a deck that may come later, as long as it comes."""

    __tablename__ = "notes"
    name: Mapped[str] = mapped_column(primary_key=True)
    deck: Mapped[str] = mapped_column(
        ForeignKey("decks.name", deferrable=True, initially="DEFERRED")
    )


class Counter(Base):
    """A number that many change."""

    __tablename__ = "counters"
    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]


count = select(func.count()).select_from(Deck)


@pytest.fixture(autouse=True)
async def made(tables):
    """Make the tables."""
    await tables(Base)


async def names(db, model=Deck):
    """Give what is stored."""
    async with db.read() as session:
        return list(await session.scalars(select(model.name).order_by(model.name)))


async def add(db, *objects, error=None):
    """Add objects in one block, one after the other, which ends with the error."""
    async with db.begin() as session:
        for each in objects:
            session.add(each)
            await session.flush()
        if error:
            raise error


async def test_a_block_stores_all_or_nothing(db):
    """What a block did before its exception is not there afterwards."""
    await add(db, Deck(name="kept"))
    with pytest.raises(LookupError):
        await add(db, Deck(name="lost"), error=LookupError())

    assert await names(db) == ["kept"]


async def nest(session, *objects, error=None):
    """Add objects in a savepoint, which ends with the error."""
    async with session.begin_nested():
        session.add_all(objects)
        await session.flush()
        if error:
            raise error


async def test_a_savepoint_takes_back_a_part(db):
    """The first statement of a transaction may be in one, and what is around it stays."""
    async with db.begin() as session:
        with pytest.raises(LookupError):
            await nest(session, Deck(name="lost"), error=LookupError())
        session.add(Deck(name="kept"))
        await nest(session, Deck(name="too"))

    assert await names(db) == ["kept", "too"]


async def test_a_released_savepoint_commits_nothing(db):
    """It ends with the transaction that it is in."""

    async def work(session):
        await nest(session, Deck(name="lost"))
        raise LookupError

    with pytest.raises(LookupError):
        await db.run(work)

    assert await names(db) == []


async def test_a_refused_row_in_a_savepoint_spoils_nothing_else(db):
    """A duplicate is tried, and what is around it is stored."""
    async with db.begin() as session:
        session.add(Deck(name="first"))
        await session.flush()
        with pytest.raises(IntegrityError):
            await nest(session, Card(name="orphan", deck="none"))
        session.add(Deck(name="second"))

    assert await names(db) == ["first", "second"]


async def test_a_foreign_key_is_enforced(db):
    """A child without a parent is refused, and a parent takes its children along."""
    with pytest.raises(IntegrityError):
        await add(db, Card(name="orphan", deck="none"))
    await add(db, Deck(name="first"), Card(name="one", deck="first"))
    async with db.begin() as session:
        await session.execute(delete(Deck))

    assert await names(db, Card) == []


async def test_a_deferred_foreign_key_is_checked_at_commit(db):
    """A child may come before its parent; without one the COMMIT fails, and nothing is stored."""
    await add(db, Note(name="early", deck="first"), Deck(name="first"))
    with pytest.raises(IntegrityError):
        await add(db, Note(name="orphan", deck="none"))
    await add(db, Deck(name="second"))

    assert (await names(db), await names(db, Note)) == (["first", "second"], ["early"])


async def test_an_error_does_not_reach_the_next_transaction(db):
    """After a duplicate the same session goes on once it was rolled back."""
    await add(db, Deck(name="first"))
    async with db.session() as session:
        session.add(Deck(name="first"))
        with pytest.raises(IntegrityError):
            await session.commit()
        await session.rollback()
        session.add(Deck(name="second"))
        await session.commit()

    assert await names(db) == ["first", "second"]


async def test_a_failed_flush_that_is_swallowed_stores_nothing(db):
    """The block ends with an error, whatever was written around it."""

    async def work(session):
        session.add(Deck(name="first"))
        await session.flush()
        session.add(Card(name="orphan", deck="none"))
        with pytest.raises(IntegrityError):
            await session.flush()

    with pytest.raises(TransactionAbortedError):
        await db.run(work)

    assert await names(db) == []


async def test_ddl_is_rolled_back(clone):
    """A table that was made in a block goes with it."""
    async with Database(clone.owner) as owner:
        with pytest.raises(LookupError):
            await owner.run(make_and_fail)
        async with owner.engine.connect() as connection:
            found = await connection.run_sync(lambda each: inspect(each).get_table_names())

    assert sorted(found) == ["cards", "counters", "decks", "notes"]


async def make_and_fail(session):
    """Make a table, and fail."""
    await session.execute(text("CREATE TABLE boosters (name text)"))
    await session.execute(text("INSERT INTO boosters VALUES ('lost')"))
    raise LookupError


async def test_reading_refuses_to_write(db):
    """Neither an object nor a statement gets through."""

    async def write(statement=None, **options):
        async with db.read(**options) as session:
            session.add(Deck(name="first"))
            await (session.execute(statement) if statement is not None else session.flush())

    with pytest.raises(ReadOnlyError):
        await write()
    with pytest.raises(ReadOnlyError):
        await write(insert(Card).values(name="one", deck="first"), snapshot=True)

    assert await names(db) == []


async def test_an_uncommitted_write_is_seen_by_nobody_else(db):
    """A reader beside a writer sees what was there before, without waiting for it."""
    async with db.begin() as session:
        session.add(Deck(name="first"))
        await session.flush()
        before = await names(db)

    assert (before, await names(db)) == ([], ["first"])


async def test_a_snapshot_sees_one_moment(db):
    """What another commits meanwhile comes into view only afterwards."""
    async with db.read(snapshot=True) as session:
        assert await session.scalar(count) == 0
        await add(db, Deck(name="first"))
        assert await session.scalar(count) == 0
    async with db.read() as session:
        assert await session.scalar(count) == 1
        await add(db, Deck(name="second"))
        assert await session.scalar(count) == 2


async def test_twenty_who_read_think_and_write_lose_nothing(db):
    """The row is locked from its reading on, where a database locks rows at all."""
    await add(db, Counter(name="one", number=0))

    async def count_up(session):
        counter = await session.get_one(Counter, "one", with_for_update=True)
        await asyncio.sleep(0)
        counter.number += 1

    await asyncio.gather(*(db.run(count_up) for _ in range(20)))

    async with db.read() as session:
        assert (await session.get_one(Counter, "one")).number == 20


async def test_autocommit_stores_each_statement(db):
    """On the engine and in a plain session; there is nothing that could be rolled back."""
    async with db.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(insert(Deck).values(name="first"))
    async with db.session() as session:
        await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        await session.execute(insert(Deck).values(name="second"))
        await session.rollback()

    assert await names(db) == ["first", "second"]


@pytest.mark.parametrize("way", ["begin", "session"])
async def test_a_stream_ends_with_its_transaction(db, way):
    """What was not read of it is in nobody's way."""
    await add(db, *(Deck(name=f"deck {number}") for number in range(5)))
    async with getattr(db, way)() as session:
        rows = await session.stream_scalars(select(Deck.name).order_by(Deck.name))
        assert await anext(rows) == "deck 0"

    async with db.begin() as session:
        await session.execute(delete(Deck))
    assert await names(db) == []
