"""The second flow: Finance says that a customer did not pay in time, and Sales refuses without asking anyone."""

from __future__ import annotations

import pytest
from retail_shop import ANNA, BEN, buy, invoices, open_shop, until

from preterite.testing import StartedSystem
from retail.finance.actions import pay, pay_everything
from retail.finance.contracts import InvoiceOverdue, OverdueInvoicesPaid
from retail.sales.actions import CustomerBlocked
from retail.sales.reports import purchase_count, refusal_count
from retail.system import finance, sales


def pay_all(shop: StartedSystem) -> None:
    with shop.session(finance) as session:
        pay_everything(session, ANNA, shop.clock.now())
    shop.settle()


def test_a_customer_is_blocked_until_everything_overdue_is_paid() -> None:
    with open_shop() as shop:
        buy(shop, "one")
        until(shop, "2011-04-01")
        until(shop, "2011-04-15")
        buy(shop, "two")
        until(shop, "2011-04-16")
        with pytest.raises(CustomerBlocked):
            buy(shop, "three", "four")
        buy(shop, "five", customer=BEN)
        pay_all(shop)
        buy(shop, "six")

        assert [event.customer_id for event in shop.published(InvoiceOverdue)] == [ANNA]
        assert [event.customer_id for event in shop.published(OverdueInvoicesPaid)] == [ANNA]
        with shop.session(sales) as session:
            assert (purchase_count(session), refusal_count(session)) == (4, 2)


def test_two_invoices_overdue_and_one_paid_leaves_the_customer_blocked() -> None:
    with open_shop() as shop:
        buy(shop, "march")
        until(shop, "2011-04-01")
        buy(shop, "april")
        for day in ("2011-04-16", "2011-05-01", "2011-05-16"):
            until(shop, day)
        first, second = invoices(shop)
        with shop.session(finance) as session:
            pay(session, [first.id], shop.clock.now())
        shop.settle()
        with pytest.raises(CustomerBlocked):
            buy(shop, "still blocked")
        with shop.session(finance) as session:
            pay(session, [second.id], shop.clock.now())
        shop.settle()
        buy(shop, "free again")

        assert len(shop.published(InvoiceOverdue)) == 2
        assert len(shop.published(OverdueInvoicesPaid)) == 1


def test_who_pays_in_time_is_never_blocked_and_nothing_is_said() -> None:
    with open_shop() as shop:
        buy(shop, "one")
        until(shop, "2011-04-01")
        pay_all(shop)
        until(shop, "2011-04-16")
        buy(shop, "two")

        assert shop.published(InvoiceOverdue) == []
        assert shop.published(OverdueInvoicesPaid) == []


def test_an_invoice_goes_overdue_once_and_is_paid_once() -> None:
    with open_shop() as shop:
        buy(shop, "one")
        until(shop, "2011-04-01")
        until(shop, "2011-04-16")
        until(shop, "2011-04-16")
        pay_all(shop)
        pay_all(shop)

        assert len(shop.published(InvoiceOverdue)) == 1
        assert len(shop.published(OverdueInvoicesPaid)) == 1


def test_asking_again_with_the_same_basket_gives_the_same_answer_and_changes_nothing() -> None:
    with open_shop() as shop:
        buy(shop, "one", "two")
        buy(shop, "one", "two")
        until(shop, "2011-04-01")
        until(shop, "2011-04-16")
        for _ in range(2):
            with pytest.raises(CustomerBlocked):
                buy(shop, "refused")
        pay_all(shop)
        with pytest.raises(CustomerBlocked):
            buy(shop, "refused")
        with shop.session(sales) as session:
            assert (purchase_count(session), refusal_count(session)) == (2, 1)
