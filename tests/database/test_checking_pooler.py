"""A real PgBouncer in front: whether it is noticed, and what follows for the limits."""

from contextlib import AsyncExitStack

import pytest
from proofs.pgbouncer import pgbouncer
from sqlalchemy import text

from holdfast.database import Database
from holdfast.events import Check, Events

PORT = 7432  # names the socket; nobody else is in its folder, and it is not one of a pooler
LETS_PASS = (
    "ignore_startup_parameters = "
    "statement_timeout,lock_timeout,idle_in_transaction_session_timeout,options"
)
with_drivers = pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])


async def examined(url: str, driver: str) -> dict[str, Check]:
    url = url.replace("postgresql", f"postgresql+{driver}", 1)
    db = Database(url, events=Events(lambda _: None))
    try:
        return {each.name: each for each in await db.examine()}
    finally:
        await db.close()


@with_drivers
async def test_one_that_the_url_does_not_tell_of(database_url, driver):
    """It is noticed by the process that it tells of, which is none of the server's."""
    async with pgbouncer(database_url, port=PORT, more=LETS_PASS) as url:
        checks = await examined(url, driver)

    assert checks["pooler"].state == "failed"
    assert "pooler=transaction" in checks["pooler"].advice
    # It lets the limits pass, and tells nobody that it does nothing with them; the policy has them.
    assert checks["statement_timeout"].state == "failed"
    assert checks["statement_timeout"].advice.startswith("write pooler=… in the URL")


@with_drivers
async def test_one_that_refuses_the_limits(database_url, driver):
    """It does not let the connection be made, and what to do is the same."""
    async with pgbouncer(database_url, port=PORT) as url:
        checks = await examined(url, driver)

    assert list(checks) == ["reached"]
    assert "pooler=transaction" in checks["reached"].said


@with_drivers
@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_one_that_the_url_tells_of(database_url, driver, mode):
    """Limits hold within transactions; outside they need the role, which is to be known."""
    async with pgbouncer(database_url, port=PORT, mode=mode) as url:
        checks = await examined(f"{url}&pooler={mode}", driver)

    assert checks["pooler"].said == f"in {mode} mode, as the URL says"
    wrong = {name: each.state for name, each in checks.items() if each.state != "ok"}
    assert wrong == {"statement_timeout": "warning", "lock_timeout": "warning"}
    assert "30 s within transactions; none outside" in checks["statement_timeout"].said
    assert checks["statement_timeout"].advice == "ALTER ROLE … SET statement_timeout = '30s'"
    assert "max_client_conn" in checks["pool"].said


@with_drivers
@pytest.mark.parametrize("size", [1, 2, 5])
async def test_one_in_another_mode_than_the_url_says(database_url, driver, size):
    """Two clients that are open get one process of the server: so it is in transaction mode."""
    more = f"default_pool_size = {size}\n"
    async with pgbouncer(database_url, port=PORT, more=more) as url:
        checks = await examined(f"{url}&pooler=session", driver)

    assert checks["pooler"].state == "failed"
    assert "the URL says that it is in session mode, and " in checks["pooler"].said
    assert checks["pooler"].advice == "write pooler=transaction in the URL"


@with_drivers
async def test_one_that_takes_its_connections_in_turn(database_url, driver):
    """A client that gets another process than before tells it, too, or that misses its plans."""
    more = "default_pool_size = 4\nserver_round_robin = 1\n"
    async with pgbouncer(database_url, port=PORT, more=more) as url:
        async with AsyncExitStack() as stack:  # as many at once as there are to be
            for _ in range(4):
                db = await stack.enter_async_context(Database(f"{url}&pooler=transaction"))
                session = await stack.enter_async_context(db.begin())
                await session.execute(text("SELECT 1"))
        checks = await examined(f"{url}&pooler=session", driver)

    assert checks["pooler"].state == "failed"
    assert "the URL says that it is in session mode, and " in checks["pooler"].said


@with_drivers
async def test_a_session_pooler_with_one_connection(database_url, driver):
    """Where a second client would wait for ever it is not known, and nothing is wrong."""
    async with pgbouncer(
        database_url, port=PORT, mode="session", more="default_pool_size = 1\n"
    ) as url:
        checks = await examined(f"{url}&pooler=session", driver)

    assert checks["pooler"].said == "in session mode, as the URL says"


@with_drivers
async def test_one_that_the_url_denies(database_url, driver):
    """What the URL says is not believed against what is seen."""
    async with pgbouncer(database_url, port=PORT, more=LETS_PASS) as url:
        checks = await examined(f"{url}&pooler=none", driver)

    assert checks["pooler"].state == "failed"
    assert "pooler=transaction" in checks["pooler"].advice
