"""A run in several processes: one server for all, and nothing left of it, however it ends."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

PATIENCE = 60  # seconds
ATTEMPTS = 3  # at a Ctrl-C
SHARED = """
@pytest.mark.parametrize("number", range(12))
async def test_shared(db, database, redis, number, tmp_path_factory):
    where = redis.connection_pool.connection_kwargs
    with open(os.environ["SEEN"], "a") as file:
        print(os.environ["PYTEST_XDIST_WORKER"], db.engine.url.query["host"], where["path"],
              where["db"], file=file)
    await add(db)
    await add(database)
    await redis.set("a", "1", ex=60)
    await asyncio.sleep(0.05)
    assert await count(db) == 1
    assert await redis.dbsize() == 1
"""
WAITING = """
async def test_wait(db, database, redis):
    await add(database)
    with open(os.environ["SEEN"], "a") as file:
        print("ready", file=file, flush=True)
    await asyncio.sleep(600)

async def test_nothing(db, database):
    assert await count(db) == await count(database) == 0
"""
# A migration that can be interrupted.
SLOW = """    import os, pathlib
    pathlib.Path(os.environ["SEEN"]).touch()
    op.execute("SELECT pg_sleep(600)")
    op.create"""
AUTO = ("-o", "asyncio_mode=auto")


@pytest.fixture
def seen(tmp_path) -> Path:
    """Give the file in which tests say what they saw."""
    return tmp_path / "seen"


def interrupt(started) -> str:
    """Press Ctrl-C until it ends, and give its output.

    Python raises the exception between any two lines; seldom that is where nobody can pass it on.
    """
    for _ in range(ATTEMPTS):
        os.killpg(started.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return started.communicate(timeout=PATIENCE)[0]
    raise AssertionError(f"it goes on after {ATTEMPTS} times")


def wait_for(condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_workers_share_servers(suite, seen):
    """One PostgreSQL serves all, each has a Redis database, and the servers end with the run."""
    suite.tests(SHARED)

    ran = suite.run(*AUTO, "-n", "2", SEEN=str(seen))

    assert (ran.code, ran.passed) == (0, 12), ran.output
    told = {tuple(line.split()) for line in seen.read_text().splitlines()}
    workers, postgres, redis, numbers = (set(each) for each in zip(*told, strict=True))
    assert len(workers) == len(numbers) == 2
    assert len(postgres) == len(redis) == 1
    assert suite.running() == []
    assert suite.databases() == []


def test_a_crashed_worker_leaves_nothing(suite, seen):
    """A worker that is killed fails its test; the others go on, and what it had is removed."""
    suite.tests(
        """
        @pytest.mark.parametrize("number", range(8))
        async def test_some(database, number):
            await add(database)
            if number == 3:
                os.kill(os.getpid(), 9)
            assert await count(database) == 1
        """
    )

    ran = suite.run(*AUTO, "-n", "2")

    assert (ran.code, ran.passed, ran.failed) == (1, 7, 1), ran.output
    assert "crashed while running" in ran.output
    assert suite.running() == []
    assert suite.databases() == []


def test_ctrl_c_leaves_nothing(suite, seen):
    """Ctrl-C in a terminal, which every process hears, ends the servers."""
    suite.tests(WAITING)
    started = suite.start(*AUTO, "-n", "2", SEEN=str(seen))
    wait_for(seen.exists)
    output = interrupt(started)

    assert started.returncode == 2, output
    assert suite.running() == []
    assert suite.databases() == []


@pytest.mark.parametrize("arguments", [[], ["-n", "2"]], ids=["alone", "with workers"])
def test_ctrl_c_while_a_template_is_made_leaves_nothing(suite, seen, arguments):
    """What is half made is removed as well."""
    suite.tests("async def test_one(db): pass\nasync def test_two(db): pass\n")
    migration = "migrations/versions/001_shop.py"
    suite.write(migration, (suite.folder / migration).read_text().replace("    op.create", SLOW, 1))
    started = suite.start(*AUTO, *arguments, SEEN=str(seen))
    wait_for(seen.exists)
    output = interrupt(started)

    assert started.returncode == 2, output
    assert suite.running() == []
    assert suite.databases() == []


def test_a_killed_run_leaves_nothing_running(suite, seen):
    """The servers end with a run that is killed, and the next run removes its databases."""
    suite.tests(WAITING)
    started = suite.start(*AUTO, SEEN=str(seen))
    wait_for(seen.exists)
    started.kill()
    started.communicate()

    wait_for(lambda: suite.running() == [])
    assert len(suite.databases()) == 2
    assert suite.run(*AUTO, "-k", "nothing").passed == 1
    assert suite.databases() == []


def test_two_runs_at_once(suite, seen):
    """A second run in the same folder is in nobody's way."""
    suite.tests(WAITING)
    first = suite.start(*AUTO, SEEN=str(seen))
    wait_for(seen.exists)

    assert suite.run(*AUTO, "-k", "nothing").passed == 1

    assert first.poll() is None
    output = interrupt(first)
    assert "KeyboardInterrupt" in output
    assert suite.running() == []


