"""Tests with a database of their own."""

from proofs.suite.shop import Address, register
from sqlalchemy import func, select, text

from holdfast.database import Database
from holdfast.testing import Clone


async def test_writes(database: Database, number: int) -> None:
    """Two rows are committed."""
    await register(database.session, f"Ann {number}", "Oslo")


async def test_reads(database: Database, number: int) -> None:
    """Nobody has an address."""
    async with database.read() as session:
        assert await session.scalar(select(func.count(Address.id))) == 0, number


async def test_reads_without_sequences(empty_clone: Clone, number: int) -> None:
    """A database without sequences that was only read is given to the next test."""
    async with Database(empty_clone.app) as db, db.read() as session:
        assert await session.scalar(text("SELECT 1")) == 1, number
