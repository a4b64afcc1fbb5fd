"""The application under test: eight tables, and functions that begin and commit by themselves."""

from collections.abc import Callable, Sequence

from sqlalchemy import ForeignKey, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Sessions = Callable[[], AsyncSession]


class Base(DeclarativeBase):
    """The tables of the shop."""


class Customer(Base):
    """Who buys."""

    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Address(Base):
    """Where a customer lives."""

    __tablename__ = "addresses"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    city: Mapped[str]


class Product(Base):
    """What is sold."""

    __tablename__ = "products"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    price: Mapped[int]


class Stock(Base):
    """How much of it is there."""

    __tablename__ = "stocks"
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), primary_key=True)
    amount: Mapped[int]


class Payment(Base):
    """Money that came in."""

    __tablename__ = "payments"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int]


class Order(Base):
    """What a customer wants; its payment may be written after it, in the same transaction."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    payment_id: Mapped[int | None] = mapped_column(
        ForeignKey("payments.id", deferrable=True, initially="DEFERRED")
    )


class Line(Base):
    """A product of an order."""

    __tablename__ = "lines"
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"), primary_key=True)
    amount: Mapped[int]


class Shipment(Base):
    """A parcel on its way."""

    __tablename__ = "shipments"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), unique=True)


async def register(sessions: Sessions, name: str, city: str) -> int:
    """Write a customer with an address, and return the customer's id."""
    async with sessions() as session, session.begin():
        customer = Customer(name=name)
        session.add(customer)
        await session.flush()
        session.add(Address(customer_id=customer.id, city=city))
    return customer.id


async def offer(sessions: Sessions, name: str, *, price: int, amount: int) -> int:
    """Write a product with its stock, and return the product's id."""
    async with sessions() as session, session.begin():
        product = Product(name=name, price=price)
        session.add(product)
        await session.flush()
        session.add(Stock(product_id=product.id, amount=amount))
    return product.id


async def place_order(sessions: Sessions, customer_id: int, product_id: int, amount: int) -> int:
    """Take from the stock and write the order, and return its id.

    Raises:
        ValueError: there is not as much in stock; nothing is written.
    """
    async with sessions() as session, session.begin():
        order = Order(customer_id=customer_id)
        session.add(order)
        await session.flush()
        session.add(Line(order_id=order.id, product_id=product_id, amount=amount))
        stock = await session.get_one(Stock, product_id)
        if stock.amount < amount:
            raise ValueError(f"only {stock.amount} in stock")
        stock.amount -= amount
    return order.id


async def pay(sessions: Sessions, order_id: int, total: int) -> None:
    """Write the payment of an order."""
    async with sessions() as session, session.begin():
        payment = Payment(total=total)
        session.add(payment)
        await session.flush()
        (await session.get_one(Order, order_id)).payment_id = payment.id


async def ship(sessions: Sessions, order_id: int) -> None:
    """Send an order."""
    async with sessions() as session:
        session.add(Shipment(order_id=order_id))
        await session.commit()


async def pay_by_voucher(sessions: Sessions, order_id: int, voucher: int) -> None:
    """Take a voucher for a payment, which it is not: in production the COMMIT fails."""
    async with sessions() as session, session.begin():
        (await session.get_one(Order, order_id)).payment_id = voucher


async def count_orders(sessions: Sessions) -> int:
    """Count, and forget to close the session: in production the pool runs dry."""
    session = sessions()
    return await session.scalar(select(func.count()).select_from(Order)) or 0


async def import_products(engine: AsyncEngine, names: Sequence[str]) -> None:
    """Write many products in one statement and commit them, as it is meant to."""
    async with engine.begin() as connection:
        await connection.execute(insert(Product), [{"name": name, "price": 1} for name in names])
