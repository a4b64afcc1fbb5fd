"""`RetryPolicy(resolve=True)`: the server tells a COMMIT's outcome, and is not always believed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace

import pytest
from proofs.pair import Node, Pair, pair
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from holdfast.database import CommitUnknown, Database, DatabasePolicy, resolving
from holdfast.errors import CommitUnknownError
from holdfast.events import Event, Events
from holdfast.pool import PoolPolicy
from holdfast.retry import RetryPolicy
from holdfast.testing.faults import Faults
from holdfast.testing.front import Place

SOON = RetryPolicy(reconnect_delay=0.001, resolve=True)
IDS = "SELECT id FROM notes ORDER BY id"
# So that the number is one of a transaction on the promoted server, too.
NUMBERS = "DO $$ BEGIN FOR i IN 1..50 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
NOTES = "CREATE TABLE notes (id integer PRIMARY KEY, body text)"

Look = Callable[[str], Awaitable[list[object]]]


class Base(DeclarativeBase):
    """A declarative base of the application's own."""


class Note(Base):
    """One row of the table of notes."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]


class Work:
    """Inserts a row with the number of its call, after what it was given."""

    def __init__(self, before: Callable[[AsyncSession], Awaitable[object]] | None = None) -> None:
        self.calls = 0
        self._before = before

    async def __call__(self, session: AsyncSession) -> int:
        """Do it."""
        self.calls += 1
        if self._before is not None:
            await self._before(session)
        session.add(Note(id=self.calls, body="a"))
        return self.calls


class Told(list[Event]):
    """What the database has told; something may be done when a COMMIT got no answer."""

    def __init__(self) -> None:
        self.on_unknown: Callable[[], object] = lambda: None

    def __call__(self, event: Event) -> None:
        """Take note, before the server is asked."""
        self.append(event)
        if isinstance(event, CommitUnknown):
            self.on_unknown()


@pytest.fixture
def told() -> Told:
    """Give what is told of each event."""
    return Told()


@pytest.fixture
def faults(postgres_url) -> Iterator[Faults]:
    """Stand in front of the database."""
    with Faults(postgres_url) as faults:
        yield faults
        faults.heal()


@pytest.fixture
async def db(faults, told) -> AsyncIterator[Database]:
    """Give a database with a table of notes behind the faults, whose only connection is shared."""
    async for each in opened(faults.url, told):
        yield each


async def opened(url: str, told: Told) -> AsyncIterator[Database]:
    policy = DatabasePolicy(retry=SOON, pool=PoolPolicy(max_size=1, timeout=0.5))
    durable = f"{url}{'&' if '?' in url else '?'}options=-c%20synchronous_commit%3Don"
    async with Database(durable, policy=policy, events=Events(told)) as db:
        async with db.engine.begin() as connection:
            await connection.execute(text(NOTES))
        yield db
        assert db.engine.pool.checkedout() == 0


async def stays_unknown(db: Database, work: Work) -> None:
    """Prove that the work is done once and its outcome is not pretended to be known."""
    with pytest.raises(CommitUnknownError):
        await db.run(work)
    assert work.calls == 1


async def test_it_was_committed(db, faults, look):
    """Its result comes back, and the row is there once."""
    work = Work()
    faults.cut_commit()

    assert await db.run(work) == 1
    assert work.calls == 1
    assert await look(IDS) == [1]


async def test_it_was_rolled_back(db, faults, look):
    """The work is done again, and the row of its second call is there."""
    work = Work()
    faults.cut_commit(reached=False)

    assert await db.run(work) == 2
    assert await look(IDS) == [2]


async def test_it_was_rolled_back_twice(db, faults, look):
    """Then the loss comes out, which is certain."""
    work = Work()
    for after in (0, 0):
        faults.cut_commit(after=after, reached=False)

    with pytest.raises(DBAPIError) as caught:
        await db.run(work)

    assert caught.value.connection_invalidated
    assert "nothing of the transaction is stored" in caught.value.__notes__
    assert (work.calls, await look(IDS)) == (2, [])


async def test_objects_are_as_after_any_commit(db, faults, look):
    """What the work returns can be read, also what it had loaded and changed."""
    await db.run(Work())

    async def change(session: AsyncSession) -> tuple[Note, Note]:
        old = await session.get_one(Note, 1)
        old.body = "changed"
        new = Note(id=2, body="new")
        session.add(new)
        return old, new

    faults.cut_commit()
    old, new = await db.run(change)

    assert (old.body, new.id, new.body) == ("changed", 2, "new")
    assert await look("SELECT body FROM notes ORDER BY id") == ["changed", "new"]


async def test_work_that_only_reads(db, faults):
    """Nothing can have been stored, so it is done again."""
    calls = []

    async def read(session: AsyncSession) -> int:
        calls.append(session)
        return (await session.execute(text("SELECT count(*) FROM notes"))).scalar_one()

    faults.cut_commit()

    assert await db.run(read) == 0
    assert len(calls) == 2


async def test_without_a_fault_it_costs_one_round_trip(db, faults):
    """The server is asked for the transaction's number, and that is all."""
    await db.run(Work())
    faults.clear()
    calls = Work()
    calls.calls = 1
    await db.run(calls)

    assert faults.round_trips == 4  # BEGIN, INSERT, the number, COMMIT
    assert faults.transactions == ["BEGIN", "COMMIT"]


