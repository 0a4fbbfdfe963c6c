"""Flush on demand: rows wait until somebody could notice, and no handler can tell the difference."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, cast

import pytest
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    Executable,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    column,
    event,
    false,
    func,
    insert,
    literal_column,
    select,
    table,
    text,
    union,
    union_all,
    update,
)
from sqlalchemy.orm import (
    Bundle,
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    column_property,
    foreign,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
)
from support.shop import ItemPurchased, Shop, bills, declare, id_of, letters, publish, purchased, texts

from preterite import Recoverability
from preterite.testing import StartedSystem, started

ONCE = Recoverability(immediate_retries=0, delayed_retries=0)
TABLES = """
create table bill (position integer primary key, purchase text unique, customer text);
create table line (id integer primary key, bill_id integer references bill (position));
create table price (product text primary key, pence integer);
insert or ignore into price values ('a', 100);
"""


class Base(DeclarativeBase):
    pass


class Bill(Base):
    __tablename__ = "bill"
    position: Mapped[int] = mapped_column(primary_key=True)
    purchase: Mapped[str]
    customer: Mapped[str | None]
    lines: Mapped[list[Line]] = relationship(back_populates="bill")


class Line(Base):
    __tablename__ = "line"
    id: Mapped[int] = mapped_column(primary_key=True)
    bill_id: Mapped[int] = mapped_column(ForeignKey(Bill.position))
    bill: Mapped[Bill] = relationship(back_populates="lines")


class Price(Base):
    __tablename__ = "price"
    product: Mapped[str] = mapped_column(primary_key=True)
    pence: Mapped[int]
    bills: Mapped[list[Bill]] = relationship(primaryjoin=lambda: _all_bills(Price), viewonly=True)


class PriceWithBills(Base):
    __table__ = Price.__table__
    bills: Mapped[list[Bill]] = relationship(
        primaryjoin=lambda: _all_bills(PriceWithBills), viewonly=True, lazy="joined"
    )


class PriceWithBillsAtOnce(Base):
    __table__ = Price.__table__
    bills: Mapped[list[Bill]] = relationship(
        primaryjoin=lambda: _all_bills(PriceWithBillsAtOnce), viewonly=True, lazy="selectin"
    )


class PriceWithCount(Base):
    __table__ = Price.__table__
    count: Mapped[int] = column_property(select(func.count(Bill.position)).scalar_subquery())


class AnyPrice(Base):
    __table__ = Price.__table__
    __mapper_args__: ClassVar = {"polymorphic_on": Price.__table__.c.pence}


class PriceOfHundred(AnyPrice):
    __mapper_args__: ClassVar = {"polymorphic_identity": 100, "polymorphic_load": "inline"}
    bills: Mapped[list[Bill]] = relationship(
        primaryjoin=lambda: _all_bills(PriceOfHundred), viewonly=True, lazy="joined"
    )


def _all_bills(price: Any) -> ColumnElement[bool]:
    return foreign(Bill.customer) != price.product


@pytest.fixture
def shop() -> Shop:
    shop = declare(bills=False, recoverability=ONCE)
    shop.finance.tables = TABLES
    shop.system.partitions = 1
    return shop


@pytest.fixture
def flushes() -> Iterator[list[int]]:
    """How many bills were inserted in a row, with no other statement in between."""
    sizes: list[int] = []
    before = [""]

    def count(_connection: object, _cursor: object, statement: str, rows: Any, _context: object, many: bool) -> None:
        if statement.startswith("INSERT INTO bill"):
            inserted = len(rows) if many else 1
            sizes[-1:] = [sizes[-1] + inserted] if statement == before[0] else [*sizes[-1:], inserted]
        before[0] = statement

    event.listen(Engine, "before_cursor_execute", count)
    yield sizes
    event.remove(Engine, "before_cursor_execute", count)


def bill(session: Session, purchase: ItemPurchased) -> Bill:
    added = Bill(purchase=str(purchase.purchase_id), customer=str(purchase.customer_id))
    session.add(added)
    return added


def run(shop: Shop, *names: str) -> StartedSystem:
    """Handle these purchases in this order, of different customers; returns the system, closed."""
    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, customer=name) for name in names))
        opened.settle(failures="park")
        shop.attempted[:] = sorted(bills(opened, shop.finance))
        shop.attempted += [letter.failure.error for letter in letters(opened, shop.finance) if letter.failure]
    return opened


def test_rows_that_no_query_reads_are_written_together(
    shop: Shop, flushes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preterite.handling.batch.BATCH_SECONDS", 60.0)

    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        assert session.scalars(select(Price.pence).where(Price.product == "a")).one() == 100
        assert session.get(Price, "a") is not None
        assert session.scalars(union_all(select(Price.pence), select(Price.pence + 1))).all() == [100, 101]
        bill(session, event)

    run(shop, *"abcdef")

    assert flushes == [6]


def _table_of_somebody_else() -> Table:
    return Table("BILL", MetaData(), Column("purchase", Text))


def changed(session: Session, statement: Executable) -> int:
    """How many rows a statement changed."""
    return cast(CursorResult[Any], session.execute(statement)).rowcount


# whatever a handler does, it sees what was added before it

Look = Callable[[Session], Any]
LOOKS: dict[str, Look] = {
    "a select of the table": lambda session: len(session.scalars(select(Bill)).all()),
    "a count": lambda session: session.scalar(select(func.count()).select_from(Bill)),
    "a join": lambda session: len(session.execute(select(Price, Bill).join(Bill, text("1 = 1"))).all()),
    "a subquery": lambda session: session.scalar(select(func.count()).select_from(select(Bill.purchase).subquery())),
    "a scalar subquery": lambda session: session.scalar(select(select(func.count(Bill.position)).scalar_subquery())),
    "exists": lambda session: len(
        session.scalars(select(Price).where(select(Bill.position).where(Bill.position == 1).exists())).all()
    ),
    "a common table expression": lambda session: session.scalar(
        select(func.count()).select_from(select(Bill.purchase).cte())
    ),
    "plain sql": lambda session: session.execute(text("select count(*) from bill")).scalar(),
    "sql text in an orm query": lambda session: len(
        session.scalars(select(Bill).from_statement(text("select * from bill"))).all()
    ),
    "sql text in a where": lambda session: len(
        session.scalars(select(Price.pence).where(text("exists (select 1 from bill)"))).all()
    ),
    "the core table": lambda session: len(session.execute(select(Bill.__table__)).all()),
    "get": lambda session: int(session.get(Bill, 1) is not None),
    "an update": lambda session: changed(session, update(Bill).values(customer="x")),
    "an insert of a row that refers to it": lambda session: changed(session, insert(Line).values(bill_id=1)),
    "an insert from select": lambda session: changed(
        session, insert(Price).from_select(["product", "pence"], select(Bill.purchase, Bill.position))
    ),
    "a literal column": lambda session: session.execute(
        select(Price.pence, literal_column("(select count(*) from bill)", Integer))
    ).one()[1],
    "another table of the same name": lambda session: len(
        session.scalars(select(Price).where(select(_table_of_somebody_else()).exists())).all()
    ),
    "a union": lambda session: session.scalar(union(select(PriceWithCount), select(PriceWithCount))),
    "a union with another table": lambda session: len(
        session.execute(union_all(select(Price.product).where(Price.pence == 0), select(Bill.purchase))).all()
    ),
    "a union within a subquery": lambda session: session.scalar(
        select(func.count()).select_from(
            union_all(select(Bill.purchase), select(Bill.purchase).where(false())).subquery()
        )
    ),
    "a union of core tables": lambda session: len(
        session.execute(union_all(select(Bill.__table__.c.purchase), select(Line.__table__.c.id))).all()
    ),
    "a union with sql text": lambda session: len(
        session.execute(
            union_all(select(Price.product).where(Price.pence == 0), select(text("purchase")).select_from(text("bill")))
        ).all()
    ),
    "a union with a subquery": lambda session: len(
        session.execute(
            union_all(
                select(Price.product).where(select(Bill.position).exists()),
                select(Price.product).where(Price.pence == 0),
            )
        ).all()
    ),
    "an ordered union": lambda session: len(
        session.execute(
            union_all(select(Price.product).where(Price.pence == 0), select(Bill.purchase)).order_by("product").limit(5)
        ).all()
    ),
    "a table by name": lambda session: len(
        session.scalars(select(Price).where(select(table("bill", column("purchase"))).exists())).all()
    ),
    "query": lambda session: session.query(Bill).count(),
    "a bundle": lambda session: len(session.execute(select(cast(Any, Bundle)("bill", Bill.purchase))).all()),
    "an alias": lambda session: len(session.scalars(select(aliased(Bill))).all()),
    "a lazy relationship": lambda session: len(session.get_one(Price, "a").bills),
    "a joined option": lambda session: len(
        session.scalars(select(Price).options(joinedload(Price.bills))).unique().one().bills
    ),
    "a selectin option": lambda session: len(
        session.scalars(select(Price).options(selectinload(Price.bills))).one().bills
    ),
    "an option of get": lambda session: len(session.get_one(Price, "a", options=[joinedload(Price.bills)]).bills),
    "an option of query": lambda session: len(session.query(Price).options(joinedload(Price.bills)).one().bills),
    "a joined relationship": lambda session: len(session.scalars(select(PriceWithBills)).unique().one().bills),
    "a selectin relationship": lambda session: len(session.scalars(select(PriceWithBillsAtOnce)).one().bills),
    "a property with a subquery": lambda session: session.scalars(select(PriceWithCount)).one().count,
    "a relationship of a subclass": lambda session: len(
        cast(PriceOfHundred, session.scalars(select(AnyPrice)).unique().one()).bills
    ),
}


@pytest.mark.parametrize("how", LOOKS)
def test_a_handler_sees_what_an_earlier_one_added(shop: Shop, how: str) -> None:
    seen: list[int] = []

    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        if event.purchase_id == id_of("b"):
            seen.append(LOOKS[how](session))
        else:
            bill(session, event)

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        opened.settle()

    assert seen == [1]


def test_a_handler_on_a_connection_sees_it_too(shop: Shop) -> None:
    seen: list[int] = []

    @shop.finance.handles(ItemPurchased)
    def add(event: ItemPurchased, session: Session) -> None:
        bill(session, event)

    @shop.finance.handles(ItemPurchased)
    def count(event: ItemPurchased, connection: sqlite3.Connection) -> None:
        seen.append(connection.execute("select count(*) from bill").fetchone()[0])

    run(shop, "a", "b")

    assert seen == [1, 2]


def test_what_is_written_waits_no_longer(shop: Shop, flushes: list[int]) -> None:
    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        if event.purchase_id == id_of("a"):
            session.add(Line())
        else:
            assert len(session.scalars(select(Line)).all()) == 1
            bill(session, event)

    run(shop, "a", "b", "c")

    assert flushes == [2]


def test_changed_rows_are_flushed_before_every_query(shop: Shop) -> None:
    seen: list[int] = []

    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        price = session.get_one(Price, "a")
        price.pence += 1
        seen.append(session.scalars(select(Price.pence)).one())

    run(shop, "a", "b")

    assert seen == [101, 102]


def test_deleted_rows_are_flushed_before_every_query(shop: Shop) -> None:
    seen: list[int] = []

    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        session.delete(session.get_one(Price, "a"))
        seen.append(len(session.scalars(select(Price.pence)).all()))

    run(shop, "a")

    assert seen == [0]


def test_a_view_or_trigger_makes_every_query_flush(shop: Shop, flushes: list[int]) -> None:
    shop.finance.tables = (
        f"{TABLES} create trigger note after insert on bill begin update price set pence = pence + 1; end;"
    )
    seen: list[int] = []

    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        seen.append(session.scalars(select(Price.pence)).one())
        bill(session, event)

    run(shop, "a", "b", "c")

    assert seen == [100, 101, 102]
    assert flushes == [1, 1, 1]


@pytest.mark.parametrize(("listener", "hook"), [(Bill, "after_insert"), (Session, "before_flush")])
def test_a_hook_on_flushing_makes_every_query_flush(shop: Shop, flushes: list[int], listener: Any, hook: str) -> None:
    """What a hook writes is seen too, an audit table's rows for instance; so it must have run."""
    seen: list[int] = []

    def change_the_price(session: Any, connection: Any, *_others: object) -> None:
        written = connection if isinstance(connection, Connection) else session.connection()
        written.execute(update(Price).values(pence=Price.pence + 1))

    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        seen.append(session.scalars(select(Price.pence)).one())
        bill(session, event)

    event.listen(listener, hook, change_the_price)
    try:
        run(shop, "a", "b", "c")
    finally:
        event.remove(listener, hook, change_the_price)

    assert seen == [100, 101, 102]
    assert flushes == [1, 1, 1]


