"""What a store does where nothing goes wrong, and when two are at the same state."""

import asyncio

import pytest
from sqlalchemy import text
from tests.state.conftest import PATIENT, Board, make_store

from holdfast import redis
from holdfast.errors import StateConflictError, StoreUnavailableError, UnknownKeyError
from holdfast.models import uuid7
from holdfast.services import RedisServer
from holdfast.state import StateConflicted, StateSaved, StatesFlushed, StatesRecovered
from holdfast.state.versions import COUNT_BITS, epoch


async def test_load_gives_the_rows_state_and_then_redis(store, begin, row, client):
    """The first load fills Redis from the row; what it filled is what the next one gives."""
    match = await begin(turn=3)

    first = await store.load(match)
    second = await store.load(match)

    assert (first.value, first.version) == (Board(turn=3), (await row(match))[0])
    assert second == first
    assert await client.hget(f"match:{match}", "v") == str(first.version).encode()


async def test_load_of_a_key_that_is_not_there(store, client):
    """It is None, and leaves nothing in Redis."""
    assert await store.load(uuid7()) is None
    assert await client.keys("*") == []


async def test_save_is_in_redis_only(store, begin, row):
    """The row has it after the next round of writing, with the columns that show it."""
    match = await begin()
    entry = await store.load(match)

    saved = await store.save(match, Board(turn=1, moves=["e4"]), expect=entry.version)

    assert saved.version == entry.version + 1
    assert (await row(match))[0] == entry.version
    assert (await store.load(match)).value == Board(turn=1, moves=["e4"])
    assert (await store.read_durable(match)).value == Board()

    assert await store.flush() == 1
    assert await row(match) == (saved.version, 1, {"turn": 1, "moves": ["e4"]})


async def test_a_stale_version_is_a_conflict(store, begin, facts):
    """Both versions are said, and nothing is changed."""
    match = await begin()
    entry = await store.load(match)
    saved = await store.save(match, Board(turn=1), expect=entry.version)

    with pytest.raises(StateConflictError) as caught:
        await store.save(match, Board(turn=9), expect=entry.version)

    assert (caught.value.expected, caught.value.found) == (entry.version, saved.version)
    assert str(entry.version) in str(caught.value)
    assert str(saved.version) in str(caught.value)
    assert (await store.load(match)).value == Board(turn=1)
    assert [type(each) for each in facts] == [StateSaved, StateConflicted]


@pytest.mark.parametrize("there", [True, False])
async def test_save_of_what_redis_does_not_have_is_a_conflict(store, begin, client, there):
    """Also where there is a row: only a load takes a key up."""
    match = await begin() if there else uuid7()

    with pytest.raises(StateConflictError) as caught:
        await store.save(match, Board(turn=9), expect=1 << 23)

    assert caught.value.found is None
    assert await client.keys("*") == []


@pytest.mark.parametrize("since", ["nothing", "another", "deleted", "forgotten"])
async def test_the_last_number_of_an_epoch(*, db, client, store, begin, since):
    """A save that expects it is a conflict, which names what a load gives from now on."""
    match = await begin()
    last = (await store.load(match)).version | (1 << COUNT_BITS) - 1
    if since != "another":
        await client.hset(f"match:{match}", mapping={"v": last, "p": last})
        async with db.engine.begin() as connection:
            numbers = text("UPDATE matches SET version = :last WHERE id = :id")
            await connection.execute(numbers, {"last": last, "id": match})
    if since == "deleted":
        await make_store(db, client).delete(match)
    elif since == "forgotten":
        await client.delete(f"match:{match}")

    with pytest.raises(StateConflictError) as caught:
        await store.save(match, Board(turn=9), expect=last)

    entry = await store.load(match)
    assert caught.value.found == (entry and entry.version)
    assert (entry is None) is (since == "deleted")
    if entry:
        assert entry.value == Board()
        await store.update(match, lambda _: Board(turn=9))


async def test_persist_writes_the_row(store, begin, row):
    """By key as it is in Redis, or the entry in hand; a second time it writes nothing."""
    match = await begin()
    entry = await store.load(match)
    first = await store.save(match, Board(turn=1), expect=entry.version)

    assert await store.persist(match) == first.version
    assert (await row(match))[:2] == (first.version, 1)

    second = await store.save(match, Board(turn=2), expect=first.version)
    assert await store.persist(match, second) == second.version
    assert (await row(match))[:2] == (second.version, 2)
    assert await store.persist(match) == second.version
    assert await store.flush() == 0


