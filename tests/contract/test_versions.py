"""Who comes later than another writer learns of it, and overwrites nothing."""

import uuid

import pytest
from sqlalchemy import ForeignKey, MetaData, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from holdfast import models
from holdfast.errors import StaleVersionError
from holdfast.models import NAMING_CONVENTION, UUIDKey, Versioned


class Base(models.Base):
    """What the tables here are made from."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Counter(UUIDKey, Versioned, Base):
    """A number."""

    __tablename__ = "counters"
    number: Mapped[int] = mapped_column(default=0)


class Place(Versioned, Base):
    """A row with a key of two columns."""

    __tablename__ = "places"
    line: Mapped[int] = mapped_column(primary_key=True)
    row: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(default=0)


class Animal(UUIDKey, Versioned, Base):
    """A row with a part in another table."""

    __tablename__ = "animals"
    name: Mapped[str] = mapped_column(default="Rex")


class Dog(Animal):
    """The part."""

    __tablename__ = "dogs"
    id: Mapped[uuid.UUID] = mapped_column(ForeignKey("animals.id"), primary_key=True)
    number: Mapped[int] = mapped_column(default=0)


@pytest.fixture(autouse=True)
async def made(tables):
    """Make the tables."""
    await tables(Base)


async def store(db, obj):
    async with db.begin() as session:
        session.add(obj)
    return obj


async def raise_number(db, kind, key, by=1):
    async with db.begin() as session:
        (await session.get_one(kind, key)).number += by


async def load(db, kind, key):
    async with db.read() as session:
        return await session.get_one(kind, key)


@pytest.fixture
async def stale(db):
    """Give a counter that others have raised twice since it was loaded."""
    counter = await store(db, Counter())
    for _ in range(2):
        await raise_number(db, Counter, counter.id, by=10)
    return counter


async def change(session, counter):
    session.add(counter)
    counter.number += 1


async def remove(session, counter):
    await session.delete(counter)


@pytest.mark.parametrize("change", [change, remove])
@pytest.mark.parametrize("way", ["begin", "run", "session"])
async def test_the_later_of_two_writers_is_told(db, stale, way, change):
    """With the row's key and both versions; what was written first stays."""
    key = stale.id

    async def write():
        if way == "run":
            await db.run(change, stale)
            return
        async with getattr(db, way)() as session:
            await change(session, stale)
            await (session.commit if way == "session" else session.flush)()

    with pytest.raises(StaleVersionError) as refused:
        await write()

    error = refused.value
    found = (error.table, error.key, error.expected, error.found)
    assert found == ("counters", (key,), 1, 3)
    assert str(error) == (
        f"counters {key}: the object has version 1, the row has version 3; load it again, "
        "look at what has changed, and repeat the change"
    )
    stored = await load(db, Counter, key)
    assert (stored.number, stored.version) == (20, 3)


async def test_merging_is_writing(db, stale):
    """The object is copied onto the row as it is now, and that is another."""
    async with db.begin() as session:
        with pytest.raises(StaleVersionError) as refused:
            await session.merge(stale)

    error = refused.value
    found = (error.table, error.key, error.expected, error.found)
    assert found == ("counters", (stale.id,), 1, 3)


async def test_a_row_that_is_gone(db, stale):
    """It has no version."""
    async with db.begin() as session:
        await session.delete(await session.get_one(Counter, stale.id))

    with pytest.raises(StaleVersionError, match="version 1, the row is gone") as refused:
        await db.run(change, stale)
    assert refused.value.found is None


async def test_the_one_of_many_that_was_lost(db, stale):
    """Others of the same flush are as they were, and are not stored either."""
    others = [await store(db, Counter()) for _ in range(5)]
    key, keys = stale.id, [each.id for each in others]

    async def raise_all(session):
        for each in [*others[:3], stale, *others[3:]]:
            await change(session, each)

    with pytest.raises(StaleVersionError) as refused:
        await db.run(raise_all)
    assert refused.value.key == (key,)
    assert {(await load(db, Counter, each)).number for each in keys} == {0}


@pytest.mark.parametrize("gone", [False, True])
async def test_the_one_of_many_that_was_not_deleted(db, stale, gone):
    """A driver may not count the rows of several at once."""
    others = [await store(db, Counter()) for _ in range(5)]
    key, keys = stale.id, [each.id for each in others]
    if gone:
        await db.run(remove, await load(db, Counter, key))

    async def remove_all(session):
        for each in [*others[:3], stale, *others[3:]]:
            await remove(session, each)

    with pytest.raises(StaleVersionError) as refused:
        await db.run(remove_all)
    assert (refused.value.key, refused.value.found) == ((key,), None if gone else 3)
    assert [(await load(db, Counter, each)).id for each in keys] == keys


async def test_a_key_of_two_columns_and_a_table_of_two(db):
    """The key is told in the order of its columns, the version is that of the parent's table."""
    place = await store(db, Place(line=7, row="b"))
    dog = await store(db, Dog())
    await raise_number(db, Place, (7, "b"))
    await raise_number(db, Dog, dog.id)

    with pytest.raises(StaleVersionError, match=r"^places \(7, 'b'\): .* 1, .* 2;"):
        await db.run(change, place)
    with pytest.raises(StaleVersionError) as refused:
        await db.run(change, dog)
    assert (refused.value.expected, refused.value.found) == (1, 2)


async def test_the_session_can_go_on_after_its_rollback(db, stale):
    """With what is stored by then."""
    key = stale.id
    async with db.session() as session:
        await change(session, stale)
        with pytest.raises(StaleVersionError):
            await session.commit()
        await session.rollback()
        (await session.get_one(Counter, key, populate_existing=True)).number += 1
        await session.commit()

    assert (await load(db, Counter, key)).number == 21


@pytest.mark.parametrize("way", ["begin", "session"])
async def test_a_savepoint_takes_back_what_was_lost(db, stale, way):
    """And nothing of the transaction around it."""
    key, kept = stale.id, await store(db, Counter())
    async with getattr(db, way)() as session:
        await session.execute(update(Counter).where(Counter.id == kept.id).values(number=7))
        with pytest.raises(StaleVersionError) as refused:
            async with session.begin_nested():
                await change(session, stale)
        await session.execute(update(Counter).values(version=9))
        if way == "session":
            await session.commit()

    assert (refused.value.expected, refused.value.found) == (1, 3)
    stored = await load(db, Counter, kept.id)
    assert (stored.number, stored.version) == (7, 9)
    assert (await load(db, Counter, key)).number == 20


async def test_rows_whose_version_was_not_there(db, stale):
    """A savepoint has forgotten them, so the flush loads them; another is the one that was lost."""
    key, others = stale.id, [await store(db, Counter()) for _ in range(5)]
    async with db.session() as session:
        session.add_all(others)
        savepoint = await session.begin_nested()
        for each in others:
            each.number = 5
        await session.flush()
        await savepoint.rollback()
        for each in others:
            each.number = 6
        await change(session, stale)
        with pytest.raises(StaleVersionError) as refused:
            await session.flush()

    assert refused.value.key == (key,)


async def test_a_session_of_ones_own(db, stale):
    """It gets SQLAlchemy's error."""
    async with AsyncSession(db.engine) as session:
        await change(session, stale)
        with pytest.raises(StaleDataError):
            await session.commit()


async def test_bulk_statements_pass_the_version_by(db):
    """They change what they say, and the object's next change is taken."""
    counter = await store(db, Counter())
    async with db.begin() as session:
        await session.execute(update(Counter).values(number=5))

    await db.run(change, counter)
    assert (await load(db, Counter, counter.id)).version == 2