def test_related_rows_are_written_in_their_order(shop: Shop) -> None:
    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        session.scalars(select(Price)).all()
        bill(session, event).lines.append(Line())

    run(shop, "a", "b", "c")

    assert shop.attempted == sorted(texts("a", "b", "c"))


# failures: nobody is blamed for somebody else's rows


@pytest.mark.rule(8)
def test_rows_that_fail_at_the_flush_of_another_handler_are_blamed_on_their_own(shop: Shop) -> None:
    """b's row breaks a rule of the database; that shows while c or d is handled, or at the end."""

    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        if event.purchase_id == id_of("d"):
            session.scalars(select(Bill)).all()
        bill(session, event)
        if event.purchase_id == id_of("b"):
            session.add(Bill(purchase=str(event.purchase_id), customer="twice"))

    run(shop, *"abcde")

    assert shop.attempted == [*sorted(texts("a", "c", "d", "e")), "IntegrityError"]


@pytest.mark.rule(8)
def test_a_handler_is_not_blamed_for_a_row_of_another_that_fails_while_it_looks(shop: Shop) -> None:
    """a's line needs the bill that c adds. In one flush that would do, but b's look writes the line before it."""

    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        if event.purchase_id == id_of("a"):
            session.add(Line(bill_id=99))
            return
        if event.purchase_id == id_of("b"):
            session.scalars(select(Line)).all()
        session.add(Bill(position=99 if event.purchase_id == id_of("c") else 1, purchase=str(event.purchase_id)))

    run(shop, "a", "b", "c")

    assert shop.attempted == [*sorted(texts("b", "c")), "IntegrityError"]


@pytest.mark.rule(8)
def test_a_handler_that_swallows_the_failed_flush_of_another_one_commits_nothing_of_it(shop: Shop) -> None:
    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        if event.purchase_id == id_of("a"):
            bill(session, event)
            session.add(Bill(purchase=str(event.purchase_id), customer="twice"))
            return
        try:
            session.scalars(select(Bill)).all()
        except Exception:
            return
        bill(session, event)

    run(shop, "a", "b", "c")

    assert shop.attempted == [*sorted(texts("b", "c")), "IntegrityError"]


def test_the_engine_of_plain_sessions_is_untouched(shop: Shop, flushes: list[int]) -> None:
    """Outside handlers a session flushes as SQLAlchemy's does."""
    with started(shop.system) as opened, opened.session(shop.finance) as session:
        for name in "ab":
            bill(session, purchased(name))
            session.scalars(select(Price)).all()
        assert isinstance(session.get_bind(), Engine)

    assert flushes == [1, 1]
