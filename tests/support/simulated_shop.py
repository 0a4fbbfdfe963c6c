"""A system of somebody's own, over SQLAlchemy sessions, for `preterite simulate`; and one with a careless handler."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from preterite import Command, Component, Event, OpenSystem, System, UnitOfWork


class LoanBegun(Event, key="reader_id"):
    loan_id: UUID
    reader_id: UUID


class Base(DeclarativeBase):
    pass


class Reminder(Base):
    __tablename__ = "reminder"
    id: Mapped[int] = mapped_column(primary_key=True)
    loan: Mapped[str]


class LendingBase(DeclarativeBase):
    pass


class Loan(LendingBase):
    __tablename__ = "loan"
    id: Mapped[str] = mapped_column(primary_key=True)


lending = Component("lending", publishes=[LoanBegun], tables=LendingBase.metadata)
reminding = Component("reminding", tables=Base.metadata)
system = System("library", [lending, reminding])


class Recall(Command):
    """Ask for the book, long after every world has ended."""

    loan_id: UUID


@reminding.handles(LoanBegun)
def remind(event: LoanBegun, session: Session, unit_of_work: UnitOfWork) -> None:
    session.add(Reminder(loan=str(event.loan_id)))
    unit_of_work.schedule(Recall(loan_id=event.loan_id), after=timedelta(days=30))


@reminding.handles(Recall)
def recall(command: Recall) -> None:
    raise AssertionError("no world lasts so long")


careless_lending = Component("lending", publishes=[LoanBegun], tables=LendingBase.metadata)
careless_reminding = Component("reminding", tables=Base.metadata)
careless = System("library", [careless_lending, careless_reminding])
_remembered: dict[UUID, int] = {}


@careless_reminding.handles(LoanBegun)
def remind_from_memory(event: LoanBegun, connection: sqlite3.Connection) -> None:
    """What is kept outside the transaction is counted again with every repetition."""
    _remembered[event.loan_id] = _remembered.get(event.loan_id, 0) + 1
    for _ in range(_remembered[event.loan_id]):
        connection.execute("insert into reminder (loan) values (?)", [str(event.loan_id)])


def lend(shop: OpenSystem, chance: Random) -> None:
    component = shop.components["lending"]
    loan = LoanBegun(
        loan_id=UUID(int=chance.getrandbits(128), version=4), reader_id=UUID(int=chance.randrange(5), version=4)
    )
    with shop.session(component) as session, component.unit_of_work(session) as unit_of_work:
        session.add(Loan(id=str(loan.loan_id)))
        unit_of_work.publish(loan)


def confused_check(_shop: OpenSystem) -> Sequence[str]:
    raise LookupError("which table?")


def check(shop: OpenSystem) -> Sequence[str]:
    """Each loan is remembered once."""
    with shop.session(shop.components["lending"]) as session:
        loans = session.scalars(select(func.count()).select_from(Loan)).one()
    with shop.session(shop.components["reminding"]) as session:
        reminders = session.scalars(select(func.count()).select_from(Reminder)).one()
    return [] if loans == reminders else [f"{loans} loans, {reminders} reminders"]
