"""What a test leaves behind fails it, and the line is named."""

from collections import Counter

import pytest


def line_of(suite, text, name="test_shop.py"):
    """Give the number of the only line that has a text."""
    lines = (suite.folder / name).read_text().splitlines()
    [number] = [number for number, line in enumerate(lines, 1) if text in line]
    return number


def test_leaks_are_named(suite, given):
    """Connections, tasks and keys of Redis: each fails its test alone, and nothing else does."""
    suite.tests(
        """
        async def test_connection(db):
            await db.session().execute(text("SELECT 1"))  # sandbox

        async def test_own_connection(database):
            opened = database.session()
            await opened.execute(text("SELECT 1"))  # own

        async def test_task(db, redis):
            async def forever():
                await asyncio.Event().wait()
            await count(db)
            asyncio.create_task(forever())

        async def test_key(redis):
            await redis.set("session:1", "x", ex=60)
            await redis.set("config", "x")
            await redis.set("cart:1", "x")

        @pytest.mark.holdfast(leaks=False)
        async def test_may_leak(db, redis):
            await redis.set("cart:1", "x")
            await db.session().execute(text("SELECT 1"))

        async def test_nothing_is_left(db, database, redis, session):
            await add(db)
            await add(database)
            await session.close()
            assert await redis.keys() == []
            await session.execute(text("SELECT 1"))  # the kit closes its own
        """
    )
    suite.write("pyproject.toml", '[tool.holdfast]\nredis_keys = ["config*"]\n')

    ran = suite.run("-o", "asyncio_mode=auto", **given)

    assert (ran.passed, ran.failed, ran.errors) == (5, 1, 3), ran.output
    for at in ("# sandbox", "# own"):
        assert f"taken at {suite.folder}/test_shop.py:{line_of(suite, at)}:" in ran.output
    task = f"test_task.<locals>.forever of {suite.folder}/test_shop.py, at line "
    assert f"{task}{line_of(suite, 'Event().wait()')}" in ran.output
    assert "1 key(s) of Redis left that never expire: cart:1;" in ran.output
    told = Counter(line.split(" - ")[0] for line in ran.output.splitlines() if " - " in line)
    assert set(told.values()) == {1}


def test_what_got_out_does_not_reach_the_next_test(suite, given):
    """Neither a COMMIT behind the sandbox's back does, nor what is done after its test."""
    suite.tests(
        """
        async def test_commit(db):
            async with db.session() as session:
                raw = await (await session.connection()).get_raw_connection()
                await raw.driver_connection.execute("INSERT INTO items VALUES (7); COMMIT")

        async def test_sandbox(db):
            assert await count(db) == 0

        kept = []

        @pytest.fixture(autouse=True)
        async def meanwhile():
            if kept:
                await add(kept.pop())

        async def test_keep(db):
            kept.append(db)

        async def test_after_it_was_used(db):
            assert await count(db) == 0
            assert not kept

        used = []

        @pytest.mark.parametrize("number", range(3))
        async def test_read(database, clone, number):
            assert await count(database) == 0
            used.append(clone.name)

        async def test_write(database, clone):
            await add(database)
            assert set(used) == {clone.name}

        async def test_after(database, clone):
            assert clone.name not in used
            async with database.read() as session:
                found = await session.scalars(text("SELECT datname FROM pg_database"))
                assert not set(found) & set(used)
        """
    )

    ran = suite.run("-o", "asyncio_mode=auto", **given)

    assert (ran.passed, ran.failed, ran.errors) == (8, 1, 1), ran.output
    assert ran.output.count("test_shop.py::test_commit - ") == 2


@pytest.mark.parametrize("fixture", ["db", "database"])
def test_a_task_that_lives_on_writes_to_nobody_s_database(suite, given, fixture):
    """In a loop that all tests share it goes on, also when its outermost call is a library's."""
    suite.tests(
        """
        started, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def store(session):
            started.set()
            await go.wait()
            await session.execute(text("INSERT INTO items VALUES (9)"))

        async def store_later(database):
            try:
                await go.wait()
                await database.run(store)
            finally:
                ended.set()

        async def test_library(db):
            await count(db)
            tasks.append(asyncio.create_task(db.run(store)))
            await started.wait()

        async def test_own(db):
            await count(db)
            tasks.append(asyncio.create_task(store_later(db)))
            await asyncio.sleep(0)

        async def test_after(db):
            go.set()
            await ended.wait()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert await count(db) == 0

        tasks = []
        """.replace("db", fixture)
    )
    scopes = (f"asyncio_default_{each}_loop_scope=session" for each in ("fixture", "test"))

    ran = suite.run(
        *(word for each in ("asyncio_mode=auto", *scopes) for word in ("-o", each)), **given
    )

    assert (ran.passed, ran.failed) == (1, 2), ran.output
    assert "store of " in ran.output
    assert "store_later of " in ran.output


@pytest.mark.parametrize("engine", ["postgres", "sqlite"])
def test_a_leak_is_told_once_whenever_its_garbage_is_collected(suite, given, engine):
    """SQLAlchemy's own warning of a leaked connection does not fail the next test."""
    suite.tests(
        """
        import gc

        async def test_leak(db):
            await db.session().execute(text("SELECT 1"))
            gc.collect()

        async def test_own_leak(database):
            await database.session().execute(text("SELECT 1"))
            gc.collect()

        async def test_next(db):
            gc.collect()
        """
    )

    ran = suite.run("-o", "asyncio_mode=auto", f"--holdfast-engine={engine}", **given)

    assert (ran.passed, ran.failed, ran.errors) == (3, 0, 2), ran.output
    assert "garbage" not in ran.output


@pytest.mark.parametrize("fixture", ["db", "database"])
def test_a_statement_of_sqlite_that_outlives_its_loop_is_nobody_s(suite, fixture):
    """Its thread closes the connection and ends, and no other test hears of it."""
    suite.tests(
        """
        import threading

        begun, go, left, tasks = threading.Event(), threading.Event(), [], []

        async def store(db):
            async with db.begin() as session:
                raw = await (await session.connection()).get_raw_connection()
                wait = lambda: begun.set() or go.wait()
                await raw.driver_connection.create_function("wait", 0, wait)
                await session.execute(text("SELECT wait()"))

        async def test_task(db):
            before = set(threading.enumerate())
            await count(db)
            left.extend(set(threading.enumerate()) - before)
            tasks.append(asyncio.create_task(store(db)))
            await asyncio.to_thread(begun.wait)

        def test_next():
            [thread] = left
            assert thread.is_alive()
            go.set()
            thread.join(10)
            assert not thread.is_alive()

        async def test_after(db):
            assert await count(db) == 0
        """.replace("db", fixture)
    )

    ran = suite.run("-o", "asyncio_mode=auto", "--holdfast-engine=sqlite")

    assert (ran.passed, ran.failed, ran.errors) == (2, 1, 0), ran.output
    assert "Exception in thread" not in ran.output
