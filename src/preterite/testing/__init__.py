"""A whole system in a test: real databases, the in-memory log, no threads, a clock that the test moves.

with started(system, at="2011-03-01T10:00Z") as shop:
    with shop.session(sales) as session:
        purchase(session, ...)
    shop.settle()
    assert shop.published(ItemPurchased)
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import cast
from uuid import UUID

from preterite.errors import UsageError
from preterite.open_system import OpenSystem
from preterite.printing.arguments import shown
from preterite.system import System, open_as
from preterite.testing.clock import MovableClock, instant
from preterite.testing.databases import empty_databases

__all__ = ["MovableClock", "SeededRandomness", "StartedSystem", "instant", "started"]

SEED = 20130730


class SeededRandomness:
    """The same random values in every run."""

    def __init__(self, seed: int = SEED) -> None:
        self._random = random.Random(seed)

    def uuid(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)

    def fraction(self) -> float:
        return self._random.random()


class StartedSystem(OpenSystem):
    """An open system whose clock moves only when the test moves it."""

    @property
    def clock(self) -> MovableClock:
        """The clock that the test moves."""
        return cast(MovableClock, super().clock)

    def next_due(self) -> datetime | None:
        """When the next retry or command of any component is due."""
        dues = [status.counts.next_due_at for status in self.status().values()]
        return min((self.clock.at_timestamp(due) for due in dues if due is not None), default=None)


@contextmanager
def started(
    system: System,
    *,
    at: str | datetime = "2013-07-30T12:00Z",
    seed: int = SEED,
    databases: Mapping[str, str] | None = None,
    log: str = "memory:",
) -> Generator[StartedSystem]:
    """Open a system for one test, in a folder that goes with it, with the components' own tables made.

    `at` is the time of its clock. Databases are files; where the environment has `PRETERITE_TEST_URL`, they are made on
    that PostgreSQL server. `databases` and `log` are URLs of other empty databases; the log is in memory without.
    `settle()` raises a handler's own exception unless `failures="park"`.
    """
    if not isinstance(cast(object, system), System):
        raise UsageError(f"{shown(system)} is no System; pass the one that the application declares.")
    clock = MovableClock(instant(at))
    given = dict(databases or {})
    names = [component.name for component in system.components if component.name not in given]
    with (
        tempfile.TemporaryDirectory(prefix="preterite-") as folder,
        empty_databases(names, Path(folder)) as made,
    ):
        shop = open_as(
            StartedSystem,
            system,
            databases={**made, **given},
            log=log,
            only=system.components,
            create_tables=True,
            clock=clock,
            randomness=SeededRandomness(seed),
        )
        clock.settle_with(shop.next_due, lambda: shop.settle(failures="park"))
        try:
            yield shop
        finally:
            shop.close()
