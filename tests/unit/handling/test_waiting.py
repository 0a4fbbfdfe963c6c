"""Rows with type decorators: they wait where only a value is changed, and are written as a flush writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Column, DateTime, Dialect, Engine, Integer, MetaData, Numeric, Table, Text, event, func
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.orm import Session, registry
from sqlalchemy.types import TypeDecorator, TypeEngine
from support.shop import AT, ItemPurchased, Shop, declare, id_of, letters, publish, purchased

from preterite import Recoverability
from preterite.testing import started

ONCE = Recoverability(immediate_retries=0, delayed_retries=0)


class Upper(TypeDecorator[str]):
    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.upper()


class Named(TypeDecorator[str]):
    """Nothing has a name, too."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str:
        return "nothing" if value is None else f"{value} on {dialect.name}"


class AsJson(TypeDecorator[Any]):
    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return json.dumps(value)


class Instant(TypeDecorator[datetime]):
    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)


class Pence(TypeDecorator[Decimal]):
    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value * 100)


class OnlyRead(TypeDecorator[str]):
    impl = Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return value


class OfDatabase(TypeDecorator[str]):
    impl = Text
    cache_ok = True

    def bind_expression(self, bindparam: Any) -> Any:
        return func.upper(bindparam)


class OwnProcessor(TypeDecorator[str]):
    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        def process(value: Any) -> str:
            return f"<{value}>"

        return process


class PerDatabase(TypeDecorator[str]):
    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Numeric() if dialect.name == "oracle" else Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value[::-1]


class WritesNone(TypeDecorator[str]):
    impl = Text
    cache_ok = True
    should_evaluate_none = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value


class Case(NamedTuple):
    kind: TypeDecorator[Any]
    given: Any
    waits: bool = True


CASES = {
    "a text that is changed": Case(Upper(), "abc"),
    "nothing, where nothing stays nothing": Case(Upper(), None),
    "nothing, where it is written as something": Case(Named(), None),
    "what depends on the database": Case(Named(), "x"),
    "a list as JSON": Case(AsJson(), [1, {"a": None}]),
    "an instant": Case(Instant(), AT),
    "an amount as a whole number": Case(Pence(), Decimal("1.25")),
    "one that changes only what is read": Case(OnlyRead(), "abc"),
    "an expression of the database": Case(OfDatabase(), "abc", waits=False),
    "a processor of its own": Case(OwnProcessor(), "abc", waits=False),
    "a type for each database": Case(PerDatabase(), "abc", waits=False),
    "one that writes None": Case(WritesNone(), None, waits=False),
}


@pytest.fixture
def inserts() -> Iterator[list[int]]:
    """Of each INSERT, how many rows it wrote."""
    sizes: list[int] = []

    def count(
        _connection: object, _cursor: DBAPICursor, statement: str, rows: Any, _context: object, many: bool
    ) -> None:
        if statement.startswith("INSERT INTO note"):
            sizes.append(len(rows) if many else 1)

    event.listen(Engine, "before_cursor_execute", count)
    yield sizes
    event.remove(Engine, "before_cursor_execute", count)


def noted(kind: TypeDecorator[Any]) -> tuple[Shop, Any]:
    """A shop with a table whose column has this type, and the class that is mapped to it."""
    shop = declare(bills=False, recoverability=ONCE)
    shop.finance.tables = "create table note (id integer primary key, what)"
    shop.system.partitions = 1
    note = type("Note", (), {})
    columns = Column("id", Integer, primary_key=True), Column("what", kind)
    registry().map_imperatively(note, Table("note", MetaData(), *columns))
    return shop, note


def written(kind: TypeDecorator[Any], given: Any, *, flushed: bool) -> list[Any]:
    """What stands in the table after three purchases, whose handler flushes or not."""
    shop, note = noted(kind)

    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        added = note()
        added.what = given
        session.add(added)
        if flushed:
            session.flush()

    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, customer=name) for name in "abc"))
        opened.settle()
        with opened.connection(shop.finance) as connection:
            return connection.execute("select id, what, typeof(what) from note order by id").fetchall()


@pytest.mark.parametrize("what", CASES)
def test_a_decorated_value_is_written_as_a_flush_writes_it(
    what: str, inserts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preterite.handling.batch.BATCH_SECONDS", 60.0)
    case = CASES[what]

    found = written(case.kind, case.given, flushed=False)
    together = list(inserts)

    assert found == written(case.kind, case.given, flushed=True)
    assert together == ([3] if case.waits else [1, 1, 1])


def test_a_decorator_is_called_once_for_a_row_and_when_its_handler_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that changes afterwards is written as it was."""
    monkeypatch.setattr("preterite.handling.batch.BATCH_SECONDS", 60.0)
    calls: list[str] = []

    class Counted(TypeDecorator[str]):
        impl = Text
        cache_ok = True

        def process_bind_param(self, value: str | None, dialect: Dialect) -> str:
            calls.append("written")
            return f"{len(calls)}"

    shop, note = noted(Counted())

    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        calls.append("handled")
        session.add(note())

    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, customer=name) for name in "abc"))
        opened.settle()
        with opened.connection(shop.finance) as connection:
            rows = connection.execute("select what from note order by id").fetchall()

    assert calls == ["handled", "written"] * 3
    assert rows == [("2",), ("4",), ("6",)]


def test_a_decorator_that_raises_fails_the_event_whose_value_it_is_given() -> None:
    class Careful(TypeDecorator[str]):
        impl = Text
        cache_ok = True

        def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
            if value == str(id_of("b")):
                raise ValueError(f"{value} is not allowed")
            return value

    shop, note = noted(Careful())

    @shop.finance.handles(ItemPurchased)
    def handle(event: ItemPurchased, session: Session) -> None:
        added = note()
        added.what = str(event.purchase_id)
        session.add(added)

    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, customer=name) for name in "abc"))
        opened.settle(failures="park")
        with opened.connection(shop.finance) as connection:
            rows = connection.execute("select what from note order by id").fetchall()
        (letter,) = letters(opened, shop.finance)

    assert rows == [(str(id_of("a")),), (str(id_of("c")),)]
    assert letter.failure is not None
    assert "is not allowed" in letter.failure.text
