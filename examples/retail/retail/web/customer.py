"""The scripted customer: purchases something every few seconds while switched on."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from uuid import UUID

from preterite import OpenSystem
from preterite.clock import Randomness
from preterite.demo_clock import SharedClock
from preterite.errors import PreteriteError
from preterite.printing.logger import logger
from retail.sales.actions import CustomerBlocked, Wanted, purchase
from retail.system import sales

EVERY_SECONDS = 3.0
TAKES = timedelta(minutes=1)
QUANTITIES = (1, 1, 1, 2, 3, 6, 12, 48)

_logger = logger("retail")


class ScriptedCustomer:
    """Purchases in its own thread; each purchase moves the shop's clock by a minute."""

    def __init__(
        self,
        shop: OpenSystem,
        clock: SharedClock,
        products: Sequence[UUID],
        customers: Sequence[UUID],
        choice: Randomness,
    ) -> None:
        self._shop = shop
        self._clock = clock
        self._products = products
        self._customers = customers
        self._randomness = choice
        self._random = random.Random(str(choice.uuid()))
        self._on = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted customer", daemon=True)

    @property
    def is_on(self) -> bool:
        """Whether the customer is switched on."""
        return self._on.is_set()

    def switch(self, *, on: bool) -> None:
        """Start or stop the customer."""
        if on:
            self._on.set()
        else:
            self._on.clear()

    def purchase_one(self) -> None:
        """Purchase one item; refused if the customer of the moment is blocked."""
        self._clock.advance(TAKES)
        item = Wanted(self._randomness.uuid(), self._random.choice(self._products), self._random.choice(QUANTITIES))
        try:
            with self._shop.session(sales) as session:
                purchase(session, [item], self._random.choice(self._customers), self._clock.now())
        except CustomerBlocked:
            _logger.info("the scripted customer is blocked; the purchase was refused")

    def __enter__(self) -> ScriptedCustomer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._on.set()
        self._thread.join(timeout=EVERY_SECONDS)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._on.wait()
            if self._ended.is_set():
                return
            try:
                self.purchase_one()
            except PreteriteError as error:
                _logger.warning("the scripted customer could not purchase: %s", error)
            self._ended.wait(EVERY_SECONDS)
