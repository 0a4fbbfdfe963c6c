"""What ran: statements, connections and events, with the component that ran them."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from preterite import Component, Event, System
from preterite.checks.findings import Finding
from preterite.checks.recording import Recorder, recording
from preterite.checks.recording.attribution import running
from preterite.testing import started

AT = datetime(2013, 1, 17, 13, 37, tzinfo=UTC)


class ItemPurchased(Event, key="customer_id"):
    purchase_id: UUID
    customer_id: UUID
    purchased_at: datetime
    order_id: str = ""


def found(folder: Path, handle: Callable[[object, Path], None], count: int = 1, **recorded: object) -> list[Finding]:
    """What is recorded while Finance handles purchases in this way."""
    sales = Component("sales", publishes=[ItemPurchased], tables="create table purchase (id text)")
    finance = Component("finance", tables="create table bill (id text)")

    @finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, session: Session) -> None:
        handle(session, folder / "sales.sqlite")

    system = System("shop", [sales, finance])
    urls = {name: f"sqlite:///{folder}/{name}.sqlite" for name in ("sales", "finance")}
    with recording(system, urls, **recorded) as recorder:  # pyright: ignore[reportArgumentType]
        with started(system, databases=urls) as shop:
            with shop.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
                for number in range(count):
                    event = ItemPurchased(
                        purchase_id=uuid4(), customer_id=uuid4(), purchased_at=AT, order_id=f"2024-{number:04}"
                    )
                    unit_of_work.publish(event)
            shop.settle()
    return recorder.findings()


def keys(findings: list[Finding]) -> list[str]:
    return sorted(one.key for one in findings)


def test_a_handler_that_accesses_its_own_tables_has_no_findings(tmp_path: Path) -> None:
    def handle(session: Session, _: Path) -> None:
        session.execute(text("insert into bill values ('a')"))
        session.execute(text("with purchase as (select id from bill) select * from purchase"))

    assert found(tmp_path, handle) == []  # pyright: ignore[reportArgumentType]


def test_another_components_database_is_detected_by_statement_and_by_connection(tmp_path: Path) -> None:
    def handle(_: object, sales: Path) -> None:
        with closing(sqlite3.connect(sales)) as connection:
            connection.execute("select count(*) from " + "purchase").fetchone()

    assert keys(found(tmp_path, handle)) == [
        "cross-component-sql-at-runtime:finance:sales.purchase:read",
        "waits-while-handling:finance:sales:bill",
    ]


def test_a_statement_that_is_built_at_run_time_is_detected(tmp_path: Path) -> None:
    def handle(session: Session, sales: Path) -> None:
        session.connection().exec_driver_sql(f"attach '{sales}' as theirs")
        session.execute(text("".join(["delete ", "from ", "purchase"])))

    findings = found(tmp_path, handle)  # pyright: ignore[reportArgumentType]

    assert keys(findings) == [
        "cross-component-sql-at-runtime:finance:sales.database:attach",
        "cross-component-sql-at-runtime:finance:sales.purchase:write",
    ]


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[:2]


def test_a_handler_that_connects_to_a_server_is_found(tmp_path: Path, server: tuple[str, int]) -> None:
    def call(_session: object, _path: Path) -> None:
        socket.create_connection(server).close()

    assert keys(found(tmp_path, call)) == [f"waits-while-handling:finance:{server[0]}:{server[1]}:bill"]


def test_a_handler_may_connect_to_an_allowed_server(tmp_path: Path, server: tuple[str, int]) -> None:
    def call(_session: object, _path: Path) -> None:
        socket.create_connection(server).close()

    assert found(tmp_path, call, allowed=[f"{server[0]}:{server[1]}"]) == []


def test_connections_outside_handlers_are_not_findings(tmp_path: Path, server: tuple[str, int]) -> None:
    sales = Component("sales", publishes=[ItemPurchased])
    with recording(System("shop", [sales])) as recorder:
        socket.create_connection(server).close()

    assert recorder.findings() == []


def test_published_identifiers_that_carry_meaning_are_found(tmp_path: Path) -> None:
    found_ones = found(tmp_path, lambda _session, _path: None, count=6)

    assert keys(found_ones) == ["identifier-has-meaning:sales:ItemPurchased.order_id:observed"]


def test_nothing_is_recorded_after_the_recording_has_ended(tmp_path: Path) -> None:
    finance = Component("finance")
    with recording(System("shop", [finance])) as recorder:
        pass
    before = recorder.statements
    with closing(sqlite3.connect(tmp_path / "x.sqlite")) as connection:
        connection.execute("select 1")

    assert recorder.statements == before


def test_a_statement_is_read_in_the_dialect_of_the_database_that_runs_it() -> None:
    """Components whose URLs are not set count as those on SQLite; the application may run on PostgreSQL."""
    sales = Component("sales", tables='create table "Purchase" (id int, parts text)')
    finance = Component("finance", tables="create table bill (id int)")
    recorder = Recorder(System("shop", [sales, finance]), {})
    statement = """update "Purchase" set parts = %s::integer[] where id = any(%s) returning xmin::text::bigint"""

    with running("finance", "bill"):
        recorder.ran(statement, None, "postgres")
        recorder.ran("insert or replace into purchase values (?1, `a`)", None, "sqlite")
    recorder.ran(statement, None, "postgres")

    assert recorder.counts() == (2, 0, 1, 0)
    assert {one.key for one in recorder.findings()} == {
        "cross-component-sql-at-runtime:finance:sales.Purchase:write",
        "cross-component-sql-at-runtime:finance:sales.purchase:write",
        "statement-of-no-component:sales:statements:ran",
    }
