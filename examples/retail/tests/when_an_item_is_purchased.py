"""The first flow: from `ItemPurchased` alone Finance bills, Shipping ships, Marketing counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from retail_shop import (
    ANNA,
    BEN,
    LANTERN,
    MUG,
    NAMES,
    at,
    buy,
    invoices,
    items,
    make_agreement,
    open_shop,
    take_back,
    until,
)
from sqlalchemy import event, select

import retail
from preterite.codecs import read_xml, write_xml
from preterite.contracts import Checked
from preterite.operations.dead_letters import Operator, dead_letters, redrive
from retail.finance.actions import NewPrice, close_month, keep_prices
from retail.finance.billing import net_pence
from retail.finance.contracts import InvoiceIssued
from retail.finance.model import BillableItem
from retail.marketing.reports import also_bought, popularity
from retail.sales.actions import NotPurchased, TooLate
from retail.sales.contracts import ItemPurchased, PurchaseCancelled
from retail.shipping.contracts import ItemShipped
from retail.shipping.model import Shipment
from retail.shipping.reports import deliveries, shipments_by_country, shipped, to_pack
from retail.system import finance, marketing, sales, shipping


def test_the_purchase_keeps_the_price_of_its_moment() -> None:
    with open_shop() as shop:
        buy(shop, "before")
        with shop.session(finance) as session:
            keep_prices(session, [NewPrice(LANTERN, at("2011-03-02T00:00"), 399)])
        shop.clock.to("2011-03-02T09:00Z")
        buy(shop, "after")

        assert [item.unit_pence for item in items(shop)] == [339, 399]


def test_a_price_entered_later_does_not_change_what_was_billed() -> None:
    with open_shop() as shop:
        buy(shop, "one")
        shop.settle()
        with shop.session(finance) as session:
            keep_prices(session, [NewPrice(LANTERN, at("2011-02-01T00:00"), 1)])

        assert [item.unit_pence for item in items(shop)] == [339]


@pytest.mark.parametrize(
    ("quantity", "agreed", "percent", "rule"),
    [
        (1, None, 0, "list"),
        (47, None, 0, "list"),
        (48, None, 5, "bulk 48"),
        (143, None, 5, "bulk 48"),
        (144, None, 10, "bulk 144"),
        (1, "2011-01-01", 8, "agreement"),
        (48, "2011-01-01", 8, "agreement"),
        (144, "2011-01-01", 10, "bulk 144"),
        (1, "2011-03-01T10:00", 8, "agreement"),
        (1, "2011-03-01T10:01", 0, "list"),
    ],
)
def test_a_line_gets_its_best_discount_and_never_two(
    quantity: int, agreed: str | None, percent: int, rule: str
) -> None:
    with open_shop() as shop:
        if agreed is not None:
            make_agreement(shop, ANNA, 8, agreed)
        buy(shop, "one", quantity=quantity)
        item = items(shop)[0]

    assert (item.percent, item.rule) == (percent, rule)
    assert item.net_pence == net_pence(quantity, 339, percent)


@pytest.mark.parametrize(
    ("quantity", "pence", "percent", "net"),
    [(1, 85, 10, 77), (1, 5, 10, 5), (3, 339, 8, 936), (48, 339, 5, 15458), (1, 1, 0, 1), (10, 5, 5, 48)],
)
def test_half_a_penny_is_rounded_up_per_line(quantity: int, pence: int, percent: int, net: int) -> None:
    """76.5 → 77, 4.5 → 5, 935.64 → 936, 15458.4 → 15458, 1, 47.5 → 48: never to even."""
    assert net_pence(quantity, pence, percent) == net


def test_a_month_is_invoiced_once_per_customer_at_its_end() -> None:
    with open_shop() as shop:
        buy(shop, "one", "two")
        buy(shop, "three", customer=BEN, product=MUG)
        until(shop, "2011-04-01")
        found = [(invoice.customer_id, invoice.month, invoice.pence, invoice.due_at) for invoice in invoices(shop)]

        assert found == [(BEN, "2011-03", 85, at("2011-04-15")), (ANNA, "2011-03", 678, at("2011-04-15"))]
        assert {event.invoice_id for event in shop.published(InvoiceIssued)} == {one.id for one in invoices(shop)}


def test_what_is_purchased_in_another_month_goes_on_an_invoice_of_its_own() -> None:
    with open_shop() as shop:
        buy(shop, "one")
        until(shop, "2011-04-01")
        buy(shop, "two", "three")
        until(shop, "2011-05-01")
        owners = {invoice.id: invoice.month for invoice in invoices(shop)}
        billed = [(item.month, owners[item.invoice_id]) for item in items(shop) if item.invoice_id is not None]

        assert [(invoice.month, invoice.pence) for invoice in invoices(shop)] == [("2011-03", 339), ("2011-04", 678)]
        assert billed == [("2011-03", "2011-03"), ("2011-04", "2011-04"), ("2011-04", "2011-04")]


def test_an_invoice_has_the_sum_of_its_items_though_another_is_billed_while_the_month_is_closed() -> None:
    with open_shop() as shop:
        buy(shop, "one")
        [first] = items(shop)
        with shop.session(finance) as session:

            def bill_another(_connection: Any, cursor: Any, statement: str, *_rest: object) -> None:
                if statement.startswith("UPDATE billable_item") and len(billed) == 0:
                    billed.append(uuid5(NAMES, "meanwhile"))
                    cursor.execute("CREATE TEMP TABLE another AS SELECT * FROM billable_item")
                    cursor.execute("UPDATE another SET purchase_id = ?", [billed[0].hex])
                    cursor.execute("INSERT INTO billable_item SELECT * FROM another")

            billed: list[UUID] = []
            event.listen(session.get_bind(), "before_cursor_execute", bill_another)
            close_month(session, at("2011-04-01"))

        [invoice] = invoices(shop)
        on_it = [item for item in items(shop) if item.invoice_id == invoice.id]
        assert invoice.pence == sum(item.net_pence for item in on_it) == 2 * first.net_pence


def test_closing_a_month_twice_changes_nothing() -> None:
    with open_shop() as shop:
        buy(shop, "one")
        until(shop, "2011-04-01")
        with shop.session(finance) as session:
            again = close_month(session, shop.clock.now())

        assert again == 0
        assert len(invoices(shop)) == 1


def test_a_purchase_that_arrives_after_its_month_was_closed_goes_on_the_next_invoice() -> None:
    """With its own price, discount and month."""
    with open_shop() as shop:
        until(shop, "2011-03-31T20:00Z")
        with shop.session(finance) as session:
            keep_prices(session, [NewPrice(LANTERN, at("2011-04-01"), 999)])
        next_due = shop.next_due
        shop.clock.settle_with(lambda: None, lambda: None)
        buy(shop, "late")
        shop.clock.to("2011-04-01")
        shop.settle()
        closed = [invoice.month for invoice in invoices(shop)]
        shop.clock.settle_with(next_due, shop.settle)
        until(shop, "2011-05-01")
        item = items(shop)[0]

        assert closed == []
        assert (item.month, item.unit_pence) == ("2011-03", 339)
        assert [(invoice.month, invoice.pence) for invoice in invoices(shop)] == [("2011-04", 339)]


def test_a_product_without_a_price_waits_for_an_operator_and_holds_up_only_its_customer() -> None:
    with open_shop() as shop:
        buy(shop, "unknown", product=UUID(int=5))
        buy(shop, "behind")
        buy(shop, "other", customer=BEN)
        shop.settle(failures="park")
        shop.clock.to("2011-03-08")
        with shop.session(finance) as session:
            billed = list(session.scalars(select(BillableItem.customer_id)))
        store = shop.databases["finance"].store
        with shop.connection(finance) as connection:
            dead_letter = dead_letters(store, connection, 10)[0]
            with shop.session(finance) as session:
                keep_prices(session, [NewPrice(UUID(int=5), at("2011-01-01"), 7)])
            redrive(store, connection, [dead_letter.id], Operator("ben", "price added", 0.0))
        shop.settle()

        assert billed == [BEN]
        assert dead_letter.failure is not None
        assert dead_letter.failure.error == "UnknownPrice"
        assert dead_letter.failure.place.startswith("billing.py:")
        assert sorted(item.unit_pence for item in items(shop)) == [7, 339, 339]


def test_every_purchase_is_packed_in_the_evening_for_its_customers_country_and_said_so() -> None:
    with open_shop() as shop:
        buy(shop, "one")
        buy(shop, "two", customer=BEN)
        until(shop, "2011-03-01T21:59:59Z")
        before = shop.published(ItemShipped)
        until(shop, "2011-03-01T22:00Z")
        with shop.session(shipping) as session:
            sent = {shipment.customer_id: shipment.country for shipment in session.scalars(select(Shipment))}

        assert before == []
        assert {event.shipped_at for event in shop.published(ItemShipped)} == {at("2011-03-01T22:00")}
        assert sent == {ANNA: "United Kingdom", BEN: "France"}
        assert {event.purchase_id for event in shop.published(ItemShipped)} == {
            event.purchase_id for event in shop.published(ItemPurchased)
        }


def test_what_is_to_be_packed_is_not_sent_yet_and_what_was_sent_is_not_to_be_packed() -> None:
    with open_shop() as shop:
        buy(shop, "today")
        until(shop, "2011-03-02T10:00Z")
        buy(shop, "tomorrow", customer=BEN)
        shop.settle()
        with shop.session(shipping) as session:
            waiting = [(one.purchase_id, one.country) for one in to_pack(session, 10)]
            sent = [(one.purchase_id, one.shipped_at) for one in shipped(session, 10)]
            by_country = shipments_by_country(session)
            found = deliveries(session, [uuid5(NAMES, "today"), uuid5(NAMES, "tomorrow")])

        assert waiting == [(uuid5(NAMES, "tomorrow"), "France")]
        assert sent == [(uuid5(NAMES, "today"), at("2011-03-01T22:00"))]
        assert by_country == {"United Kingdom": 1}
        assert found == {
            uuid5(NAMES, "today"): (at("2011-03-01T22:00"), True),
            uuid5(NAMES, "tomorrow"): (at("2011-03-02T22:00"), False),
        }


def test_a_purchase_that_is_cancelled_before_it_is_packed_is_neither_billed_nor_shipped_nor_popular() -> None:
    with open_shop() as shop:
        buy(shop, "one", "two")
        buy(shop, "three", product=MUG)
        until(shop, "2011-03-01T21:00Z")
        take_back(shop, "one")
        take_back(shop, "three")
        take_back(shop, "three")
        until(shop, "2011-04-01")
        with shop.session(marketing) as session:
            popular, together = popularity(session), also_bought(session, LANTERN)

        assert [event.purchase_id for event in shop.published(ItemShipped)] == [uuid5(NAMES, "two")]
        assert [invoice.pence for invoice in invoices(shop)] == [339]
        assert (popular, together) == ({LANTERN: 1}, {})
        assert len(shop.published(PurchaseCancelled)) == 2


def test_what_is_packed_cannot_be_cancelled_nor_what_was_never_purchased() -> None:
    with open_shop() as shop:
        buy(shop, "one")
        until(shop, "2011-03-01T22:00Z")
        with pytest.raises(TooLate, match="was packed already"):
            take_back(shop, "one")
        with pytest.raises(NotPurchased):
            take_back(shop, "nothing")

        assert shop.published(PurchaseCancelled) == []


def test_a_cancellation_consumed_after_the_packing_waits_for_an_operator() -> None:
    """Sales does not ask Shipping, so this can happen: the goods are sent, and are not billed. It is not skipped."""
    with open_shop() as shop:
        buy(shop, "one")
        until(shop, "2011-03-01T21:59Z")
        shop.clock.settle_with(lambda: None, lambda: None)
        take_back(shop, "one")
        shop.clock.to("2011-03-01T22:00Z")
        shop.settle(failures="park")
        with shop.connection(shipping) as connection:
            parked = shop.databases["shipping"].store.list_parked(connection, ["parked"], 10)

        assert len(shop.published(ItemShipped)) == 1
        assert [row.failure.error for row in parked if row.failure] == ["SagaMissing"]


def test_a_purchase_on_an_invoice_is_not_struck_off_it() -> None:
    with open_shop() as shop:
        buy(shop, "one")
        until(shop, "2011-03-01T21:00Z")
        with shop.session(finance) as session:
            close_month(session, at("2011-04-01"))
        take_back(shop, "one")
        shop.settle(failures="park")
        with shop.connection(finance) as connection:
            parked = shop.databases["finance"].store.list_parked(connection, ["parked"], 10)

        assert [row.failure.error for row in parked if row.failure] == ["AlreadyInvoiced"]


def test_purchases_are_popular_and_customers_bought_both() -> None:
    with open_shop() as shop:
        buy(shop, "one", "two")
        buy(shop, "three", product=MUG)
        shop.settle()
        buy(shop, "four", customer=BEN, product=MUG)
        buy(shop, "five", customer=BEN)
        buy(shop, "six", customer=BEN)
        shop.settle()
        with shop.session(marketing) as session:
            assert popularity(session) == {LANTERN: 4, MUG: 2}
            assert also_bought(session, LANTERN) == {MUG: 2}
            assert also_bought(session, MUG) == {LANTERN: 2}


MESSAGE = """<?xml version="1.0"?>
<messages>
    <itempurchased>
        <productidentifier>57cbe59c-6881-4e5d-84a5-3264e2252ac2</productidentifier>
        <customeridentifier>2ed3cd8e-b7c2-4557-9442-4f58939c201b</customeridentifier>
        <purchasedate>2013-01-17T13:37:00</purchasedate>
    </itempurchased>
