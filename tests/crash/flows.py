"""What is recorded and cut: each flow of the package, as a small program over files, in one thread.

python -m crash.flows FLOW prepare FOLDER     make everything as it is before
python -m crash.flows FLOW act FOLDER         do it; this is what is recorded, or killed

`finish` is what whoever comes next does: it opens what is there, lets everything come to rest and asks the oracle.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal
from uuid import UUID

from preterite.operations.dead_letters import Operator, dead_letters, redrive
from preterite.operations.replays import Wanted, start
from preterite.system import open_as
from preterite.testing import MovableClock, SeededRandomness, StartedSystem, instant
from preterite.testing.simulation import model as shops
from preterite.testing.simulation import oracle

BEFORE, DURING, AFTER = "2013-07-30T12:00Z", "2013-07-30T12:01Z", "2013-07-30T13:00Z"
UNIT_EVENTS = 2
REST = timedelta(days=1)
ACKNOWLEDGED = "acknowledged"
OPS = Operator("ops", "crash points", 5.0)


@dataclass
class Shop:
    """The model shop, opened over the files of a folder."""

    folder: Path
    model: shops.Model
    system: StartedSystem

    def sell(self, *numbers: int) -> None:
        """Commit these purchases, a few at a time; what is committed is written down, and synced."""
        for first in range(0, len(numbers), UNIT_EVENTS):
            some = numbers[first : first + UNIT_EVENTS]
            sales = self.model.sales
            with self.system.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
                for number in some:
                    connection.execute("INSERT INTO purchase VALUES (?)", [str(UUID(int=number))])
                    unit_of_work.publish(
                        shops.ItemPurchased(
                            purchase_id=UUID(int=number),
                            customer_id=UUID(int=number % 3),
                            purchased_at=self.system.clock.now(),
                        )
                    )
            self._acknowledge(some)

    def _acknowledge(self, numbers: tuple[int, ...]) -> None:
        place = os.open(self.folder / ACKNOWLEDGED, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(place, "".join(f"{UUID(int=number)}\n" for number in numbers).encode())
        os.fsync(place)
        os.close(place)

    def relay(self) -> None:
        """Let Sales send what it has."""
        relay = self.system.runtime.relay("sales")
        while relay.step():
            pass
        relay.close()

    def rest(self) -> None:
        """Let everything come to rest, retries and timeouts too."""
        self.system.settle(failures="park")
        self.system.clock.advance(REST)
        self.system.settle(failures="park")


@contextmanager
def opened(folder: Path, at: str, *, audits: bool = False, failing: bool = False) -> Generator[Shop]:
    """The shop over this folder; its tables are made where they are missing."""
    model = shops.declare(audits=audits, fails=_fails if failing else _never_fails)
    clock = MovableClock(instant(at))
    names = [one.name for one in model.system.components]
    system = open_as(
        StartedSystem,
        model.system,
        databases={name: f"sqlite:///{folder / name}.sqlite" for name in names},
        log=f"sqlite:///{folder / 'log'}.sqlite",
        only=names,
        create_tables=True,
        clock=clock,
        randomness=SeededRandomness(hash_of(at)),
    )
    clock.settle_with(system.next_due, lambda: system.settle(failures="park"))
    try:
        yield Shop(folder, model, system)
    finally:
        system.close()


def _fails(handler: str, purchase: UUID, attempt: int) -> bool:
    """Billing one purchase always fails, planning another fails twice."""
    return (handler, purchase.int) == ("bill", 2) or ((handler, purchase.int) == ("plan", 3) and attempt <= 2)


def _never_fails(_handler: str, _purchase: UUID, _attempt: int) -> bool:
    return False


def hash_of(text: str) -> int:
    """The same number for the same text, in every process."""
    return int.from_bytes(text.encode()) % 2**32


def told_of(folder: Path) -> list[str]:
    """The purchases that a client was told are committed."""
    place = folder / ACKNOWLEDGED
    return place.read_text().splitlines() if place.exists() else []


def finish(folder: Path, flow: Flow, acknowledged: list[str]) -> list[str]:
    """Open what a crash has left, let it come to rest, and say which promises do not hold."""
    with opened(folder, AFTER, audits=flow.audits) as shop:
        flow.after(shop)
        shop.rest()
    acknowledged = sorted({*acknowledged, *told_of(folder)})
    unknown = [str(UUID(int=number)) for number in range(100)]
    subscriptions = {**oracle.SUBSCRIPTIONS, **oracle.LATE} if flow.audits else oracle.SUBSCRIPTIONS
    return [*oracle.violations(folder, acknowledged, unknown, subscriptions), *flow.verify(folder)]


def _nothing(_shop: Shop) -> None:
    """This flow has nothing more to do."""


def _holds(_folder: Path) -> list[str]:
    return []


@dataclass(frozen=True)
class Flow:
    """What comes before, what is cut, and what an operator does again where it was theirs to do."""

    before: Callable[[Shop], None]
    act: Callable[[Shop], None]
    after: Callable[[Shop], None] = _nothing
    verify: Callable[[Path], list[str]] = _holds
    audits: bool = False
    failing: Literal["nowhere", "before", "during"] = "nowhere"


def _nothing_dead(folder: Path) -> list[str]:
    """What was redriven is done; nothing was set aside again."""
    aside = [one for name in ("finance", "shipping") for one in oracle.set_aside(folder, name)]
    return [f"{one.handler} {one.id} is still set aside" for one in aside]


def _redrive(shop: Shop) -> None:
    for component in (shop.model.finance, shop.model.shipping):
        with shop.system.connection(component) as connection:
            store = shop.system.databases[component.name].store
            letters = [one.id for one in dead_letters(store, connection, 100)]
            redrive(store, connection, letters, OPS)
    shop.system.settle(failures="park")


def _ask_for_history(shop: Shop) -> None:
    """Ask for the history of the handler that came late, unless that was asked for before."""
    finance = shop.model.finance
    shop.system.settle(failures="park")  # the handler is in force from here on
    with shop.system.connection(finance) as connection:
        store, subscriptions = shop.system.databases["finance"].store, shop.system.topology.subscriptions["finance"]
        if not store.replays(connection, active=False):
            start(store, connection, shop.system.log, subscriptions, Wanted(("audit",), rate=None), OPS)


def _replay(shop: Shop) -> None:
    _ask_for_history(shop)
    shop.system.settle(failures="park")


def _replay_beside_live(shop: Shop) -> None:
    """Purchases go on meanwhile: they wait until the handler has caught up."""
    _ask_for_history(shop)
    shop.sell(7, 8, 9, 10)
    shop.system.settle(failures="park")


def _sell_some(shop: Shop) -> None:
    shop.sell(*range(1, 7))


def _sell_and_send(shop: Shop) -> None:
    _sell_some(shop)
    shop.relay()


def _sell_and_settle(shop: Shop) -> None:
    _sell_some(shop)
    shop.rest()


def _settle(shop: Shop) -> None:
    shop.system.settle(failures="park")


FLOWS = {
    "publish": Flow(_nothing, _sell_some),
    "relay": Flow(_sell_some, Shop.relay),
    "receive": Flow(_sell_and_send, _settle),
    "park": Flow(_sell_and_send, Shop.rest, failing="during"),
    "redrive": Flow(_sell_and_settle, _redrive, _redrive, _nothing_dead, failing="before"),
    "saga": Flow(_sell_and_send, Shop.rest),
    "replay": Flow(_sell_and_settle, _replay_beside_live, _replay, audits=True),
    "migrate": Flow(_nothing, _nothing, _sell_some),
}
"""Each by its name; `migrate` is the opening of databases that do not exist yet."""


def prepare(flow: str, folder: Path) -> None:
    """Make everything as it is before a flow; close it, so that all of it is synced."""
    if flow == "migrate":
        return
    chosen = FLOWS[flow]
    with opened(folder, BEFORE, failing=chosen.failing == "before") as shop:
        chosen.before(shop)


def act(flow: str, folder: Path) -> None:
    """The flow itself."""
    chosen = FLOWS[flow]
    with opened(folder, DURING, audits=chosen.audits, failing=chosen.failing == "during") as shop:
        chosen.act(shop)


if __name__ == "__main__":
    name, step, place = sys.argv[1:]
    {"prepare": prepare, "act": act}[step](name, Path(place))
