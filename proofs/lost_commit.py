"""Promise 1: a transaction that the server undid is never reported as committed."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from advanced_alchemy.config import SQLAlchemyAsyncConfig
from proofs.contract import Outcome, Proof, Servers, Side, main
from sqlalchemy import func, insert, make_url, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from holdfast.database import Database
from holdfast.errors import TransactionAbortedError

Unit = Callable[[], AbstractAsyncContextManager[AsyncSession]]


class Base(DeclarativeBase):
    """The tables of this proof."""


class Order(Base):
    """What the customer was promised."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]


class Receipt(Base):
    """Something that may fail and does not matter: it can be sent again later."""

    __tablename__ = "receipts"
    number: Mapped[int] = mapped_column(primary_key=True)


async def place_order(unit: Unit) -> str:
    """Handle a request as an application would, and return the answer that the client gets."""
    async with unit() as session:
        session.add(Order(item="lamp"))
        await session.flush()
        with suppress(IntegrityError):
            await session.execute(insert(Receipt).values(number=1))  # taken
    return "201 Created"


async def plain(servers: Servers) -> Outcome:
    """SQLAlchemy's own session, committed at the end."""
    async with tables(servers) as engine:
        make_session = async_sessionmaker(engine, expire_on_commit=False)

        @asynccontextmanager
        async def unit() -> AsyncIterator[AsyncSession]:
            async with make_session() as session, session.begin():
                yield session

        return await outcome(await place_order(unit), engine)


async def advanced_alchemy(servers: Servers) -> Outcome:
    """The session that advanced-alchemy's configuration makes, committed at the end."""
    async with tables(servers) as engine:
        config = SQLAlchemyAsyncConfig(engine_instance=engine)

        @asynccontextmanager
        async def unit() -> AsyncIterator[AsyncSession]:
            async with config.get_session() as session:
                yield session
                await session.commit()

        return await outcome(await place_order(unit), engine)


async def holdfast(servers: Servers) -> Outcome:
    """The same request on `Database.begin()`."""
    async with tables(servers) as engine, Database(servers.postgres.url("owner")) as db:
        try:
            answer = await place_order(db.begin)
        except TransactionAbortedError as error:
            answer = f"500, TransactionAbortedError: {error}"
        return await outcome(answer, engine)


@asynccontextmanager
async def tables(servers: Servers) -> AsyncIterator[AsyncEngine]:
    """Make the tables, with the receipt that is in the way, and drop them at the end."""
    url = make_url(servers.postgres.url("owner")).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
            await connection.execute(insert(Receipt).values(number=1))
        yield engine
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.drop_all)
    finally:
        await engine.dispose()


async def outcome(answer: str, engine: AsyncEngine) -> Outcome:
    """Compare what the client was told with what is stored."""
    async with engine.connect() as connection:
        stored = await connection.scalar(select(func.count()).select_from(Order))
    promised = answer.startswith("201")
    return Outcome(said=answer, true=f"{stored} orders are stored", kept=promised == bool(stored))


PROOF = Proof(
    promise=1,
    title="No acknowledged write is lost: a COMMIT that the server answers with ROLLBACK",
    deed=(
        "In one transaction an order is inserted; then a statement fails, and its error is caught "
        "because it does not matter; then the transaction is committed. PostgreSQL has aborted it "
        "and answers COMMIT with ROLLBACK, which is not an error."
    ),
    plain=Side(packages=["sqlalchemy", "asyncpg"], run=plain),
    peers=[Side(packages=["advanced-alchemy", "asyncpg"], run=advanced_alchemy)],
    holdfast=Side(packages=["holdfast", "asyncpg"], run=holdfast),
)

if __name__ == "__main__":
    sys.exit(main([PROOF]))