</messages>
"""


def test_the_message_of_the_field_is_an_item_purchased_of_one_item() -> None:
    key = UUID(int=1)
    read = read_xml(MESSAGE.encode(), {"sales.ItemPurchased": ItemPurchased}, lambda: key)[0]

    assert isinstance(read, ItemPurchased)
    assert (read.quantity, read.purchase_id, read.purchased_at) == (1, key, at("2013-01-17T13:37"))
    assert (
        write_xml([read]).decode().replace(f"        <purchaseidentifier>{key}</purchaseidentifier>\n", "") == MESSAGE
    )
    assert b'"productIdentifier"' in Checked(ItemPurchased).encode(read)


def test_no_event_carries_a_price_a_name_a_category_an_address_or_an_amount() -> None:
    events = [event_type for component in (sales, finance, shipping) for event_type in component.publishes]
    fields = {field for event_type in events for field in event_type.__struct_fields__}

    assert fields == {
        "product_id",
        "customer_id",
        "purchased_at",
        "purchase_id",
        "quantity",
        "invoice_id",
        "issued_at",
        "overdue_at",
        "paid_at",
        "shipped_at",
        "cancelled_at",
    }


def test_the_folders_of_all_components_hold_the_same_files() -> None:
    package = Path(retail.__file__).parent
    same = {"__init__.py", "actions.py", "component.py", "contracts.py", "handlers.py", "model.py", "reports.py"}

    for name in ("catalog", "marketing", "sales", "finance", "shipping"):
        assert same <= {path.name for path in (package / name).glob("*.py")}
