"""Read a database at one moment: its tables, and what is known of them beside their rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncSession

from holdfast.transfer.asking import ask

# Read to the end, however long it takes; all rows, or an error; twice in the same order.
_LIMITS = """
SELECT set_config('statement_timeout', '0', true),
    set_config('idle_in_transaction_session_timeout', '0', true),
    set_config('row_security', 'off', true),
    set_config('synchronize_seqscans', 'off', true)
"""
_SEQUENCES = """
SELECT format('%I.%I', schemaname, sequencename) AS name, last_value AS last FROM pg_sequences
WHERE last_value IS NOT NULL
"""
_SQLITE_SEQUENCES = "SELECT name, seq AS last FROM sqlite_sequence"
_HAS_SEQUENCES = "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What belongs to tables and is no row.

    Attributes:
        partitions: by name, parents first, each with the statement that makes it.
        positions: the number that was given last, by sequence of PostgreSQL.
        counters: the number that was given last as a primary key, by table.
    """

    partitions: Mapping[str, str] = field(default_factory=dict)
    positions: Mapping[str, int] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)


async def set_up(session: AsyncSession) -> None:
    """Set up the transaction that reads a PostgreSQL."""
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text(_LIMITS))


async def find(session: AsyncSession, tables: Sequence[Table]) -> Found:
    """Give what belongs to tables and is no row."""
    if session.get_bind().dialect.name == "postgresql":
        partitions = await ask(session, "partitions.sql", tables)
        positions = {each.name: each.last for each in await session.execute(text(_SEQUENCES))}
        return Found(
            partitions={each.name: each.made_by for each in partitions},
            positions=positions,
            counters=await _counters(session, tables, positions),
        )
    if not await session.scalar(text(_HAS_SEQUENCES)):
        return Found()
    counters = await session.execute(text(_SQLITE_SEQUENCES))
    return Found(counters={each.name: each.last for each in counters})


async def _counters(
    session: AsyncSession, tables: Sequence[Table], positions: Mapping[str, int]
) -> Mapping[str, int]:
    keys = {each.name: [column.name for column in each.primary_key] for each in tables}
    return {
        each.table: positions[each.name]
        for each in await ask(session, "sequences.sql", tables)
        if each.name in positions and [each.column] == keys.get(each.table)
    }
