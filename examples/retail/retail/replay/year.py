"""The replay: enters the lists, acts as customers who purchase, cancel and pay, and stops where a component acts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from preterite import OpenSystem
from preterite.demo_clock import SharedClock
from retail.catalog.actions import list_products
from retail.finance.actions import NewPrice, agree, keep_prices, pay
from retail.finance.reports import open_invoices
from retail.replay.calendar import Cancellation, Moment, moments
from retail.replay.lines import Line, baskets, countries, price_list, product_names, reason_against
from retail.replay.names import customer_id, line_id, product_id
from retail.replay.notebook import Notebook, Progress
from retail.sales.actions import CustomerBlocked, NotPurchased, Wanted, cancel, purchase
from retail.shipping.actions import keep_addresses
from retail.system import catalog, finance, sales, shipping

AGREEMENT_PERCENT = 8
AGREEMENT_FROM = datetime(2011, 4, 1, tzinfo=UTC)
LATE_BY = timedelta(days=40)
SAVE_LINES = 200


def enter_lists(shop: OpenSystem, lines: Sequence[Line]) -> None:
    """Enter names into Catalog, prices and agreements into Finance, countries into Shipping."""
    names = {product_id(code): name for code, name in product_names(lines).items()}
    prices = [NewPrice(product_id(code), at, pence) for code, at, pence in price_list(lines)]
    customers = countries(lines)
    agreed = [customer_id(number) for number in customers if has_agreement(number)]
    with shop.session(catalog) as session:
        list_products(session, names, shop.clock.now())
    with shop.session(finance) as session:
        keep_prices(session, prices)
        agree(session, agreed, AGREEMENT_PERCENT, AGREEMENT_FROM)
    with shop.session(shipping) as session:
        keep_addresses(session, {customer_id(number): country for number, country in customers.items()})


class Year:
    """Replays a file on an open system. What is done again after a kill changes nothing.

    `attend` is called between moments. `settle` handles everything; without it, the processes that run the components
    do, and the replay waits for them.
    """

    def __init__(
        self,
        shop: OpenSystem,
        clock: SharedClock,
        notebook: Notebook,
        lines: Sequence[Line],
        attend: Callable[[], None],
        settle: Callable[[], None] | None = None,
    ) -> None:
        self._shop = shop
        self._clock = clock
        self._notebook = notebook
        self._lines = lines
        self._attend = attend
        self._settle = settle or (lambda: shop.wait_settled(attend))
        self._late_payers = {customer_id(number) for number in countries(lines) if is_late_payer(number)}
        self._progress = notebook.progress()
        self._saved = self._progress
        self.refused = 0
        self.ended_early = False

    def play(
        self, until: datetime | None = None, interrupted: Callable[[], bool] = lambda: False
    ) -> Iterator[Progress]:
        """Go on from where the notebook says; yields after every basket, cancellation and stop.

        Ends before the first that comes later than `until`, or after the first basket that is `interrupted`.
        """
        for moment in self._moments():
            if until is not None and _at(moment) > until:
                break
            self._attend()
            if isinstance(moment, datetime):
                self._stop(moment)
            elif isinstance(moment, Cancellation):
                self._cancel(moment)
            else:
                self._basket(moment)
            yield self._progress
            if interrupted() and not isinstance(moment, datetime | Cancellation):
                self.ended_early = True
                break
        self._settle()
        self._save()

    def _moments(self) -> Iterator[Moment]:
        if not self._lines:
            return
        done = 0
        last_done: datetime | None = None
        for moment in moments(baskets(self._lines), self._lines[0].at, self._lines[-1].at):
            if isinstance(moment, datetime):
                if self._progress.stop is None or moment > self._progress.stop:
                    yield moment
            elif isinstance(moment, Cancellation):
                # Whatever came before a basket that is done is done; what came after it may be, and can be done again.
                if last_done is None or moment.at > last_done or done > self._progress.lines_done:
                    yield moment
            else:
                done += len(moment)
                if done > self._progress.lines_done:
                    yield moment
                else:
                    last_done = moment[0].at

    def _stop(self, at: datetime) -> None:
        """Settled before and after; in between customers pay, and the components' own calendars and timeouts come."""
        self._save()
        self._settle()
        if at.hour == 0:
            self._customers_pay(at)
        self._move_clock(at)
        self._settle()
        self._progress = self._progress._replace(stop=at)
        self._save()

    def _customers_pay(self, midnight: datetime) -> None:
        with self._shop.session(finance) as session:
            due = open_invoices(session, midnight)
            paid = [one.invoice_id for one in due if one.due_at + self._lateness(one.customer_id) <= midnight]
            if paid:
                pay(session, paid, midnight)

    def _move_clock(self, at: datetime) -> None:
        """On, not back: a replay that goes on after a kill does again what was not saved."""
        if at > self._clock.now():
            self._clock.to(at)

    def _cancel(self, cancellation: Cancellation) -> None:
        """The customer takes back what was purchased, if it was."""
        self._move_clock(cancellation.at)
        if cancellation.line.customer is None or reason_against(cancellation.line) is not None:
            return
        try:
            with self._shop.session(sales) as session:
                cancel(session, line_id(cancellation.line.number), cancellation.at)
        except NotPurchased:
            # It was refused.
            return

    def _lateness(self, customer: object) -> timedelta:
        return LATE_BY if customer in self._late_payers else timedelta(0)

    def _basket(self, basket: Sequence[Line]) -> None:
        """Set aside what is no purchase; the customer purchases the rest, as one unit of work."""
        self._move_clock(basket[0].at)
        wanted: dict[int, list[Wanted]] = {}
        for line in basket:
            reason = reason_against(line)
            if reason is not None:
                self._notebook.set_aside(line.number, reason)
            elif line.customer is not None:
                item = Wanted(line_id(line.number), product_id(line.code), line.quantity)
                wanted.setdefault(line.customer, []).append(item)
        for customer, items in wanted.items():
            try:
                with self._shop.session(sales) as session:
                    purchase(session, items, customer_id(customer), basket[0].at)
            except CustomerBlocked:
                self.refused += len(items)
        self._progress = self._progress._replace(lines_done=self._progress.lines_done + len(basket))
        if self._progress.lines_done - self._saved.lines_done >= SAVE_LINES:
            self._save()

    def _save(self) -> None:
        self._notebook.save(self._progress)
        self._saved = self._progress


def _at(moment: Moment) -> datetime:
    if isinstance(moment, datetime):
        return moment
    return moment.at if isinstance(moment, Cancellation) else moment[0].at


def is_late_payer(customer: int) -> bool:
    """Who pays 40 days late."""
    return customer % 10 == 0


def has_agreement(customer: int) -> bool:
    """Who has an agreement with Finance."""
    return customer % 20 == 7
