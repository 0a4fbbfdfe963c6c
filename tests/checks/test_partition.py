"""Which component owns a module or a table."""

from __future__ import annotations

import sqlite3
from uuid import UUID

from sqlalchemy import Column, Integer, MetaData, Table

from preterite import Component, Event, System
from preterite.checks.code.codebase import read_codebase
from preterite.checks.code.imports import check_imports
from preterite.checks.findings import NOWHERE
from preterite.checks.partition import Partition, packages_of
from preterite.checks.sql.access import access_violations, check_table_access
from preterite.checks.sql.databases import check_databases, database_of
from preterite.checks.sql.statements import table_access
from preterite.checks.sql.tables import TableName


class Sold(Event, key="purchase_id"):
    purchase_id: UUID


def declared(name: str, module: str, tables: object = None) -> Component:
    """A component as if a module had declared it."""
    component = Component(name, tables=tables)
    component.module = module
    return component


def test_a_component_owns_the_package_of_the_module_that_declares_it() -> None:
    packages = packages_of([declared("sales", "shop.sales.component"), declared("finance", "shop.finance.component")])

    assert packages == {"sales": "shop.sales", "finance": "shop.finance"}


def test_a_component_in_a_shared_package_owns_its_module() -> None:
    assert packages_of([declared("sales", "shop.sales"), declared("finance", "shop.finance")]) == {
        "sales": "shop.sales",
        "finance": "shop.finance",
    }


def test_a_component_in_a_shared_module_owns_no_module() -> None:
    assert packages_of([declared("sales", "shop"), declared("finance", "shop")]) == {"sales": None, "finance": None}


def test_a_table_name_is_resolved_to_the_components_own_table_first_then_to_another() -> None:
    sales = declared("sales", "a", "create table note (id int); create table purchase (id int)")
    finance = declared("finance", "b", "create table note (id int); create table finance.bill (id int)")
    partition = Partition(System("shop", [sales, finance]), {})
    sales_owns, finance_owns = partition.ownership("sales"), partition.ownership("finance")

    assert partition.owner(TableName("note"), sales_owns) is sales_owns
    assert partition.owner(TableName("note"), finance_owns) is finance_owns
    assert partition.owner(TableName("purchase"), finance_owns) is sales_owns
    assert partition.owner(TableName("purchase", "sales"), finance_owns) is sales_owns, (
        "a schema with the name of the component is its own"
    )
    assert partition.owner(TableName("bill"), sales_owns, path=("finance",)) is finance_owns
    assert partition.owner(TableName("note"), sales_owns, path=("finance",)) is finance_owns, (
        "the search path comes first"
    )
    assert partition.owner(TableName("moon"), sales_owns) is None


def test_a_sequence_that_was_made_for_a_column_belongs_to_its_table() -> None:
    sales = declared("sales", "a", "create table bill_line (id serial); create table purchase (a_b int)")
    finance = declared("finance", "b", "create table bill (id serial); create table note_seq (id int)")
    partition = Partition(System("shop", [sales, finance]), {})
    sales_owns, finance_owns = partition.ownership("sales"), partition.ownership("finance")

    assert partition.owner(TableName("bill_id_seq"), sales_owns) is finance_owns
    assert partition.owner(TableName("bill_line_id_seq"), finance_owns) is sales_owns
    assert partition.owner(TableName("purchase_a_b_seq", "sales"), finance_owns) is sales_owns
    assert partition.owner(TableName("note_seq"), sales_owns) is finance_owns
    assert partition.owner(TableName("other_id_seq"), sales_owns) is None


def test_two_components_with_the_same_metadata_own_every_table_twice() -> None:
    metadata = MetaData()
    Table("purchase", metadata, Column("id", Integer, primary_key=True))
    partition = Partition(System("shop", [declared("sales", "a", metadata), declared("finance", "b", metadata)]), {})

    assert [one.key for one in check_databases(partition)] == ["table-owned-twice:finance:metadata:sales"]


def test_urls_of_the_same_database_are_equal() -> None:
    assert database_of("postgresql://a:b@localhost/shop") == database_of("postgresql+psycopg://c@127.0.0.1:5432/shop")
    assert database_of("postgresql://a@localhost/shop") != database_of("postgresql://a@localhost/other")
    assert database_of("sqlite:///a.sqlite") != database_of("sqlite:///b.sqlite")


def test_of_components_in_a_shared_module_the_handlers_are_checked_and_the_rest_is_reported() -> None:
    sales = Component("sales", publishes=[Sold], tables="create table purchase (id int)")
    finance = Component("finance", tables="create table bill (id int)")

    @finance.handles(Sold)
    def bill(event: Sold, connection: sqlite3.Connection) -> None:
        connection.execute("insert into bill select id from purchase")

    partition = Partition(System("shop", [sales, finance]), {})
    codebase = read_codebase(partition)

    assert [one.key for one in check_table_access(partition, codebase)] == [
        "cross-component-sql:finance:sales.purchase:read"
    ]
    assert [one.rule for one in check_imports(partition, codebase)] == ["module-shared"]


def test_a_file_or_role_of_another_component_is_not_attached_or_assumed() -> None:
    sales, finance = (declared(name, name, f"create table {name}_row (id int)") for name in ("sales", "finance"))
    files = Partition(
        System("shop", [sales, finance]), {one: f"sqlite:///{one}.sqlite" for one in ("sales", "finance")}
    )
    roles = Partition(
        System("shop", [sales, finance]),
        {one: f"postgresql://{one}_app@localhost/{one}" for one in ("sales", "finance")},
    )

    def keys(partition: Partition, text: str) -> list[str]:
        by = partition.ownership("sales")
        access = table_access(text, by.dialect)
        return [one.key for one in access_violations(partition, by, access, "cross-component-sql", NOWHERE)]

    assert keys(files, "attach 'finance.sqlite' as f") == ["cross-component-sql:sales:finance.database:attach"]
    assert keys(files, "attach 'sales.sqlite' as s; attach 'cache.sqlite' as c") == []
    assert keys(files, "select * from f.finance_row") == ["cross-component-sql:sales:finance.finance_row:read"]
    assert keys(roles, "set role finance_app") == ["cross-component-sql:sales:finance.finance_app:set role"]
    assert keys(roles, "set role sales_app; set role none") == []
    assert keys(roles, "select * from public.finance_row") == ["cross-component-sql:sales:finance.finance_row:read"]


def test_a_function_or_trigger_that_writes_to_preterites_own_tables_is_found_and_a_view_that_reads_is_not() -> None:
    text = """
    create table bill (id int);
    create function purge() returns void language sql as $$ delete from preterite.outbox $$;
    create function later() returns trigger language plpgsql as $$ begin delete from preterite.outbox; end $$;
    create view waiting as select count(*) from preterite.outbox;
    """
    finance = Component("finance", tables=text)
    partition = Partition(System("shop", [finance]), {"finance": "postgresql://finance_app@localhost/finance"})
    found = list(check_table_access(partition, read_codebase(partition)))

    assert [one.object for one in found if one.rule == "cross-component-trigger"] == ["purge→preterite.outbox"]
    assert any("in a language other than SQL is not analysed" in one.message for one in found)
    assert not any("waiting" in one.object for one in found)