async def test_persist_of_an_older_entry_keeps_the_newer_one(store, begin, row):
    """What is durable never goes back; the older state is in the newer one's past."""
    match = await begin()
    entry = await store.load(match)
    first = await store.save(match, Board(turn=1), expect=entry.version)
    second = await store.save(match, Board(turn=2), expect=first.version)
    await store.persist(match)

    await store.persist(match, first)

    assert (await row(match))[0] == second.version


async def test_an_entry_is_written_as_it_was_saved(store, begin, row):
    """What was changed in its value since is another state, with no version yet."""
    match = await begin()
    entry = await store.load(match)
    saved = await store.save(match, Board(turn=1), expect=entry.version)
    saved.value.turn = 99

    await store.persist(match, saved)

    assert (await row(match))[2]["turn"] == 1


async def test_persist_of_an_unknown_key(store):
    """It says what has to be there."""
    with pytest.raises(UnknownKeyError, match="there is no such row"):
        await store.persist(uuid7())


async def test_update_goes_round_until_nobody_was_quicker(store, begin):
    """Twenty tasks that each add a move: none is lost."""
    match = await begin()

    def play(move):
        def change(board):
            board.moves.append(move)
            return board

        return store.update(match, change, attempts=100)

    await asyncio.gather(*(play(str(number)) for number in range(20)))

    moves = (await store.load(match)).value.moves
    assert sorted(moves, key=int) == [str(number) for number in range(20)]


async def test_update_takes_a_coroutine_function(store, begin):
    """And gives the entry that was saved."""
    match = await begin()

    async def change(board):
        await asyncio.sleep(0)
        return Board(turn=board.turn + 1)

    entry = await store.update(match, change)

    assert entry.value == Board(turn=1)
    assert await store.load(match) == entry


async def test_update_of_an_unknown_key(store):
    """It is said by the key's name in Redis."""
    match = uuid7()
    with pytest.raises(UnknownKeyError, match=f"^{match}: there is no such row"):
        await store.update(match, lambda board: board)


async def test_ten_saves_are_one_write(store, begin, db, facts):
    """A round of writing writes what is newest."""
    match = await begin()
    entry = await store.load(match)
    for turn in range(10):
        entry = await store.save(match, Board(turn=turn), expect=entry.version)

    async with db.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE written (version bigint)"))
        await connection.execute(
            text(
                "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "INSERT INTO written VALUES (NEW.version); RETURN NEW; END $$"
            )
        )
        await connection.execute(
            text("CREATE TRIGGER note AFTER UPDATE ON matches FOR EACH ROW EXECUTE FUNCTION note()")
        )
    assert await store.flush() == 1
    assert await store.flush() == 0

    async with db.read() as session:
        assert list(await session.scalars(text("SELECT version FROM written"))) == [entry.version]
    assert [each.written for each in facts if isinstance(each, StatesFlushed)] == [1]


async def test_many_states_are_written_in_batches(db, client, begin, row):
    """As many as a batch holds, until none is left."""
    store = make_store(db, client, batch_size=3)
    matches = [await begin() for _ in range(10)]
    for match in matches:
        await store.update(match, lambda board: Board(turn=board.turn + 7))

    assert await store.flush() == 10
    assert [(await row(match))[1] for match in matches] == [7] * 10
    assert (await store.stats()).dirty == 0


async def test_delete_takes_both(store, begin, row, client):
    """The row and what Redis has; the second time there is nothing."""
    match = await begin()
    await store.update(match, lambda _: Board(turn=1))

    assert await store.delete(match) is True
    assert (await row(match), await store.load(match)) == (None, None)
    assert await client.keys("*match*") == []
    assert await store.delete(match) is False


async def test_delete_of_a_key_that_redis_does_not_have(store, begin, row):
    """The row goes."""
    match = await begin()

    assert await store.delete(match) is True
    assert await row(match) is None


async def test_delete_of_another_version_is_a_conflict(store, begin, row):
    """What was saved since is kept, and can be played on."""
    match = await begin()
    entry = await store.load(match)
    saved = await store.save(match, Board(turn=1), expect=entry.version)

    with pytest.raises(StateConflictError) as caught:
        await store.delete(match, expect=entry.version)

    assert (caught.value.expected, caught.value.found) == (entry.version, saved.version)
    assert await row(match) is not None
    assert await store.load(match) == saved


