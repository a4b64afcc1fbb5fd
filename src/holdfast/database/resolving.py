"""Ask the server for the outcome of a COMMIT that got no answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.errors import CommitUnknownError, UnavailableError

if TYPE_CHECKING:
    from holdfast.database.database import Database

R = TypeVar("R")

# In a transaction: its number if it wrote, whether a COMMIT is on disk when it is answered, and
# which history of which server it belongs to.
_TICKET = text(
    """
    SELECT pg_current_xact_id_if_assigned()::text AS number,
        current_setting('synchronous_commit') <> 'off' AS durable,
        (SELECT system_identifier FROM pg_control_system()) AS system,
        substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline
    """
)
_STATUS = text(
    """
    SELECT pg_is_in_recovery() AS standby, system_identifier AS system,
        CASE WHEN NOT pg_is_in_recovery()
            THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline,
        CASE WHEN NOT pg_is_in_recovery()
            THEN pg_xact_status(CAST(CAST(:number AS text) AS xid8)) END AS status
    FROM pg_control_system()
    """
)
_ASK_AGAIN = 0.2  # seconds
_NO_ANSWER = "no answer"
_LATER = (_NO_ANSWER, "in progress")
_ASK_FOR = 5.0  # seconds: a COMMIT may still run, a server may be starting


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ticket:
    number: str | None
    durable: bool
    system: int
    timeline: str


class Resolving:
    """One attempt whose COMMIT is looked up when its answer is lost.

    The server's word is believed where it is the same server with the same history (system
    identifier and timeline), and only of a transaction that was on disk when it was committed: a
    standby that was promoted, or a crash with `synchronous_commit` off, may know nothing of it.
    """

    def __init__(self, database: "Database") -> None:
        self._database = database

    async def attempt(self, work: Callable[[AsyncSession], Awaitable[R]]) -> R:
        """Do the work and return its result, committed for sure.

        Raises:
            CommitUnknownError: nobody can tell.
            OperationalError: the connection was lost, and the transaction is rolled back.
        """
        ticket: _Ticket | None = None
        try:
            async with self._database.begin() as session:
                result = await work(session)
                await session.flush()
                ticket = await _take(session)
        except CommitUnknownError as error:
            status = await self._status(ticket) if ticket else None
            if status == "aborted":
                raise _lost(error) from error
            if status != "committed":
                raise
        return result

    async def _status(self, ticket: _Ticket) -> str | None:
        """Ask until there is an answer that can be believed, or none is to be expected."""
        if ticket.number is None or not ticket.durable:
            return None
        until = time.monotonic() + _ASK_FOR
        while True:
            status = await self._ask(ticket)
            if status not in _LATER or time.monotonic() > until:
                return status
            await asyncio.sleep(_ASK_AGAIN)

    async def _ask(self, ticket: _Ticket) -> str | None:
        try:
            async with self._database.read() as session:
                now: Any = (await session.execute(_STATUS, {"number": ticket.number})).one()
        except (DBAPIError, UnavailableError):
            return _NO_ANSWER
        if (now.system, now.timeline) != (ticket.system, ticket.timeline):
            return None  # another server, or another history
        status: str | None = now.status
        return status


async def _take(session: AsyncSession) -> _Ticket:
    row = (await session.execute(_TICKET)).mappings().one()
    return _Ticket(**row)


def _lost(unknown: CommitUnknownError) -> OperationalError:
    cause = unknown.__cause__ or unknown
    error = OperationalError("COMMIT", None, cause, connection_invalidated=True)
    error.add_note("the server says that the transaction was rolled back")
    return error