def committing(how: str) -> Callable[[AsyncSession], Awaitable[object]]:
    return lambda session: session.execute(text(f"SET LOCAL synchronous_commit = {how}"))


@pytest.mark.parametrize("how", ["off", "local", "remote_write"])
async def test_less_than_synchronous_commit_on(db, faults, look, how):
    """After a crash, or on the standby that follows, it may be gone: this word is not enough."""
    work = Work(committing(how))
    faults.cut_commit()

    await stays_unknown(db, work)
    assert await look(IDS) == [1]


async def test_more_than_synchronous_commit_on(db, faults):
    """What the standbys have applied as well is believed."""
    faults.cut_commit()

    assert await db.run(Work(committing("remote_apply"))) == 1


async def test_a_number_that_is_too_old(db, faults, monkeypatch):
    """The server knows nothing of it any more: that is neither yes nor no."""
    take = resolving._take

    async def take_old(session):
        return replace(await take(session), number="3")

    monkeypatch.setattr(resolving, "_take", take_old)
    faults.cut_commit()

    await stays_unknown(db, Work())


async def test_a_server_that_stays_away(db, faults, told, monkeypatch, look):
    """After a while nobody waits for it any longer."""
    monkeypatch.setattr(resolving, "_ASK_FOR", 0.3)
    monkeypatch.setattr(resolving, "_ASK_AGAIN", 0.01)
    told.on_unknown = faults.refuse
    faults.cut_commit()

    await stays_unknown(db, Work())
    faults.heal()
    assert await look(IDS) == [1]


async def test_a_server_that_falls_silent(db, faults, told, monkeypatch):
    """Nor for one that takes the question and does not answer."""
    monkeypatch.setattr(resolving, "_ASK_FOR", 0.3)
    told.on_unknown = faults.pause_server
    faults.cut_commit()

    await stays_unknown(db, Work())
    faults.heal()


async def test_a_server_that_comes_back(db, faults, told, monkeypatch):
    """It is asked again until it answers."""
    monkeypatch.setattr(resolving, "_ASK_AGAIN", 0.01)
    refused = []

    def refuse() -> None:
        faults.refuse("57P03")
        asyncio.get_running_loop().call_later(0.1, heal)

    def heal() -> None:
        refused.append(True)
        faults.heal()

    told.on_unknown = refuse
    faults.cut_commit()

    assert await db.run(Work()) == 1
    assert refused


async def test_cancelled_while_the_server_is_asked(db, faults, told, look):
    """It stays a cancellation, which says that the outcome is not known."""

    def pause() -> None:
        faults.pause_server()
        asyncio.get_running_loop().call_later(0.1, running.cancel)

    told.on_unknown = pause
    faults.cut_commit()
    running = asyncio.create_task(db.run(Work()))
    with pytest.raises(asyncio.CancelledError) as caught:
        await running
    faults.heal()

    assert any("COMMIT was sent to" in note for note in caught.value.__notes__)


@pytest.fixture
async def both() -> AsyncIterator[Pair]:
    """Give a primary with its standby."""
    async with pair() as made:
        yield made


def place_of(node: Node) -> Place:
    """Give where it listens."""
    return Place(host=str(node.socket.parent), port=5432)


async def behind_one_address(both: Pair, told: Told, work: Work) -> None:
    """Lose the answer of the primary, and find the standby when it is asked for."""
    standby = place_of(both.standby)
    with Faults(both.primary.server.url("owner")) as faults:
        async for db in opened(faults.url, told):

            def switch() -> None:
                faults._running._place = standby

            told.on_unknown = switch
            faults.cut_commit()
            await stays_unknown(db, work)


async def test_a_standby_that_was_promoted(both, told):
    """It may not have what the primary has committed: its word is not taken."""

    async def promote(_session: AsyncSession) -> None:
        await both.promote()
        await both.primary.do(NUMBERS)

    await behind_one_address(both, told, Work(promote))


async def test_a_standby(both, told):
    """It cannot know how transactions end, and is not asked."""
    await behind_one_address(both, told, Work())


async def test_another_server(both, told, faults):
    """One that is not even a copy is known by its identity, whatever it says of the number."""
    with Faults(both.primary.server.url("owner")) as before:
        async for db in opened(before.url, told):

            def switch() -> None:
                before._running._place = faults._running._place

            told.on_unknown = switch
            before.cut_commit()
            await stays_unknown(db, Work())
