"""`make storm STORM="--restores 50"`: databases put back by older copies under load, then the books are checked.

Copies are taken while everything runs, as backups are: of Sales, which publishes, of Shipping, which subscribes, of
Finance, which does both, and of several, each at another time. Some are put back more than once. On PostgreSQL they
take the place of a database that its workers have open, or that nobody has; SQLite's files only where hosts were
stopped or killed. The handler that publishes is renamed now and then, between a copy and its return. The operator runs
`preterite recover accept` at once, or only when the handlers have run again, while receivers work and customers buy.

What the books must say is the rule of `storm_books`.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from preterite.errors import PreteriteError
from support import storm_books, storm_shop
from support.backups import put_in_place
from support.storm_books import Ledger
from support.storm_hosts import Hosts, until

HOSTS: Mapping[storm_shop.Store, int] = {"postgres": 2, "sqlite": 1}
CUSTOMERS = 40
BUYERS = 2
BETWEEN_PURCHASES_SECONDS = 0.03
COPIES_KEPT = 3
"""Copies of a component of which one is put back."""
SHIPPED_BETWEEN = (20, 80)
"""How many more purchases are shipped between the copies and the restore."""
SEED = 20131129
WHO: Sequence[tuple[str, ...]] = (
    ("finance",), ("sales",), ("sales", "finance"), ("shipping",), ("finance", "shipping"), ("sales", "shipping"),
    ("sales", "finance", "shipping"),
)  # fmt: skip
"""Publishers, subscribers and both, in turn."""
COMPONENTS = ("sales", "finance", "shipping")
PUBLISHERS = ("sales", "finance")
RENAME_EVERY = 5


@dataclass(frozen=True)
class Plan:
    """One restore: of whom, how, and what the operator does."""

    who: tuple[str, ...]
    stopped_by: signal.Signals | None
    """How hosts end before it; they run through it where there is none."""
    is_renamed: bool
    accepts_late: bool


def plans(store: storm_shop.Store, count: int) -> list[Plan]:
    """So many restores, the same every time."""
    chance = random.Random(f"restores {SEED}")
    ways: list[signal.Signals | None] = [signal.SIGTERM, signal.SIGKILL]
    if store == "postgres":
        ways += [None, None]
    return [
        Plan(
            WHO[number % len(WHO)],
            chance.choice(ways),
            is_renamed=number % RENAME_EVERY == 0,
            accepts_late=chance.random() < 0.5,
        )
        for number in range(count)
    ]


class Copies:
    """Copies of databases, taken while they are used, and put in their place."""

    def __init__(self, folder: Path, shop: storm_shop.Shop, urls: Mapping[str, str]) -> None:
        self._folder = folder
        self._shop = shop
        self._urls = urls
        self._taken: dict[str, list[Path]] = {}

    def take(self, name: str) -> None:
        """Copy a component's database as it is now."""
        taken = self._taken.setdefault(name, [])
        path = self._folder / f"copy of {name} {time.monotonic_ns()}"
        if self._shop.store == "sqlite":
            with closing(self._shop.connect(self._urls[name])) as source, closing(sqlite3.connect(path)) as target:
                source.backup(target)
        else:
            _run("pg_dump", "--format=custom", f"--file={path}", self._urls[name])
        taken.append(path)
        for old in taken[:-COPIES_KEPT]:
            old.unlink()
        del taken[:-COPIES_KEPT]

    def put_back(self, name: str, chance: random.Random) -> None:
        """Put one of the copies in the place of a component's database; often the newest."""
        copy = chance.choice([*self._taken[name], self._taken[name][-1], self._taken[name][-1]])
        if self._shop.store == "sqlite":
            path = Path(self._urls[name].removeprefix("sqlite:///"))
            for beside in path.parent.glob(f"{path.name}*"):
                beside.unlink()
            path.write_bytes(copy.read_bytes())
            return
        put_in_place(copy, self._urls[name])


