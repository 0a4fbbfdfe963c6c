"""The use of the model shop: purchases, of which some may or may not be committed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from uuid import UUID

from preterite.open_system import OpenSystem
from preterite.testing.simulation import model, oracle
from preterite.testing.simulation.scenario import Newer, Scenario

CUSTOMERS = 30
UNIT_EVENTS_MAX = 5
SUBSCRIPTIONS = {**oracle.SUBSCRIPTIONS, **oracle.LATE}


class Purchases:
    """So many purchases, and what was acknowledged of them."""

    def __init__(self, count: int, *, grows: bool = True, renames: bool = False) -> None:
        """So many; where the shop `grows`, a newer version of it comes meanwhile, which may rename a handler."""
        self._count = count
        self._grows = grows
        self._model = model.declare()
        self._newer = Newer(model.newer(self._model, renames=renames).system, "finance", "audit")
        self._acknowledged: list[str] = []
        self._unknown: list[str] = []
        self._taken_back: set[str] = set()

    def scenario(self) -> Scenario:
        """The shop and its customers."""
        return Scenario(
            self._model.system,
            self._purchase,
            lambda: len(self._acknowledged) < self._count,
            self._violations,
            self._ran_again,
            self._newer if self._grows else None,
            self._taken_back,
        )

    def _violations(self, folder: Path, _opened: OpenSystem, _until: float) -> Sequence[str]:
        if not self._grows:
            return oracle.violations(folder, self._acknowledged, self._unknown, taken_back=self._taken_back)
        return oracle.violations(folder, self._acknowledged, self._unknown, SUBSCRIPTIONS, self._newer.asked)

    def _ran_again(self) -> int:
        """How many handlers ran again though they had not failed: what they did was rolled back with something else."""
        return sum(
            times > 1 and not self._model.fails(handler, purchase, 1)
            for (handler, purchase), times in self._model.attempts.items()
        )

    def _purchase(self, opened: OpenSystem, chance: Random) -> None:
        size = min(chance.randint(1, UNIT_EVENTS_MAX), self._count - len(self._acknowledged))
        purchases = [str(UUID(int=chance.getrandbits(128), version=4)) for _ in range(size)]
        # Until its answer is there, this is unknown.
        self._unknown += purchases
        sales = self._model.sales
        with opened.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
            for purchase in purchases:
                connection.execute("INSERT INTO purchase VALUES (?)", [purchase])
                customer = UUID(int=chance.randrange(CUSTOMERS))
                unit_of_work.publish(
                    model.ItemPurchased(
                        purchase_id=UUID(purchase), customer_id=customer, purchased_at=opened.clock.now()
                    )
                )
        self._acknowledged += purchases