def test_a_server_that_was_killed_is_started_again(suite):
    """A test that kills the server fails alone."""
    suite.tests(
        """
        import signal, subprocess

        async def test_before(db):
            await add(db)

        async def test_kill(db):
            async with db.read() as session:
                backend = await session.scalar(text("SELECT pg_backend_pid()"))
            ps = subprocess.run(["ps", "-o", "ppid=", "-p", str(backend)], capture_output=True)
            server = int(ps.stdout)
            os.kill(server, signal.SIGQUIT)
            while b"postgres" in subprocess.run(
                ["ps", "-o", "args=", "-p", str(server)], capture_output=True
            ).stdout:
                await asyncio.sleep(0.01)
            await count(db)

        async def test_after(db):
            assert await count(db) == 0
            await add(db)

        async def test_kill_a_backend(database):
            async with database.read() as session:
                backend = await session.scalar(text("SELECT pg_backend_pid()"))
            os.kill(backend, signal.SIGKILL)  # for which the server restarts all others

        async def test_after_that(db, database):
            assert await count(db) == 0
            await add(db)
            await add(database)

        async def test_kill_redis(redis):
            os.kill((await redis.info())["process_id"], signal.SIGKILL)
            await redis.ping()

        async def test_redis_after(redis):
            assert await redis.keys() == []
        """
    )

    ran = suite.run(*AUTO)

    assert (ran.passed, ran.failed, ran.errors) == (5, 2, 1), ran.output
    killed = "FAILED test_shop.py::test_kill", "FAILED test_shop.py::test_kill_redis"
    assert all(f"{each} - " in ran.output for each in killed)
    assert "ERROR test_shop.py::test_kill_redis - " in ran.output
    assert suite.running() == []


def test_sqlite(suite, tmp_path):
    """The same tests run on SQLite, on the same template, and leave no file."""
    suite.tests(
        """
        from holdfast.testing import count_statements

        @pytest.mark.parametrize("number", range(3))
        async def test_sandbox(db, session, number):
            assert db.engine.dialect.name == "sqlite"
            assert await count(db) == 0
            with count_statements(db, at_most=1):  # BEGIN is none
                await add(db)
            await session.execute(text("INSERT INTO items VALUES (2)"))
            await session.commit()
            assert await count(db) == 2

        @pytest.mark.parametrize("number", range(3))
        async def test_own(database, number):
            await asyncio.gather(*(add(database, number) for number in range(5)))
            assert await count(database) == 5
        """
    )
    (tmp_path / "tmp").mkdir()

    for workers in ("0", "2"):
        ran = suite.run(
            *AUTO, "-n", workers, "--holdfast-engine=sqlite", TMPDIR=str(tmp_path / "tmp")
        )
        assert (ran.code, ran.passed) == (0, 6), ran.output
    assert list((tmp_path / "tmp").glob("holdfast*")) == []
    templates = suite.folder / ".holdfast/testing/templates"
    assert [file.suffix for file in templates.iterdir()] == [".db"]


def test_nothing_is_started_for_tests_that_need_nothing(suite):
    """Tests are no slower for having the plugin: nothing is imported, and no folder made."""
    code = "import sys\n\ndef test_one():\n    assert 'sqlalchemy' not in sys.modules\n"
    suite.write("test_shop.py", code)

    ran = suite.run()

    assert (ran.code, ran.passed) == (0, 1), ran.output
    assert not (suite.folder / ".holdfast").exists()
