"""What a test of an application does; it also passes where nothing is taken back."""

from proofs.suite.shop import Address, Customer, Sessions, register
from sqlalchemy import select


async def test_a_customer_has_an_address(sessions: Sessions, number: int, work: int) -> None:
    """Two rows are committed, and read again."""
    for each in range(work):
        customer = await register(sessions, f"Ann {number}.{each}", "Oslo")
        async with sessions() as session:
            found = select(Address.city).join(Customer).where(Customer.id == customer)
            assert (await session.scalars(found)).all() == ["Oslo"]
