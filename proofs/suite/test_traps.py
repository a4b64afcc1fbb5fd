"""Three traps; a docstring says what the test of each must do. The one that may hang is last."""

from proofs.suite.shop import (
    Order,
    Product,
    Sessions,
    count_orders,
    import_products,
    pay_by_voucher,
)
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine


async def test_a_voucher_pays(sessions: Sessions, order: int) -> None:
    """In production the COMMIT is refused, so this must fail."""
    await pay_by_voucher(sessions, order, voucher=77)
    async with sessions() as session:
        assert (await session.get_one(Order, order)).payment_id == 77


async def test_products_are_imported(engine: AsyncEngine, sessions: Sessions) -> None:
    """Both are there. This must pass."""
    await import_products(engine, ["chair", "table"])
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Product)) == 2


async def test_nothing_is_left_of_the_import(sessions: Sessions) -> None:
    """Another test begins with an empty shop. This must pass."""
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Product)) == 0


async def test_orders_are_counted(sessions: Sessions) -> None:
    """A connection is left in use, so this must fail, and name the line."""
    assert await count_orders(sessions) == 0
