"""Look at a database: quickly, whether it serves; and once, whether all is set up as it should."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from holdfast.database import diagnosis
from holdfast.database.causes import POOLED, POOLER_MET
from holdfast.database.embedded import check_file, examine_file
from holdfast.database.encryption import check_tls, look_at
from holdfast.database.facts import find_shared, read_clock, read_facts, read_limits
from holdfast.errors import HoldfastError
from holdfast.events import Check
from holdfast.pool import ElasticPool
from holdfast.urls import redact

if TYPE_CHECKING:
    from holdfast.database.database import Database

_STATE = (
    "SELECT pg_is_in_recovery() AS standby, "
    "current_setting('default_transaction_read_only') = 'on' AS reads_only"
)
_WAITS_FOR = 2.0  # seconds for a second server process of a pooler, which may have one only
# What may come in between: of the server, of the network or a limit, of the pool.
_ERRORS = (DBAPIError, OSError, HoldfastError)


async def check(db: "Database") -> Sequence[Check]:
    """Tell whether it serves now: reached, takes writes, and has connections to give.

    One round trip or two, and a limit for each. What is wrong is a failed check, not an exception.
    """
    reached = await _reach(db)
    if not reached.ok:
        return [reached]
    try:
        async with asyncio.timeout(db.url.connect_timeout or db.policy.connect_timeout):
            return [reached, await _writes(db), _load(db)]
    except _ERRORS as error:
        return [reached, _cut_short(error)]


async def examine(db: "Database", *, processes: int) -> Sequence[Check]:
    """Tell what is set up wrongly, or could be better; about a dozen round trips.

    Args:
        db: as the application has it.
        processes: how many of them have a pool of this size.
    """
    if db.url.backend == "sqlite":
        return await examine_file(db)
    reached = await _reach(db)
    if not reached.ok:
        return [reached]
    try:
        return [reached, *await _examine(db, processes)]
    except _ERRORS as error:
        return [reached, _cut_short(error)]


async def _reach(db: "Database") -> Check:
    try:
        if db.url.backend == "sqlite":
            check_file(db)
        seconds = await db.ping()
    except HoldfastError as error:
        advice = "mend this first; the rest can be looked at only then"
        return Check(name="reached", said=str(error), state="failed", advice=advice)
    return Check(name="reached", said=f"{db.url.place} in {seconds * 1000:.0f} ms")


def _cut_short(error: Exception) -> Check:
    cause = getattr(error, "orig", None) or error
    said = " ".join(redact(f"{type(cause).__name__}: {cause}").split())
    advice = "look at the server's log; the rest could not be looked at"
    if getattr(cause, "sqlstate", None) in POOLED:
        advice = POOLER_MET
    return Check(name="server", said=said, state="failed", advice=advice)


async def _writes(db: "Database") -> Check:
    if db.url.backend == "sqlite":
        return Check(name="writes", said="a file")
    async with db.read() as session:
        row = (await session.execute(text(_STATE))).one()
    return diagnosis.check_writable(standby=row.standby, reads_only=row.reads_only, url=db.url)


def _load(db: "Database") -> Check:
    pool = db.engine.pool
    assert isinstance(pool, ElasticPool)
    used, waiting = pool.checkedout(), len(pool.waiting())
    said = f"connections in use: {used} of {pool.policy.max_size}; callers waiting: {waiting}"
    if not waiting:
        return Check(name="pool", said=said)
    advice = "hold connections for a shorter time, or raise PoolPolicy.max_size"
    return Check(name="pool", said=said, state="warning", advice=advice)


async def _examine(db: "Database", processes: int) -> Sequence[Check]:
    async with db.engine.connect() as connection, connection.begin():
        facts = await read_facts(connection)
        limits = await read_limits(connection)
        clock = await read_clock(connection)
        driver = (await connection.get_raw_connection()).driver_connection
        wire = look_at(driver, db.url.engine.get_driver_name())
    behind = facts.pid != wire.pid  # there the server tells of its connection to the pooler
    details = "" if behind else ", ".join(filter(None, (facts.tls_version, facts.tls_cipher)))
    return [
        check_tls(wire, db.url, details=details),
        diagnosis.check_pooler(facts, wire.pid, db.url, shared=behind and await _is_shared(db)),
        diagnosis.check_version(facts),
        diagnosis.check_writable(standby=facts.standby, reads_only=facts.reads_only, url=db.url),
        diagnosis.check_role(facts),
        diagnosis.check_pool(facts, db.url, max_size=db.policy.pool.max_size, processes=processes),
        *diagnosis.check_limits(
            limits, await _limits_outside(db), forgotten=behind and db.url.takes_settings
        ),
        diagnosis.check_clock(clock),
    ]


async def _is_shared(db: "Database") -> bool:
    """Tell whether a pooler that is said to be in session mode was seen in transaction mode."""
    if db.url.pooler != "session" or db.policy.pool.max_size < 2:
        return False
    try:
        async with (
            asyncio.timeout(_WAITS_FOR),
            db.engine.connect() as first,
            db.engine.connect() as second,
        ):
            return await find_shared(first, second)
    except TimeoutError:
        return False
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in POOLED:
            return True  # the statements that one of them has prepared are there for the other
        raise


async def _limits_outside(db: "Database") -> Mapping[str, int] | None:
    """Give those without a transaction, where they are not the same."""
    if db.url.takes_settings:
        return None
    async with db.read() as session:
        return await read_limits(await session.connection())
