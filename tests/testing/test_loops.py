"""The fixtures work on any loop of any plugin, without a setting."""

import pytest

ALL = """
pytestmark = {mark}

@pytest.mark.parametrize("number", range(3))
async def test_sandbox(db, number):
    assert await count(db) == 0
    await add(db)

@pytest.mark.parametrize("number", range(3))
async def test_session(session, redis, number):
    session.add_all([])
    await session.execute(text("INSERT INTO items VALUES (1)"))
    await session.commit()
    assert await redis.incr("n") == 1
    await redis.expire("n", 60)

async def test_own(database):
    await asyncio.gather(*(add(database, number) for number in range(5)))
    assert await count(database) == 5

async def test_another_thread_s_loop(db):
    await add(db)
    assert await asyncio.to_thread(asyncio.run, count(db)) == 1

{asked}
"""
ASKED = """
{decorator}
async def asked(request):
    return request.getfixturevalue("database")

async def test_asked_for_in_a_loop(asked):
    await add(asked)
"""
PYTEST_ASYNCIO = "pytest.mark.asyncio"


@pytest.mark.parametrize(
    ("mark", "decorator", "arguments"),
    [
        ("[]", "@pytest.fixture", ["-o", "asyncio_mode=auto"]),
        (PYTEST_ASYNCIO, "@__import__('pytest_asyncio').fixture", ["-o", "asyncio_mode=strict"]),
        (
            PYTEST_ASYNCIO + '(loop_scope="session")',
            '@__import__("pytest_asyncio").fixture(loop_scope="session", scope="session")',
            ["-o", "asyncio_default_fixture_loop_scope=session", "-k", "not asked"],
        ),
        ("pytest.mark.anyio", "@pytest.fixture", ["-p", "anyio.pytest_plugin", "-p", "no:asyncio"]),
    ],
    ids=["auto", "strict", "session loop", "anyio"],
)
def test_loops(suite, given, mark, decorator, arguments):
    """Every fixture works, test after test, and an asynchronous fixture may ask for one."""
    suite.tests(ALL.format(mark=mark, asked=ASKED.format(decorator=decorator)))
    suite.write(
        "conftest.py",
        "import pytest\n@pytest.fixture(scope='session')\n"
        "def anyio_backend():\n    return 'asyncio'\n",
    )

    ran = suite.run(*arguments, **given)

    assert ran.code == 0, ran.output
    assert ran.passed >= 8


def test_what_a_loop_that_stands_still_has_left_is_not_waited_for(suite):
    """In a loop that all tests share, a ping that nobody awaits does not keep its database open."""
    suite.tests(
        """
        pytestmark = pytest.mark.asyncio(loop_scope="session")

        async def test_not_awaited(database):
            asyncio.create_task(database.ping())
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        async def test_next(database):
            assert await count(database) == 0
        """
    )

    ran = suite.run()

    assert (ran.code, ran.passed) == (0, 2), ran.output
