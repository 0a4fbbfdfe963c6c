"""`make storm`: workers killed and paused, PostgreSQL crashed, connections cut, under load; then the books are checked.

`--restores 50` puts databases back by older copies instead, on both stores (`storm_restores`); `--short` does a few of
everything.

The oracle reads the databases directly and shares nothing with the package: what Sales has committed must be billed
and shipped once, in the order of each customer. After every fault a purchase is made and timed until it is shipped.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from preterite.errors import PreteriteError
from support import storm_restores, storm_shop

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "storm.json"
RESTORES_RESULT = RESULT.with_name("restores.json")
PORTS = {"PRETERITE_POSTGRES_PORT": "54331", "PRETERITE_PGBOUNCER_PORT": "54332"}
ADMIN_URL = "postgresql://postgres:preterite@127.0.0.1:54331/postgres"
HOSTS = 2
WORKERS = 1
CUSTOMERS = 40
PAUSE_SECONDS = 9.0
PATIENCE_SECONDS = 60.0
BETWEEN_PURCHASES_SECONDS = 0.004
SEED = 20130730
STORES: tuple[storm_shop.Store, ...] = ("sqlite", "postgres")
SHORT_RESTORES = 2
SHOP = storm_shop.declare("postgres")


@dataclass(frozen=True)
class Faults:
    """How many of each."""

    kills: int
    pauses: int
    crashes: int
    cuts: int


SHORT = Faults(kills=8, pauses=2, crashes=2, cuts=6)


@dataclass
class Outcome:
    """What the storm did, and what the books say."""

    seconds: float = 0.0
    purchases: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    not_purchased: int = 0
    set_aside: int = 0
    recovery_seconds: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])


class Storm:
    """A running shop, its load, and the faults."""

    def __init__(self, folder: Path, urls: Mapping[str, str]) -> None:
        self.urls = urls
        self.environment = {
            **os.environ,
            **PORTS,
            **{f"PRETERITE_{name.upper()}_URL": url for name, url in urls.items()},
            "PYTHONPATH": str(ROOT / "tests"),
            "PRETERITE_SERVERS": str(folder / "servers"),
        }
        self.paused: tuple[int, float] | None = None
        self.hosts: list[subprocess.Popen[bytes]] = []
        self.chance = random.Random(SEED)
        self.stopping = threading.Event()
        self.errors = (folder / "errors").open("ab")
        self.customers = [UUID(int=number + 1) for number in range(CUSTOMERS)]

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "preterite",
            "run",
            "-A",
            "support.storm_shop:system",
            "--workers",
            str(WORKERS),
        ]
        for _ in range(HOSTS):
            self.hosts.append(
                subprocess.Popen(command, env=self.environment, stderr=self.errors, start_new_session=True)
            )

    def stop(self) -> None:
        self.stopping.set()
        for host in self.hosts:
            with suppress(ProcessLookupError):
                os.killpg(host.pid, signal.SIGKILL)
            host.wait()
        self.errors.close()

    def load(self, number: int) -> None:
        """Purchase after purchase, by one connection after the other, until told to stop."""
        chance = random.Random(SEED + number)
        connection: Any = None
        while not self.stopping.is_set():
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(self.urls["sales"])
                SHOP.purchase(connection, chance.choice(self.customers), uuid4())
            except (psycopg.Error, PreteriteError):
                if connection is not None:
                    connection.close()
                self.stopping.wait(0.1)
            self.stopping.wait(BETWEEN_PURCHASES_SECONDS)
        if connection is not None:
            connection.close()

    def workers(self) -> list[int]:
        """Processes that run components, of all hosts."""
        parents = [str(host.pid) for host in self.hosts]
        listed = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", ",".join(parents)], capture_output=True, text=True, check=False
        ).stdout.splitlines()
        return [int(line.split()[0]) for line in listed if "preterite.cli.worker" in line]

    def kill(self) -> None:
        with suppress(ProcessLookupError, IndexError):
            os.kill(self.chance.choice(self.workers()), signal.SIGKILL)

    def pause(self) -> None:
        """Beyond its lease; it wakes while others do its work."""
        victim = self.chance.choice(self.workers())
        os.kill(victim, signal.SIGSTOP)
        self.paused = (victim, time.monotonic())

    def wake(self) -> None:
        """Let the paused one go on, once its lease is over: the next fault is another one."""
        if self.paused is None:
            return
        victim, since = self.paused
        self.paused = None
        time.sleep(max(since + PAUSE_SECONDS - time.monotonic(), 0.0))
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGCONT)

    def crash(self) -> None:
        subprocess.run([ROOT / "scripts" / "servers", "crash"], env=self.environment, check=True, capture_output=True)

    def cut(self) -> None:
        """One connection of somebody's, whatever it is at."""
        with suppress(psycopg.Error), psycopg.connect(ADMIN_URL, autocommit=True) as admin:
            found = admin.execute(
                "select pid from pg_stat_activity where datname like 'storm%' and pid <> pg_backend_pid()"
            ).fetchall()
            if found:
                admin.execute("select pg_terminate_backend(%s)", self.chance.choice(found))

    def probe(self) -> float:
        """How long a purchase takes now until it is shipped."""
        began = time.monotonic()
        wanted = uuid4()
        self._until(lambda: self._purchased(wanted), "a purchase is made")
        self._until(lambda: self._count("shipping", "shipment", wanted) == 1, "it is shipped")
        return time.monotonic() - began

    def _purchased(self, wanted: UUID) -> bool:
        with suppress(psycopg.Error, PreteriteError), psycopg.connect(self.urls["sales"]) as connection:
            if self._count("sales", "purchase", wanted, "id") == 0:
                SHOP.purchase(connection, self.chance.choice(self.customers), wanted)
            return True
        return False

    def _count(self, component: str, table: str, wanted: UUID, column: str = "purchase") -> int:
        statement = sql.SQL("select count(*) from {} where {} = %s").format(
            sql.Identifier(table), sql.Identifier(column)
        )
        try:
            with psycopg.connect(self.urls[component]) as connection:
                row = connection.execute(statement, [str(wanted)]).fetchone()
        except psycopg.Error:
            return -1
        return row[0] if row else 0

    def _until(self, true: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not true():
            assert time.monotonic() < end, f"not within {PATIENCE_SECONDS:.0f} s: {what}\n{self.explained()}"
            time.sleep(0.02)

    def explained(self) -> str:
        """How everybody stands, what the server is at, and what was said last."""
        status = [sys.executable, "-m", "preterite", "status", "-A", "support.storm_shop:system", "--workers"]
        shown = subprocess.run(status, env=self.environment, capture_output=True, text=True, check=False).stdout
        activity = _rows(
            ADMIN_URL,
            "select datname, application_name, state, wait_event, extract(epoch from now() - xact_start)::int,"
            " left(query, 90) from pg_stat_activity where datname like 'storm%' order by 1, 2",
        )
        activity += _rows(self.urls["finance"], "select *, extract(epoch from clock_timestamp()) from preterite.lease")
        activity += _rows(self.urls["finance"], "select * from preterite.worker")
        for worker in self.workers():
            os.kill(worker, signal.SIGUSR1)
        time.sleep(1.0)
        said = Path(self.errors.name).read_text(errors="replace")[-26000:]
        return "\n".join([shown, *map(str, activity), said])


def settle(storm: Storm) -> None:
    """Wait until everything that Sales has committed is shipped, or nothing has moved for long."""
    seen, since = -1, time.monotonic()
    while True:
        bought = len(_rows(storm.urls["sales"], "select id from purchase"))
        shipped = len(_rows(storm.urls["shipping"], "select purchase from shipment"))
        if shipped >= bought:
            return
        if shipped != seen:
            seen, since = shipped, time.monotonic()
        if time.monotonic() - since > PATIENCE_SECONDS:
            return
        time.sleep(0.2)


def check(urls: Mapping[str, str], outcome: Outcome) -> None:
    """The oracle: reads the databases, counts what is lost, doubled, out of order or set aside."""
    bought = _rows(urls["sales"], "select id, customer, place from purchase")
    places = {row[0]: row[2] for row in bought}
    outcome.purchases = len(bought)
    for component, table in (("finance", "bill"), ("shipping", "shipment")):
        done = _rows(urls[component], f"select purchase, customer from {table} order by position")
        times = Counter(row[0] for row in done)
        outcome.lost += sum(1 for row in bought if times[row[0]] == 0)
        outcome.doubled += sum(count - 1 for count in times.values())
        outcome.not_purchased += sum(1 for purchase in times if purchase not in places)
        last: dict[str, int] = {}
        for purchase, customer in done:
            place = places.get(purchase, 0)
            outcome.out_of_order += place <= last.get(customer, 0)
            last[customer] = max(place, last.get(customer, 0))
    for url in urls.values():
        with suppress(psycopg.errors.UndefinedTable):
            outcome.set_aside += len(_rows(url, "select id from preterite.parked"))


def _rows(url: str, statement: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement.encode()).fetchall()


@contextmanager
def server(folder: Path) -> Generator[Mapping[str, str]]:
    """A PostgreSQL of the storm's own, with a database for each component."""
    environment = {**os.environ, **PORTS, "PRETERITE_SERVERS": str(folder / "servers")}
    servers = ROOT / "scripts" / "servers"
    subprocess.run([servers, "start"], env=environment, check=True, capture_output=True)
    try:
        names = ["sales", "finance", "shipping", "log"]
        with psycopg.connect(ADMIN_URL, autocommit=True) as admin:
            for name in names:
                admin.execute(sql.SQL("create database {}").format(sql.Identifier(f"storm_{name}")))
        yield {name: f"{ADMIN_URL.removesuffix('/postgres')}/storm_{name}" for name in names}
    finally:
        subprocess.run([servers, "reset"], env=environment, check=True, capture_output=True)


def rage(faults: Faults, say: Callable[[str], None]) -> Outcome:
    """Let the storm rage; returns what the books say afterwards."""
    outcome = Outcome()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="preterite-storm-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with server(folder) as urls:
            components = {component: url for component, url in urls.items() if component != "log"}
            SHOP.system.open(databases=components, log=urls["log"], create_tables=True).close()
            storm = Storm(folder, urls)
            storm.start()
            loads = [threading.Thread(target=storm.load, args=[number], daemon=True) for number in range(2)]
            try:
                storm.probe()
                for load in loads:
                    load.start()
                outcome.recovery_seconds = _throw(storm, faults, say)
                storm.stopping.set()
                for load in loads:
                    load.join()
                settle(storm)
                check(urls, outcome)
            finally:
                storm.stop()
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def _throw(storm: Storm, faults: Faults, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    kinds = {"kill": storm.kill, "pause": storm.pause, "crash": storm.crash, "cut": storm.cut}
    counts = (faults.kills, faults.pauses, faults.crashes, faults.cuts)
    todo = [kind for kind, count in zip(kinds, counts, strict=True) for _ in range(count)]
    storm.chance.shuffle(todo)
    took: dict[str, list[float]] = {}
    for number, kind in enumerate(todo, 1):
        kinds[kind]()
        took.setdefault(kind, []).append(storm.probe())
        storm.wake()
        say(f"{number} of {len(todo)}: {kind}, recovered in {took[kind][-1]:.1f} s")
    all_of_them = [seconds for one in took.values() for seconds in one]
    return {kind: _summed(seconds) for kind, seconds in {**took, "all": all_of_them}.items()}


def _summed(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "count": len(ordered),
        "p50": round(statistics.median(ordered), 2),
        "p99": round(ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)], 2),
        "max": round(ordered[-1], 2),
    }


