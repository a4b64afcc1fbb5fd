"""Ten tests as an application has them; each must find the shop as if it were the only one."""

import pytest
from proofs.suite.shop import (
    Address,
    Customer,
    Line,
    Order,
    Payment,
    Product,
    Sessions,
    Shipment,
    Stock,
    offer,
    pay,
    place_order,
    register,
    ship,
)
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError


async def test_a_new_shop_has_no_orders(sessions: Sessions) -> None:
    """Nobody else's are there."""
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Order)) == 0


async def test_a_customer_has_an_address(sessions: Sessions, customer: int) -> None:
    """Both are written."""
    async with sessions() as session:
        address = (await session.scalars(select(Address))).one()
    assert (address.customer_id, address.city) == (customer, "Oslo")


async def test_a_name_is_taken_once(sessions: Sessions, customer: int) -> None:
    """The second customer of that name is refused, the first stays."""
    with pytest.raises(IntegrityError):
        await register(sessions, "Ann", "Rome")
    async with sessions() as session:
        assert (await session.scalars(select(Customer.id))).all() == [customer]


async def test_products_are_listed_by_price(sessions: Sessions, product: int) -> None:
    """The cheapest comes first."""
    cheaper = await offer(sessions, "bulb", price=2, amount=50)
    async with sessions() as session:
        listed = (await session.scalars(select(Product.id).order_by(Product.price))).all()
    assert listed == [cheaper, product]


async def test_an_order_takes_from_the_stock(sessions: Sessions, order: int, product: int) -> None:
    """Two of five are gone."""
    async with sessions() as session:
        assert (await session.get_one(Stock, product)).amount == 3
        assert (await session.get_one(Line, (order, product))).amount == 2


async def test_more_than_is_there_is_refused(
    sessions: Sessions, customer: int, product: int
) -> None:
    """Nothing of the order is written."""
    with pytest.raises(ValueError, match="only 5 in stock"):
        await place_order(sessions, customer, product, 6)
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Order)) == 0


async def test_an_order_is_paid(sessions: Sessions, order: int) -> None:
    """The order knows its payment."""
    await pay(sessions, order, 60)
    async with sessions() as session:
        payment = (await session.get_one(Order, order)).payment_id
        assert (await session.get_one(Payment, payment)).total == 60


async def test_an_order_is_shipped(sessions: Sessions, order: int) -> None:
    """There is one parcel."""
    await ship(sessions, order)
    async with sessions() as session:
        assert (await session.scalars(select(Shipment.order_id))).all() == [order]


async def test_an_order_is_shipped_once(sessions: Sessions, order: int) -> None:
    """The second parcel is refused."""
    await ship(sessions, order)
    with pytest.raises(IntegrityError):
        await ship(sessions, order)


async def test_a_customer_orders_again(
    sessions: Sessions, order: int, customer: int, product: int
) -> None:
    """Both orders are there."""
    again = await place_order(sessions, customer, product, 1)
    async with sessions() as session:
        assert (await session.scalars(select(Order.id).order_by(Order.id))).all() == [order, again]
