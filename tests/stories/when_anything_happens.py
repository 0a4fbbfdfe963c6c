"""Promises 1, 2, 4, 5 and 6 on random schedules: whatever happens in whatever order, the books balance in the end.

Purchases of a few customers, units of work that roll back, handlers that fail, relays and workers that crash and are
followed by others, or are paused before a commit and overtaken, a log that does not answer, takes a part, or takes it
unseen; commands and sagas' timeouts that become due, and replays that are started, paused, resumed and cancelled.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from support.any_store import IS_SQLITE, Connection, dies_open, sql, started
from support.machine_clock import MachineClock
from support.shop import (
    AT,
    FINANCE_TABLES,
    SALES_TABLES,
    ItemBilled,
    ItemPurchased,
    bills,
    id_of,
    insert_bill,
    purchased,
)

from preterite import Command, Component, Recoverability, Saga, System, UnitOfWork, started_by, timeout
from preterite.errors import LogFenced, StoreUnavailable, UsageError
from preterite.leases import LEASE_SECONDS
from preterite.log.contract import Record, Stream
from preterite.log.memory import MemoryLog
from preterite.operations.dead_letters import Operator, dead_letters, redrive
from preterite.operations.replays import Wanted, change, start
from preterite.publishing.relay import Relay
from preterite.receiving.receiver import Receiver
from preterite.testing import StartedSystem

SEEDS = 40 if IS_SQLITE else 8  # connecting to a server takes its time
STEPS = 120
CUSTOMERS = ("anna", "ben", "carl")
OPS = Operator("ops", "", 0.0)


MORE_TABLES = sql("""
create table mail (position integer primary key, purchase text);
create table reminder (purchase text);
create table packed (purchase text)
""")


class Remind(Command):
    purchase_id: UUID


class Pack(Command):
    pass


class Crash(BaseException):
    """The process is gone: nothing catches this."""


class MoodyLog(MemoryLog):
    """Appends as its mood is."""

    def __init__(self, log: MemoryLog, clock: MachineClock, chance: random.Random) -> None:
        super().__init__(log.identity, clock)
        self._chance = chance
        self.moody = True
        self.overtake: Callable[[], None] = lambda: None

    def append(self, records: Sequence[Record]) -> Mapping[Stream, int]:
        mood = self._chance.random() if self.moody else 1.0
        if mood < 0.05:
            raise StoreUnavailable("no answer; nothing was taken")
        if mood < 0.1:
            super().append(records)
            raise StoreUnavailable("no answer; all was taken")
        if mood < 0.2:
            return super().append(records[: self._chance.randrange(len(records) + 1)])
        if mood < 0.25:
            raise Crash
        if mood > 0.95 and self.moody:
            self.overtake()
        taken = super().append(records)
        if mood < 0.3:
            raise Crash
        return taken


class World:
    """A shop, what has happened in it, and what may happen next."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.fails = True
        self.published: list[tuple[str, str]] = []
        self.sales = Component("sales", publishes=[ItemPurchased], tables=SALES_TABLES)
        policy = Recoverability(immediate_retries=1, delayed_retries=1, process_deaths_max=2)
        tables = f"{FINANCE_TABLES}; {MORE_TABLES};"
        self.finance = Component("finance", publishes=[ItemBilled], tables=tables, recoverability=policy)
        self.finance.handles(ItemPurchased)(self._bill())
        self.finance.handles(ItemPurchased, lane="mail")(self._mail())
        self.finance.handles(Remind)(self._remind())
        self.finance.saga(self._packing())
        self.system = System("shop", [self.sales, self.finance])
        self.loops: dict[str, Relay | Receiver] = {}
        self.clock = MachineClock()
        self.log: MoodyLog | None = None
        self.paused = False

    def _bill(self) -> Callable[[ItemPurchased, Connection, UnitOfWork], None]:
        def bill(event: ItemPurchased, connection: Connection, unit_of_work: UnitOfWork) -> None:
            insert_bill(connection, event)
            unit_of_work.publish(ItemBilled(purchase_id=event.purchase_id, customer_id=event.customer_id, billed_at=AT))
            unit_of_work.schedule(
                Remind(purchase_id=event.purchase_id), after=timedelta(seconds=self.chance.randrange(60))
            )
            self._try_luck()

        return bill

    def _mail(self) -> Callable[[ItemPurchased, Connection], None]:
        def mail(event: ItemPurchased, connection: Connection) -> None:
            connection.execute(sql("insert into mail (purchase) values (?)"), [str(event.purchase_id)])
            self._try_luck()

        return mail

    def _remind(self) -> Callable[[Remind, Connection], None]:
        def remind(command: Remind, connection: Connection) -> None:
            connection.execute(sql("insert into reminder values (?)"), [str(command.purchase_id)])
            self._try_luck()

        return remind

    def _packing(self) -> type[Saga]:
        world = self

        class Packing(Saga, by="purchase_id"):
            purchase_id: UUID

            @started_by(ItemPurchased)
            def open(self, event: ItemPurchased, unit_of_work: UnitOfWork) -> None:
                unit_of_work.schedule(Pack(), after=timedelta(seconds=world.chance.randrange(60)))
                world._try_luck()

            @timeout(Pack)
            def pack(self, command: Pack, connection: Connection) -> None:
                connection.execute(sql("insert into packed values (?)"), [str(self.purchase_id)])
                self.complete()
                world._try_luck()

        return Packing

    def _try_luck(self) -> None:
        luck = self.chance.random() if self.fails else 1.0
        if luck < 0.02:
            raise Crash
        if luck < 0.1:
            raise RuntimeError("bad luck")

    def purchase(self, shop: StartedSystem) -> None:
        """A unit of work of one to three purchases, which sometimes rolls back."""
        customer = self.chance.choice(CUSTOMERS)
        names = [f"p{len(self.published) + number}" for number in range(self.chance.randrange(1, 4))]
        changes_mind = self.chance.random() < 0.2
        with suppress(InterruptedError), shop.connection(self.sales) as connection:
            with self.sales.unit_of_work(connection) as unit_of_work:
                for name in names:
                    unit_of_work.publish(purchased(name, customer))
                if changes_mind:
                    raise InterruptedError
            self.published += [(name, customer) for name in names]

    def step(self, shop: StartedSystem, name: str, make: Callable[[], Relay | Receiver]) -> None:
        """One step of a loop, which may crash; its successor then waits for the lease to run out."""
        if name not in self.loops:
            self.loops[name] = make()
            self._let_it_be_overtaken(self.loops[name], make)
        loop = self.loops[name]
        try:
            loop.step()
            if self.chance.random() < 0.02:
                raise Crash
        except (StoreUnavailable, LogFenced):
            pass
        except Crash:
            del self.loops[name]
            self.clock.pass_by(LEASE_SECONDS + 1)

    def _let_it_be_overtaken(self, loop: Relay | Receiver, make: Callable[[], Relay | Receiver]) -> None:
        """Sometimes it is paused between reading and writing, for longer than its lease, and another one goes on."""

        def overtake() -> None:
            if not self.paused:
                self.paused = True
                self.clock.pass_by(LEASE_SECONDS + 1)
                other = make()
                with suppress(StoreUnavailable, LogFenced, Crash):
                    other.step()
                    other.step()
                self.clock.pass_by(LEASE_SECONDS + 1)
                self.paused = False

        if isinstance(loop, Receiver):
            transactions = loop._transactions  # pyright: ignore[reportPrivateUsage]
            transact = transactions.transact

            def paused_before(act: Callable[[Any], Any]) -> Any:
                if self.fails and self.chance.random() < 0.1:
                    overtake()
                return transact(act)

            transactions.transact = paused_before
        elif isinstance(self.log, MoodyLog):
            self.log.overtake = overtake

    def act(self, shop: StartedSystem) -> None:
        """Let something happen."""
        luck = self.chance.random()
        if luck < 0.3:
            self.purchase(shop)
        elif luck < 0.55:
            self.step(shop, "relay", lambda: shop.runtime.relay("sales"))
        elif luck < 0.85:
            self.step(shop, "receiver", lambda: shop.runtime.receiver("finance"))
        elif luck < 0.88:
            self.replay(shop)
        elif luck < 0.95:
            self.clock.advance(timedelta(seconds=self.chance.randrange(60)))
        else:
            self.redrive(shop)

    def replay(self, shop: StartedSystem) -> None:
        """Start a replay to the mails, or do something with the one there is. All has been handled: nothing is fed
        again, but what comes in while it runs reaches them by it.
        """
        store, subscriptions = shop.databases["finance"].store, shop.topology.subscriptions["finance"]
        with shop.connection(self.finance) as connection, suppress(UsageError):
            running = store.replays(connection, active=True)
            if running:
                change(store, connection, running[0].id, self.chance.choice(("pause", "resume", "cancel")), OPS)
            else:
                start(store, connection, shop.log, subscriptions, Wanted(("mail",), rate=None), OPS)

    def redrive(self, shop: StartedSystem) -> None:
        store = shop.databases["finance"].store
        with shop.connection(self.finance) as connection:
            numbers = [row.id for row in dead_letters(store, connection, 1000)]
            redrive(store, connection, numbers, OPS)

    def calm_down(self, shop: StartedSystem) -> None:
        """No more faults: everything that waits is sent through."""
        self.fails = False
        assert isinstance(shop.log, MoodyLog)
        shop.log.moody = False
        self.loops.clear()
        self.clock.pass_by(LEASE_SECONDS + 1)
        store = shop.databases["finance"].store
        with shop.connection(self.finance) as connection:
            for replay in store.replays(connection, active=True):
                change(store, connection, replay.id, "resume", OPS)
        for _ in range(5):
            shop.settle(failures="park")
            self.clock.advance(timedelta(hours=2))
            self.redrive(shop)
        shop.settle()


