"""The fixture: in front of the test's own database, and fatal to a test that proves nothing."""

TESTS = """
async def test_behind(faults, database, clone):
    faults.cut_commit()
    with pytest.raises(CommitUnknownError):
        await add(database)
    connection = await asyncpg.connect(clone.app)
    assert await connection.fetchval("SELECT count(*) FROM items") == 1
    await connection.close()
    assert faults.transactions == ["BEGIN", "COMMIT"]

@pytest.mark.holdfast(isolation="database")
async def test_marked(db, faults, session):
    faults.fail_next("40001")
    with pytest.raises(DBAPIError):
        await session.execute(text("SELECT 1"))
    assert (faults.statements, faults.connections) == (["SELECT 1"], 0)

async def test_left_paused(faults, database):
    await add(database)
    faults.pause_server()

async def test_left_refusing(faults, database):
    faults.refuse()
"""
IMPORTS = """
import asyncpg
from sqlalchemy.exc import DBAPIError

from holdfast.errors import CommitUnknownError
"""


def test_it_stands_in_front_of_the_database(suite, given):
    """`database` and a marked `db` go through it, `clone` goes around it, and it ends cleanly."""
    suite.tests(IMPORTS + TESTS)

    ran = suite.run("-o", "asyncio_mode=auto", **given)

    assert (ran.code, ran.passed) == (0, 4), ran.output


def test_a_fault_that_nobody_met_fails_the_test(suite, given):
    """It is named."""
    suite.tests("async def test_nothing(faults):\n    faults.cut_commit(after=1)\n")

    ran = suite.run("-o", "asyncio_mode=auto", **given)

    assert (ran.code, ran.errors) == (1, 1), ran.output
    assert "never happened: cut_commit(after=1, reached=True)" in ran.output


def test_the_sandbox_is_not_behind_it(suite, given):
    """A test that would wait in vain for a fault is told what to do."""
    suite.tests("async def test_one(db, faults):\n    faults.cut_commit()\n    await add(db)\n")

    ran = suite.run("-o", "asyncio_mode=auto", **given)

    assert ran.errors == 1, ran.output
    assert '@pytest.mark.holdfast(isolation="database")' in ran.output


def test_a_project_may_have_faults_of_its_own(suite, given):
    """A fixture of that name changes nothing, even if it needs the database."""
    suite.tests(
        """
        @pytest.fixture
        def faults(database):
            return database

        async def test_one(faults, database):
            await add(faults)
            assert await count(database) == 1
        """
    )

    ran = suite.run("-o", "asyncio_mode=auto", **given)

    assert (ran.code, ran.passed) == (0, 1), ran.output


def test_sqlite_has_no_server(suite):
    """There is nothing to stand in front of, and that is said."""
    suite.tests("async def test_one(faults):\n    pass\n")

    ran = suite.run("-o", "asyncio_mode=auto", "--holdfast-engine=sqlite")

    assert ran.errors == 1, ran.output
    assert "faults stand in front of PostgreSQL" in ran.output