async def test_delete_in_the_callers_transaction(store, begin, row, client, db):
    """What Redis has goes after the commit."""
    match = await begin()
    entry = await store.update(match, lambda _: Board(turn=1))

    async with db.begin() as session:
        assert await store.delete(match, expect=entry.version, session=session) is True
        assert await client.exists(f"match:{match}")

    assert await row(match) is None
    await store.close()
    assert await client.keys("*match*") == []


async def test_a_delete_that_is_rolled_back(store, begin, row, client, db):
    """The next load has the state again, and what was not yet written with it."""
    match = await begin()
    saved = await store.update(match, lambda _: Board(turn=1))

    async def delete_and_fail(session):
        await store.delete(match, session=session)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.run(delete_and_fail)

    with pytest.raises(StateConflictError):
        await store.save(match, Board(turn=2), expect=saved.version)
    again = await store.load(match)
    assert again.value == Board(turn=1)
    await store.save(match, Board(turn=2), expect=again.version)


async def test_a_load_while_the_row_is_deleted(store, begin, client, db):
    """It waits as long as it may, and says what may hold it up."""
    match = await begin()
    hasty = make_store(db, client, timeout=1)

    async with db.begin() as session:
        await store.delete(match, session=session)
        with pytest.raises(StoreUnavailableError, match="another transaction has the row"):
            await hasty.load(match)


async def test_a_savepoint_that_commits_is_not_the_transaction(store, begin, client, db):
    """Redis keeps the newest state until the caller's transaction itself is committed."""
    match = await begin()
    await store.update(match, lambda _: Board(turn=1))

    async def delete_and_fail(session):
        async with session.begin_nested():
            await store.delete(match, session=session)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.run(delete_and_fail)

    await store.close()
    assert (await store.load(match)).value == Board(turn=1)


async def test_recover_fills_what_redis_lacks(store, begin, client, facts):
    """And sets nothing back that a running worker has."""
    played = await begin()
    others = [await begin(turn=number) for number in range(5)]
    newest = await store.update(played, lambda _: Board(turn=50))

    seen = []
    done = await store.recover(progress=lambda each: seen.append(each.rows))

    assert (done.rows, done.filled, done.ahead, done.left) == (6, 5, 0, 0)
    assert seen[-1] == 6
    assert await store.load(played) == newest
    for turn, match in enumerate(others):
        assert await client.exists(f"match:{match}")
        assert (await store.load(match)).value.turn == turn
    assert [each.filled for each in facts if isinstance(each, StatesRecovered)] == [5]


async def test_recover_goes_page_by_page(db, client, begin):
    """All rows, also where the last page is a full one."""
    store = make_store(db, client, batch_size=2)
    for _ in range(6):
        await begin()
    pages = []

    done = await store.recover(progress=lambda each: pages.append(each.rows))

    assert (pages, done.filled) == ([2, 4, 6], 6)


async def test_an_emptied_redis(store, begin):
    """What was saved and not written is lost for everybody: who still holds it gets a conflict."""
    match = await begin()
    lost = await store.update(match, lambda _: Board(turn=1))
    await store._redis.flushdb()

    with pytest.raises(StateConflictError):
        await store.save(match, Board(turn=2), expect=lost.version)
    again = await store.load(match)
    assert again.value == Board()
    with pytest.raises(StateConflictError):
        await store.save(match, Board(turn=2), expect=lost.version)
    with pytest.raises(StateConflictError):
        await store.persist(match, lost)


async def test_the_writer_in_the_background_writes_what_is_left(db, client, begin, row):
    """At the end, however long its interval is."""
    store = make_store(db, client)
    match = await begin()

    async with store.flushing():
        await store.update(match, lambda _: Board(turn=1))

    assert (await row(match))[1] == 1


async def test_two_writers_share_the_work(db, client, begin, row):
    """What one has taken the other leaves alone."""
    stores = [make_store(db, client, batch_size=5) for _ in range(2)]
    matches = [await begin() for _ in range(40)]
    for match in matches:
        await stores[0].update(match, lambda _: Board(turn=1))

    written = await asyncio.gather(*(each.flush() for each in stores))

    assert sum(written) == 40
    assert [(await row(match))[1] for match in matches] == [1] * 40


async def test_an_entry_of_what_others_saved_is_written_with_its_columns(store, begin, row):
    """Loaded before the row had it: what its other columns show comes with it."""
    match = await begin()
    await store.update(match, lambda _: Board(turn=4))
    entry = await store.load(match)

    await store.persist(match, entry)

    assert (await row(match))[:2] == (entry.version, 4)


