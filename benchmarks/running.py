"""Row `run.overhead`: what it costs that a unit of work may be run again."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from benchmarks.cards import REPEATS, Card, Parties, contender, counting, make
from benchmarks.measure import Contenders, RatioGoal, Row
from sqlalchemy.ext.asyncio import AsyncSession

One = Callable[[], Awaitable[object]]


async def work(session: AsyncSession) -> None:
    """Write one row: a unit as short as they come, so that all around it shows."""
    session.add(Card(**make(1)))


def by_session(them: Parties) -> One:
    """The block that SQLAlchemy's documentation shows."""

    async def one() -> None:
        async with AsyncSession(them.plain, expire_on_commit=False) as session, session.begin():
            await work(session)

    return one


def by_begin(them: Parties) -> One:
    """Ours without a second attempt."""

    async def one() -> None:
        async with them.db.begin() as session:
            await work(session)

    return one


def by_run(them: Parties) -> One:
    """Ours."""
    return lambda: them.db.run(work)


@asynccontextmanager
async def overhead(quick: bool) -> AsyncIterator[Contenders]:  # noqa: FBT001
    """More work is more units of each task."""
    async with counting() as (them, count):
        plain, begin, run = [
            await contender(title, use, them, count, quick=quick)
            for title, use in (
                ("session.begin()", by_session),
                ("db.begin()", by_begin),
                ("db.run(work)", by_run),
            )
        ]
        yield Contenders(limit=plain, ours=run, beside=[begin])


OVERHEAD = Row(
    name="run.overhead",
    what="a unit that writes one row: 50 tasks, 20 connections",
    goals=[RatioGoal(at_most=1.1)],
    contenders=overhead,
    repeats=REPEATS,
)
