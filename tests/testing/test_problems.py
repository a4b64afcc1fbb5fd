"""What cannot work is said once, in a sentence, with what to do."""

import asyncio
import re

import asyncpg
import pytest

TESTS = """
@pytest.mark.parametrize("number", range(3))
async def test_database(db, number):
    await count(db)

def test_without():
    pass
"""
REDIS_TESTS = """
async def test_redis(redis):
    await redis.set("a", "1", ex=60)

def test_without():
    pass
"""
AUTO = ("-o", "asyncio_mode=auto")
NOTHING = "holdfast: there is nothing to run this test on; the end of the run's output says why"


def assert_said_once(ran, *says):
    """See that those without a database fail in a line each, and that the reason comes once."""
    assert (ran.code, ran.passed) == (1, 1), ran.output
    assert ran.errors >= 1
    assert ran.output.count(NOTHING) == ran.errors
    assert "Traceback" not in ran.output
    for each in says:
        assert ran.output.count(each) == 1, ran.output


@pytest.mark.parametrize("arguments", [[], ["-n", "2"]], ids=["alone", "with workers"])
def test_a_migration_that_fails(suite, given, arguments):
    """Its own error is shown, with file and line."""
    script = suite.folder / "migrations/versions/001_shop.py"
    script.write_text(script.read_text().replace('"parts", sa.', '"items", sa.'))
    suite.tests(TESTS)

    ran = suite.run(*AUTO, *arguments, **given)

    assert ran.errors == 3
    assert_said_once(ran, 'relation "items" already exists', f"{script}:")


def test_no_binaries(suite):
    """Without any server, the message lists where it looked and the command that helps."""
    suite.tests(TESTS)
    suite.write("bin/nothing", "")

    ran = suite.run(*AUTO, HOLDFAST_POSTGRES_BIN=str(suite.folder / "bin"))

    assert_said_once(ran, "HOLDFAST_POSTGRES_BIN")


@pytest.mark.parametrize(
    ("option", "environ"),
    [("--holdfast-url=postgresql://127.0.0.1:1/shop", {}),
     ("", {"TEST_DATABASE_URL": "postgresql://127.0.0.1:1/contest"})],
)  # fmt: skip
def test_a_database_that_is_not_for_tests(suite, option, environ):
    """It is not even connected to."""
    suite.tests(TESTS)

    ran = suite.run(*AUTO, *filter(None, [option]), **environ)

    name = "--holdfast-url" if option else "TEST_DATABASE_URL"
    assert_said_once(ran, f"{name}: its database", "does not look like one for tests")
    assert "--holdfast-any-database" in ran.output


@pytest.mark.parametrize("url", ["sqlite:///test.db", "mysql://h/test", "postgresql://h:x/test"])
def test_a_url_that_is_not_postgresql_s(suite, url):
    """It is not taken for one of PostgreSQL, and its variable is named."""
    suite.tests(TESTS)

    ran = suite.run(*AUTO, TEST_DATABASE_URL=url)

    assert_said_once(ran, "TEST_DATABASE_URL: ")


@pytest.mark.parametrize("url", ["nonsense", "redis://127.0.0.1:1/abc"])
def test_a_url_that_is_not_redis_s(suite, url):
    """It says what one looks like."""
    suite.tests(REDIS_TESTS)

    ran = suite.run(*AUTO, TEST_REDIS_URL=url)

    assert_said_once(ran, "Redis URL: ")


def test_a_configuration_of_alembic_that_is_not_there(suite, given):
    """A name that was given, and leads nowhere, is no reason for an empty database."""
    suite.write("pyproject.toml", '[tool.holdfast]\nalembic = "nope.ini"\n')
    suite.tests(TESTS)

    ran = suite.run(*AUTO, **given)

    assert_said_once(ran, "[tool.holdfast] alembic: there is no file", "nope.ini")


@pytest.mark.parametrize(
    ("make", "says"),
    [("return lambda url: None", "made NoneType"),
     ("async def make(url): ...\n    return make", "made coroutine"),
     ("return lambda url: Database(os.environ['TEST_DATABASE_URL'])", "is not for this test")],
)  # fmt: skip
@pytest.mark.parametrize("fixture", ["db", "database"])
def test_a_database_that_is_made_otherwise(suite, given, make, says, fixture):
    """It is refused before anything is done to it."""
    suite.tests(
        TESTS.replace("db", fixture)
        + f"""
from holdfast.database import Database

@pytest.fixture(scope="session")
def make_database():
    {make}
"""
    )

    ran = suite.run(*AUTO, **given)

    assert_said_once(ran, "make_database: ", says)


