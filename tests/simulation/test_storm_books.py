"""The books of a storm of restores say no to each thing that must not be, and yes to what a restore takes back."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from support import storm_books, storm_restores, storm_shop
from support.storm_books import Books, Ledger

SHOP = storm_shop.declare("sqlite")
CUSTOMER = UUID(int=1)
AGAIN = (
    "insert into log_record (stream, number, kind, epoch, event_id, appended_at, body) "
    "select stream, number + 100, kind, epoch, event_id, appended_at, body from log_record where number = 1 "
    "and stream = (select r.stream from log_record r join log_stream s on s.id = r.stream "
    "where s.publisher = 'finance' limit 1) limit 1"
)


def books(folder: Path, damage: str = "", to: str = "finance", *, is_restored: bool = False) -> Books:
    """What they say of three purchases, once this was done to the database of a component, or to the log."""
    with storm_restores.files(folder) as urls:
        databases = {name: url for name, url in urls.items() if name != "log"}
        ledger = Ledger(SHOP, urls["sales"])
        with SHOP.system.open(databases=databases, log=urls["log"], create_tables=True) as opened:
            for _ in range(3):
                with closing(SHOP.connect(urls["sales"])) as connection, ledger.entered():
                    ledger.purchase(connection, CUSTOMER)
            opened.settle()
        with closing(SHOP.connect(urls[to])) as connection:
            if is_restored:
                with ledger.closed():
                    connection.execute(damage)
                    connection.commit()
            elif damage:
                connection.execute(damage)
                connection.commit()
        return storm_books.read(SHOP, urls, ledger)


def test_books_in_which_all_is_well_say_so(tmp_path: Path) -> None:
    found = books(tmp_path)

    assert (found.purchases, found.wrong, found.examples) == (3, 0, [])


def test_what_a_restore_of_sales_took_back_is_not_lost(tmp_path: Path) -> None:
    found = books(tmp_path, "delete from purchase where place = 3", "sales", is_restored=True)

    assert (found.taken_back, found.published_and_taken_back, found.wrong) == (1, 1, 0)


@pytest.mark.parametrize(
    ("kind", "to", "damage"),
    [
        ("lost", "sales", "delete from purchase where place = 3"),
        ("lost", "shipping", "delete from shipment where place = 2"),
        ("lost", "finance", "delete from bill where place = 2"),
        ("lost", "log", "delete from log_record where number = 2"),
        ("doubled", "finance", "insert into bill (purchase, customer, place) select purchase, customer, 9 from bill"),
        ("published_twice", "log", AGAIN),
        ("out_of_order", "shipping", "update shipment set place = 9 where position = 1"),
        ("not_purchased", "finance", "insert into bill (purchase, customer, place) values ('x', 'y', 1)"),
    ],
)
def test_what_must_not_be_is_counted(tmp_path: Path, kind: str, to: str, damage: str) -> None:
    found = books(tmp_path, damage, to)

    assert getattr(found, kind) > 0
    assert any(one.startswith(f"{kind}: ") for one in found.examples)
