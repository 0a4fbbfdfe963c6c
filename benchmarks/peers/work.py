"""The same work item for all: a purchase committed in Sales, a billable item committed in Finance, by SQLAlchemy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

NAMESPACE = UUID(int=2013)
PRODUCTS = [str(uuid5(NAMESPACE, f"product/{number}")) for number in range(200)]
CUSTOMERS = [str(uuid5(NAMESPACE, f"customer/{number}")) for number in range(1000)]
AT = "2013-01-17T13:37:00+00:00"
SALES_URL = os.environ.get("PEER_SALES_URL", "postgresql://localhost/sales")
FINANCE_URL = os.environ.get("PEER_FINANCE_URL", "postgresql://localhost/finance")
AMQP_URL = os.environ.get("PEER_AMQP_URL", "amqp://guest:guest@127.0.0.1:54323/")
CONCURRENCY = 10

Message = dict[str, str]


class Base(DeclarativeBase):
    """All tables."""


class Purchase(Base):
    """What Sales knows."""

    __tablename__ = "purchase"
    id: Mapped[str] = mapped_column(primary_key=True)
    product: Mapped[str]
    customer: Mapped[str]
    at: Mapped[str]


class Outbox(Base):
    """What Sales has to tell, where a peer brings no outbox of its own."""

    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]


class Price(Base):
    """What a product costs."""

    __tablename__ = "price"
    product: Mapped[str] = mapped_column(primary_key=True)
    pence: Mapped[int]


class Billable(Base):
    """What Finance knows; its key recognises what comes twice."""

    __tablename__ = "billable"
    purchase: Mapped[str] = mapped_column(primary_key=True)
    customer: Mapped[str]
    pence: Mapped[int]


def driver_url(url: str) -> str:
    """The same database, by psycopg 3."""
    return url.replace("postgresql://", "postgresql+psycopg://")


def sales_engine() -> sqlalchemy.Engine:
    """Sales' database."""
    return sqlalchemy.create_engine(driver_url(SALES_URL))


def finance_engine() -> sqlalchemy.Engine:
    """Finance's database."""
    return sqlalchemy.create_engine(driver_url(FINANCE_URL), pool_size=CONCURRENCY)


def async_finance_engine() -> Any:
    """Finance's database, for asyncio."""
    return create_async_engine(driver_url(FINANCE_URL), pool_size=CONCURRENCY)


def messages(count: int, first: int = 0) -> Iterator[Message]:
    """The events of so many purchases."""
    for number in range(first, first + count):
        yield {
            "purchase_id": str(uuid5(NAMESPACE, f"purchase/{number}")),
            "product_id": PRODUCTS[number % len(PRODUCTS)],
            "customer_id": CUSTOMERS[number * 7 % len(CUSTOMERS)],
            "purchased_at": AT,
        }


def purchase_of(message: Message) -> Purchase:
    """Sales' row."""
    return Purchase(
        id=message["purchase_id"],
        product=message["product_id"],
        customer=message["customer_id"],
        at=message["purchased_at"],
    )


def bill(engine: sqlalchemy.Engine, message: Message) -> None:
    """Finance's transaction: once, however often the message comes."""
    with Session(engine) as session:
        price = session.scalars(select(Price).where(Price.product == message["product_id"])).one()
        session.add(billable_of(message, price))
        try:
            session.commit()
        except IntegrityError:
            session.rollback()


async def bill_async(engine: Any, message: Message) -> None:
    """The same for asyncio."""
    async with AsyncSession(engine) as session:
        price = (await session.scalars(select(Price).where(Price.product == message["product_id"]))).one()
        session.add(billable_of(message, price))
        try:
            await session.commit()
        except IntegrityError:
            await session.rollback()


def billable_of(message: Message, price: Price) -> Billable:
    """Finance's row."""
    return Billable(purchase=message["purchase_id"], customer=message["customer_id"], pence=price.pence)