async def test_what_is_hot_is_one_round_trip(db, begin):
    """A load and a save are one script each, and no other command."""
    match = await begin()
    # A server's own counts: other tests have the one that they share.
    async with RedisServer() as server, redis.client(server.url(), policy=PATIENT) as client:
        store = make_store(db, client)
        entry = await store.load(match)
        entry = await store.save(match, Board(turn=1), expect=entry.version)
        await client.config_resetstat()

        await store.load(match)
        await store.save(match, Board(turn=2), expect=entry.version)

        told = await client.info("commandstats")
    assert told["cmdstat_evalsha"]["calls"] == 2
    assert "cmdstat_eval" not in told


async def test_what_is_saved_during_the_last_round_but_one_is_written(
    db, client, begin, row, monkeypatch
):
    """The end waits for a round that begins after it."""
    store = make_store(db, client, flush_interval=0.01)
    match = await begin()
    entry = await store.load(match)
    write, saved = store._writer.write, asyncio.Event()

    async def save_behind(*, everywhere: bool) -> int:
        written = await write(everywhere=everywhere)
        if not saved.is_set():
            await store.save(match, Board(turn=1), expect=entry.version)
            saved.set()
            await asyncio.sleep(0)  # the block ends while this round is under way
        return written

    monkeypatch.setattr(store._writer, "write", save_behind)
    async with store.flushing():
        await saved.wait()

    assert (await row(match))[1] == 1


async def test_a_savepoint_that_is_rolled_back_keeps_what_was_saved(store, begin, db):
    """Although the transaction around it commits: the row is still there."""
    match = await begin()
    await store.update(match, lambda _: Board(turn=9))

    async def delete_and_think_better(session):
        savepoint = await session.begin_nested()
        await store.delete(match, session=session)
        await savepoint.rollback()

    await db.run(delete_and_think_better)
    await store.close()

    assert (await store.load(match)).value == Board(turn=9)


async def test_many_that_load_what_redis_lost(store, begin, row):
    """One of them asks the row, which is fenced once."""
    match = await begin()
    before = epoch((await row(match))[0])

    entries = await asyncio.gather(*(store.load(match) for _ in range(100)))

    assert {entry.version for entry in entries} == {(await row(match))[0]}
    assert epoch(entries[0].version) == before + 1


async def test_many_that_load_while_postgres_is_away(store, begin, monkeypatch):
    """They learn it from the one that asked, and the next one asks again."""
    match = await begin()
    select, asked = store._rows.select, []

    async def away(key, within):
        asked.append(key)
        await asyncio.sleep(0.5)
        raise StoreUnavailableError("PostgreSQL: gone; nothing was done")

    monkeypatch.setattr(store._rows, "select", away)
    loads = [store.load(match) for _ in range(50)]
    failed = await asyncio.gather(*loads, return_exceptions=True)
    assert {str(each) for each in failed} == {"PostgreSQL: gone; nothing was done"}
    assert len(asked) < 50  # one, unless some came after it

    monkeypatch.setattr(store._rows, "select", select)
    assert (await store.load(match)).value == Board()


async def test_the_one_that_asks_is_cancelled(store, begin, monkeypatch):
    """Another asks in its place."""
    match = await begin()
    select, asked = store._rows.select, asyncio.Event()

    async def slow(key, within):
        if not asked.is_set():
            asked.set()
            await asyncio.sleep(600)
        return await select(key, within)

    monkeypatch.setattr(store._rows, "select", slow)
    first = asyncio.create_task(store.load(match))
    await asked.wait()
    others = [asyncio.create_task(store.load(match)) for _ in range(3)]
    await asyncio.wait(others, timeout=0.1)  # they wait for the first
    first.cancel()

    assert [(await each).value for each in others] == [Board()] * 3
    with pytest.raises(asyncio.CancelledError):
        await first


@pytest.mark.parametrize("who", ["writer", "persist"])
async def test_a_row_that_was_made_anew_behind_the_store(store, begin, db, row, who):
    """The row is what everybody goes on from, and the key can be used."""
    match = await begin()
    await store.update(match, lambda _: Board(turn=9))
    async with db.engine.begin() as connection:
        await connection.execute(text("DELETE FROM matches"))
        await connection.execute(
            text("""INSERT INTO matches (id, state, turn) VALUES (:id, '{"turn": 1}', 1)"""),
            {"id": match},
        )

    if who == "writer":
        await store.flush()
    else:
        await store.persist(match)

    assert (await store.load(match)).value == Board(turn=1)
    await store.update(match, lambda board: Board(turn=board.turn + 1))
    await store.persist(match)
    assert (await row(match))[1] == 2