def test_a_server_that_is_not_there(suite):
    """Place and cause are named, and no password."""
    suite.tests(TESTS)

    ran = suite.run(*AUTO, TEST_DATABASE_URL="postgresql://ada:private@127.0.0.1:1/test")

    assert_said_once(ran, "127.0.0.1:1")
    assert "private" not in ran.output


def test_a_role_that_may_not_make_databases(suite, clone):
    """It says which role, and what to give it."""
    suite.tests(TESTS)

    ran = suite.run(*AUTO, TEST_DATABASE_URL=clone.app)

    assert_said_once(ran, "the role 'app'", "permission denied to create database", "CREATEDB")


def test_a_given_server(suite, clone):
    """A server that is given is used, and left as it was found."""
    suite.tests(
        """
        @pytest.mark.parametrize("number", range(4))
        async def test_database(db, database, number):
            await add(database)
            print("IN", db.url.engine.database)
        """
    )

    url = clone.owner.replace("postgresql://", "postgresql+asyncpg://")
    ran = suite.run(*AUTO, "-n", "2", "-rP", TEST_DATABASE_URL=url)

    assert (ran.code, ran.passed) == (0, 4), ran.output
    assert not (suite.folder / ".holdfast").exists()
    [run] = {found.split("_")[2] for found in re.findall(r"IN (\S+)", ran.output)}
    assert not [name for name in names(clone.owner) if run in name]


def names(url):
    async def look():
        connection = await asyncpg.connect(url)
        found = await connection.fetch("SELECT datname FROM pg_database")
        await connection.close()
        return [name for (name,) in found]

    return asyncio.run(look())


def test_a_mark_that_there_is_not(suite, given):
    """A mark with a slip of the pen says what it may have."""
    suite.tests(
        """
        @pytest.mark.holdfast(isolation="databse")
        async def test_value(db):
            pass

        @pytest.mark.holdfast(isolated=True)
        async def test_name(db):
            pass

        @pytest.mark.holdfast("database")
        async def test_position(db):
            pass

        @pytest.mark.holdfast(leaks=False)
        class TestMarks:
            @pytest.mark.holdfast(isolation="database")
            async def test_both(self, db):
                await asyncio.gather(add(db, 1), add(db, 2))
                await db.session().execute(text("SELECT 1"))

        @pytest.mark.holdfast(role="owner")
        async def test_owner(db, database):
            for each in (db, database):
                async with each.begin() as session:
                    await session.execute(text("CREATE TABLE more (id integer)"))
        """
    )

    ran = suite.run(*AUTO, **given)

    assert (ran.passed, ran.errors) == (2, 3), ran.output
    assert "isolation is 'databse'; it is 'sandbox' or 'database'" in ran.output
    assert "there is no isolated" in ran.output
    assert "its arguments have names" in ran.output


def test_a_project_that_cannot_be_read(suite):
    """A mistake in [tool.holdfast] is named with its file."""
    suite.write("pyproject.toml", "[tool.holdfast]\nalembik = 'a.ini'\n")
    suite.tests(TESTS)

    ran = suite.run(*AUTO)

    assert_said_once(ran, "alembik")


async def test_a_redis_with_keys(suite, redis, redis_url):
    """Keys that tests did not write are left alone, unless it is said that they may go."""
    await redis.set("precious", "1", ex=60)
    suite.tests(REDIS_TESTS)

    ran = await asyncio.to_thread(suite.run, *AUTO, TEST_REDIS_URL=redis_url)

    assert_said_once(ran, "has 1 key(s)", "--holdfast-any-database")
    assert await redis.get("precious")
    unsafe = await asyncio.to_thread(
        suite.run, *AUTO, "--holdfast-any-database", TEST_REDIS_URL=redis_url
    )
    assert (unsafe.code, unsafe.passed) == (0, 2), unsafe.output
    assert await redis.dbsize() == 0


def test_a_redis_that_is_not_there(suite):
    """Place and cause are named, and no password."""
    suite.tests(REDIS_TESTS)

    ran = suite.run(*AUTO, TEST_REDIS_URL="redis://:private@127.0.0.1:1/0")

    assert_said_once(ran, "Redis at 127.0.0.1:1/0: ")
    assert "private" not in ran.output
