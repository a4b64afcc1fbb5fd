"""Ask the server for the outcome of a COMMIT that got no answer."""

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from holdfast.database.sessions import OwnedSession
from holdfast.errors import CommitUnknownError, HoldfastError

# In a transaction: its number if it wrote, whether a COMMIT is wherever it has to be when it is
# answered, and which history of which server it belongs to.
_TICKET = text(
    """
    SELECT pg_current_xact_id_if_assigned()::text AS number,
        current_setting('synchronous_commit') IN ('on', 'remote_apply') AS durable,
        (SELECT system_identifier FROM pg_control_system()) AS system,
        substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline
    """
)
# Of another history a number may be one of the future, which is an error.
_STATUS = text(
    """
    WITH now AS MATERIALIZED (
        SELECT system_identifier AS system,
            CASE WHEN NOT pg_is_in_recovery()
                THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END AS timeline
        FROM pg_control_system()
    )
    SELECT system, timeline,
        CASE WHEN system = CAST(:system AS bigint) AND timeline = CAST(:timeline AS text)
            THEN pg_xact_status(CAST(CAST(:number AS text) AS xid8)) END AS status
    FROM now
    """
)
_ASK_AGAIN = 0.2  # seconds
_NO_ANSWER = "no answer"
_LATER = (_NO_ANSWER, "in progress")  # this one and the next two are pg_xact_status's words
_COMMITTED = "committed"
_ABORTED = "aborted"
_ASK_FOR = 5.0  # seconds: a COMMIT may still run, a server may be starting


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ticket:
    number: str | None
    durable: bool
    system: int
    timeline: str


class Resolving:
    """Commits, and looks the outcome up when the answer is lost.

    The server's word is believed where it is the same server with the same history (system
    identifier and timeline), and only of a transaction with `synchronous_commit` on (or
    `remote_apply`, which is more): a standby that was promoted may know nothing of it, nor may the
    server after a crash where it was off, or the standby that follows where it was `local`.

    Args:
        reading: connections to ask on.
    """

    def __init__(self, reading: AsyncEngine) -> None:
        self._reading = reading

    async def finish(self, session: OwnedSession) -> None:
        """Commit; on return it is committed for sure.

        Raises:
            CommitUnknownError: nobody can tell.
            OperationalError: the connection was lost, and nothing is stored.
        """
        await session.flush()
        ticket = await _take(session)
        try:
            await session.finish()
        except CommitUnknownError as error:
            status = await self._status(ticket, error)
            if status == _ABORTED:
                raise _lost(error) from error
            if status != _COMMITTED:
                raise

    async def _status(self, ticket: _Ticket, unknown: CommitUnknownError) -> str | None:
        if ticket.number is None:
            return _ABORTED  # it has written nothing, so there is nothing that could be stored
        if not ticket.durable:
            return None
        try:
            return await self._ask_until_answered(ticket)
        except asyncio.CancelledError as cancelled:
            cancelled.add_note(str(unknown))
            raise

    async def _ask_until_answered(self, ticket: _Ticket) -> str | None:
        """Ask until there is an answer that can be believed, or none is to be expected."""
        until = time.monotonic() + _ASK_FOR
        while True:
            status = await self._ask(ticket, until)
            if status not in _LATER or time.monotonic() > until:
                return status
            await asyncio.sleep(_ASK_AGAIN)

    async def _ask(self, ticket: _Ticket, until: float) -> str | None:
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                now = await self._answer(ticket)
        except (DBAPIError, OSError, HoldfastError):  # a TimeoutError is an OSError
            return _NO_ANSWER
        if (now.system, now.timeline) != (ticket.system, ticket.timeline):
            return None  # another server, or another history
        status: str | None = now.status
        return status

    async def _answer(self, ticket: _Ticket) -> Any:
        async with self._reading.connect() as connection:
            return (await connection.execute(_STATUS, asdict(ticket))).one()


async def _take(session: OwnedSession) -> _Ticket:
    row = (await session.execute(_TICKET)).mappings().one()
    return _Ticket(**row)


def _lost(unknown: CommitUnknownError) -> OperationalError:
    cause = unknown.__cause__ or unknown
    error = OperationalError("COMMIT", None, cause, connection_invalidated=True)
    error.add_note("nothing of the transaction is stored")
    return error
