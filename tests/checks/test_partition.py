"""Whose module and whose table something is."""

from __future__ import annotations

import sqlite3
from uuid import UUID

from sqlalchemy import Column, Integer, MetaData, Table

from preterite import Component, Event, System
from preterite.checks.code import Code, check_code, read_code
from preterite.checks.data import check_data, where
from preterite.checks.partition import Partition, homes_of
from preterite.checks.sql import Name


class Sold(Event, key="purchase_id"):
    purchase_id: UUID


def declared(name: str, module: str, tables: object = None) -> Component:
    """A component as if a module had declared it."""
    component = Component(name, tables=tables)
    component.module = module
    return component


def test_a_component_is_at_home_in_the_package_of_the_module_that_declares_it() -> None:
    homes = homes_of([declared("sales", "shop.sales.component"), declared("finance", "shop.finance.component")])

    assert homes == {"sales": "shop.sales", "finance": "shop.finance"}


def test_where_packages_are_shared_the_module_is_its_home() -> None:
    assert homes_of([declared("sales", "shop.sales"), declared("finance", "shop.finance")]) == {
        "sales": "shop.sales",
        "finance": "shop.finance",
    }


def test_where_even_the_module_is_shared_nobody_can_tell() -> None:
    assert homes_of([declared("sales", "shop"), declared("finance", "shop")]) == {"sales": None, "finance": None}


def test_a_table_is_first_ones_own_then_whoever_has_declared_it() -> None:
    sales = declared("sales", "a", "create table note (id int); create table purchase (id int)")
    finance = declared("finance", "b", "create table note (id int); create table finance.bill (id int)")
    partition = Partition(System("shop", [sales, finance]), {})
    ours, theirs = partition.territory("sales"), partition.territory("finance")

    assert partition.owner(Name("note"), ours) is ours
    assert partition.owner(Name("note"), theirs) is theirs
    assert partition.owner(Name("purchase"), theirs) is ours
    assert partition.owner(Name("purchase", "sales"), theirs) is ours, "a schema named as the component is its own"
    assert partition.owner(Name("bill"), ours, path=("finance",)) is theirs
    assert partition.owner(Name("note"), ours, path=("finance",)) is theirs, "the search path comes first"
    assert partition.owner(Name("moon"), ours) is None


def test_two_components_with_the_same_metadata_own_every_table_twice() -> None:
    metadata = MetaData()
    Table("purchase", metadata, Column("id", Integer, primary_key=True))
    partition = Partition(System("shop", [declared("sales", "a", metadata), declared("finance", "b", metadata)]), {})

    assert [one.key for one in check_data(partition, Code({}, None))] == ["table-owned-twice:finance:metadata:sales"]


def test_a_server_is_the_same_however_it_is_called() -> None:
    assert where("postgresql://a:b@localhost/shop") == where("postgresql+psycopg://c@127.0.0.1:5432/shop")
    assert where("postgresql://a@localhost/shop") != where("postgresql://a@localhost/other")
    assert where("sqlite:///a.sqlite") != where("sqlite:///b.sqlite")


def test_of_components_that_one_module_declares_the_handlers_are_looked_at_and_the_rest_is_said() -> None:
    sales = Component("sales", publishes=[Sold], tables="create table purchase (id int)")
    finance = Component("finance", tables="create table bill (id int)")

    @finance.handles(Sold)
    def bill(event: Sold, connection: sqlite3.Connection) -> None:
        connection.execute("insert into bill select id from purchase")

    partition = Partition(System("shop", [sales, finance]), {})
    code = read_code(partition)

    assert [one.key for one in check_data(partition, code)] == ["touches-foreign-table:finance:sales.purchase:read"]
    assert [one.rule for one in check_code(partition, code)] == ["code-untold"]