@pytest.fixture
def graves() -> Iterator[None]:
    """What died in a story is collected with it: a connection that nobody closes is blamed on whoever runs then."""
    yield
    gc.collect()


@dies_open
@pytest.mark.usefixtures("graves")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_books_balance(seed: int) -> None:
    world = World(seed)
    with started(world.system, seed=seed, log="memory:") as shop:
        shop.runtime.clock = world.clock
        assert isinstance(shop.log, MemoryLog)
        shop.runtime.log = world.log = MoodyLog(shop.log, world.clock, world.chance)
        shop._status_reader._log = shop.log  # pyright: ignore[reportPrivateUsage]
        shop._status_reader._clock = shop.clock  # pyright: ignore[reportPrivateUsage]
        for _ in range(STEPS):
            world.act(shop)
        world.calm_down(shop)
        billed = bills(shop, world.finance)
        announced = [str(event.purchase_id) for event in shop.published(ItemBilled)]
        counts = shop.status()["finance"].counts
        with shop.connection(world.finance) as connection:
            mailed, reminded, packed = (
                [row[0] for row in connection.execute(sql(f"select purchase from {table} order by rowid"))]
                for table in ("mail", "reminder", "packed")
            )

    wanted = [str(id_of(name)) for name, _ in world.published]
    assert sorted(billed) == sorted(announced) == sorted(wanted), "each once, and nothing that was rolled back"
    assert sorted(mailed) == sorted(reminded) == sorted(packed) == sorted(wanted), "and everything that follows from it"
    assert (counts.parked, counts.dead, counts.scheduled, counts.sagas, counts.replaying) == (0, 0, 0, 0, 0)
    for customer in CUSTOMERS:
        bought = [str(id_of(name)) for name, buyer in world.published if buyer == customer]
        assert [one for one in billed if one in bought] == bought, "in the order of the commits"
        assert [one for one in mailed if one in bought] == bought, "also where replays came between"
        assert [one for one in announced if one in bought] == bought