class Restores:
    """A running shop, its customers, and its operator."""

    def __init__(self, folder: Path, shop: storm_shop.Shop, urls: Mapping[str, str]) -> None:
        self.shop = shop
        self.urls = urls
        self.ledger = Ledger(shop, urls["sales"])
        self.hosts = Hosts(folder, shop.store, urls, HOSTS[shop.store])
        self._copies = Copies(folder, shop, urls)
        self._chance = random.Random(SEED)
        self._customers = [UUID(int=number + 1) for number in range(CUSTOMERS)]
        self._stopping = threading.Event()
        self._buyers = [threading.Thread(target=self._buy, args=[number], daemon=True) for number in range(BUYERS)]

    def open(self) -> None:
        """Start hosts and customers."""
        self.hosts.start(COMPONENTS)
        self.probe()
        for buyer in self._buyers:
            buyer.start()

    def restore(self, plan: Plan) -> float:
        """Do one of them; return how long it took until a purchase was shipped again."""
        for name in plan.who:
            self._copies.take(name)
            self._until_shipped(self._chance.randint(*SHIPPED_BETWEEN) // len(plan.who))
        if plan.is_renamed:
            self._rename()
        with ExitStack() as stack:
            if plan.stopped_by is not None:
                self.hosts.stop(plan.who, plan.stopped_by)
            stack.enter_context(self.ledger.closed() if "sales" in plan.who else nullcontext())
            for name in plan.who:
                self._copies.put_back(name, self._chance)
        began = time.monotonic()
        if plan.stopped_by is not None:
            self.hosts.start(plan.who)
        if plan.accepts_late and "finance" in plan.who:
            self._until_halted("finance")
        self.probe(plan.who)
        return time.monotonic() - began

    def probe(self, restored: Sequence[str] = ()) -> None:
        """Buy something, and wait until it is shipped; where a restored component publishes nothing, accept that."""
        wanted = uuid4()
        publishers = [name for name in PUBLISHERS if name in restored]
        until(lambda: self._is_bought(wanted), "a purchase is made", self._explained)

        def is_shipped() -> bool:
            for name in publishers:
                if self._asks(partial(storm_books.is_halted, self.shop, self.urls[name])):
                    self.hosts.command("recover", "accept", name, "--reason", "restored")
            return self._asks(partial(self._has_shipped, wanted))

        until(is_shipped, "it is shipped", self._explained)

    def close(self) -> None:
        """Let customers go, and everything be done."""
        self._stopping.set()
        for buyer in self._buyers:
            buyer.join()
        until(lambda: self._asks(partial(storm_books.is_done, self.shop, self.urls)), "all is shipped", self._explained)

    def _buy(self, number: int) -> None:
        """Purchase after purchase, until the end. A SQLite file is opened for each: nobody has it open in a restore."""
        chance = random.Random(SEED + number)
        kept: Any = None
        while not self._stopping.is_set():
            with self.ledger.entered():
                try:
                    kept = kept or self.shop.connect(self.urls["sales"])
                    self.ledger.purchase(kept, chance.choice(self._customers))
                    is_kept = self.shop.store == "postgres"
                except (psycopg.Error, sqlite3.Error, PreteriteError):
                    is_kept = False
                if kept is not None and not is_kept:
                    kept.close()
                    kept = None
            self._stopping.wait(BETWEEN_PURCHASES_SECONDS)
        if kept is not None:
            kept.close()

    def _is_bought(self, wanted: UUID) -> bool:
        def is_bought() -> bool:
            with self.ledger.entered(), closing(self.shop.connect(self.urls["sales"])) as connection:
                found = self.shop.sql("select count(*) from purchase where id = ?")
                if connection.execute(found, [str(wanted)]).fetchone() == (0,):
                    connection.rollback()
                    self.ledger.purchase(connection, self._chance.choice(self._customers), wanted)
            return True

        return self._asks(is_bought)

    def _has_shipped(self, wanted: UUID) -> bool:
        with closing(self.shop.connect(self.urls["shipping"])) as connection:
            found = self.shop.sql("select count(*) from shipment where purchase = ?")
            return connection.execute(found, [str(wanted)]).fetchone()[0] > 0

    def _until_shipped(self, more: int) -> None:
        def count() -> int:
            with closing(self.shop.connect(self.urls["shipping"])) as connection:
                return connection.execute("select count(*) from shipment").fetchone()[0]

        enough = count() + more
        until(lambda: self._asks(lambda: count() >= enough), f"{more} more are shipped", self._explained)

    def _until_halted(self, name: str) -> None:
        """Wait until a component has seen that it was restored, and its handlers have run again; or need not."""
        wanted = uuid4()
        until(lambda: self._is_bought(wanted), "a purchase is made", self._explained)

        def is_halted_or_through() -> bool:
            return storm_books.is_halted(self.shop, self.urls[name]) or self._has_shipped(wanted)

        until(lambda: self._asks(is_halted_or_through), f"{name} is halted, or not", self._explained)

    def _rename(self) -> None:
        """Roll out the program whose publishing handler has the other name."""
        self.hosts.stop(["finance"], signal.SIGTERM)
        if self.hosts.environment.pop(storm_shop.RENAMED, None) is None:
            self.hosts.environment[storm_shop.RENAMED] = "yes"
        self.hosts.start(["finance"])
        self.probe()

    def _asks(self, question: Callable[[], bool]) -> bool:
        """No, where a database is not there just now."""
        try:
            return question()
        except (psycopg.Error, sqlite3.Error, PreteriteError):
            return False

    def _explained(self) -> str:
        return "\n".join([self.hosts.command("status", "--workers").stdout, self.hosts.said()])


@dataclass(frozen=True)
class Outcome:
    """What was restored on one store, and what the books say."""

    store: str
    restores: Mapping[str, int]
    renamed_in_between: int
    seconds: float
    recovery_seconds: Mapping[str, float]
    books: storm_books.Books


def rage(
    store: storm_shop.Store, count: int, folder: Path, urls: Mapping[str, str], say: Callable[[str], None]
) -> Outcome:
    """Restore so often; return what the books say afterwards."""
    began = time.monotonic()
    shop = storm_shop.declare(store)
    components = {name: url for name, url in urls.items() if name != "log"}
    shop.system.open(databases=components, log=urls["log"], create_tables=True).close()
    todo, took = plans(store, count), list[float]()
    storm = Restores(folder, shop, urls)
    try:
        storm.open()
        for number, plan in enumerate(todo, 1):
            took.append(storm.restore(plan))
            say(f"{number} of {count} on {store}: {' and '.join(plan.who)} put back, recovered in {took[-1]:.1f} s")
        storm.close()
        books = storm_books.read(shop, urls, storm.ledger)
    finally:
        storm.hosts.close()
    kinds = {" and ".join(who): sum(plan.who == who for plan in todo) for who in WHO}
    renamed = sum(plan.is_renamed for plan in todo)
    seconds = {"p50": round(statistics.median(took), 2), "max": round(max(took), 2)}
    return Outcome(store, kinds, renamed, round(time.monotonic() - began, 1), seconds, books)


@contextmanager
def files(folder: Path) -> Generator[Mapping[str, str]]:
    """Where SQLite's files are in a folder."""
    yield {one: f"sqlite:///{folder}/{one}.sqlite" for one in (*COMPONENTS, "log")}


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