def restore(count: int, stores: Sequence[storm_shop.Store], say: Callable[[str], None]) -> list[storm_restores.Outcome]:
    """Put databases back so often on each of these stores."""
    found: list[storm_restores.Outcome] = []
    for store in stores:
        with tempfile.TemporaryDirectory(prefix="preterite-storm-") as name:
            folder = Path(name)
            folder.chmod(0o755)
            with storm_restores.files(folder) if store == "sqlite" else server(folder) as urls:
                found.append(storm_restores.rage(store, count, folder, urls, say))
    return found


def main() -> int:
    """Rage, say how it went, and keep the result."""
    parser = argparse.ArgumentParser(prog="make storm", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--pauses", type=int, default=20)
    parser.add_argument("--crashes", type=int, default=20)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--restores", type=int, default=0, help="so many on each store, and nothing else")
    parser.add_argument("--store", choices=STORES, help="restores on this one only; default: on both")
    parser.add_argument("--short", action="store_true", help="a few of each; the result is not kept")
    options = parser.parse_args()
    result: dict[str, Any] = {}
    wrong = 0
    if options.short or options.restores:
        stores = [options.store] if options.store else STORES
        restored = restore(SHORT_RESTORES if options.short else options.restores, stores, _say)
        result["restores"] = {one.store: asdict(one) for one in restored}
        wrong += sum(one.books.wrong for one in restored)
        if options.restores and not options.short and not options.store:
            RESTORES_RESULT.write_text(json.dumps(result["restores"], indent=2) + "\n", encoding="utf-8")
    if not options.restores:
        faults = Faults(options.kills, options.pauses, options.crashes, options.cuts)
        chosen = SHORT if options.short else faults
        outcome = rage(chosen, _say)
        kept = {"faults": asdict(chosen), **asdict(outcome)}
        if not options.short:
            RESULT.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
        result.update(kept)
        wrong += outcome.lost + outcome.doubled + outcome.out_of_order + outcome.not_purchased
    print(json.dumps(result, indent=2))
    return 1 if wrong else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
