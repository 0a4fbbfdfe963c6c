"""The zoo: some 200 ways to be bad, all at once. Each ends with its own reason, and everything else is handled."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from support import postgres, processes, zoo_shop
from support.any_store import IS_SQLITE, log_place, places, sql
from support.away import away
from support.import_path import import_path
from support.processes import PATIENCE_SECONDS, until
from support.zoo import ANYTHING, RECORDS, WAYS, Seen, refusing
from support.zoo_shop import DONE_BY, NEIGHBOURS, SAGA_WAYS, SagaJoined, SagaSeen, does, sales, system

from preterite import Event, OpenSystem
from preterite.operations.dead_letters import dead_letters
from preterite.operations.status import verdict
from preterite.store.rows import Parked

HEALTHY = ("sales", *DONE_BY, "deciding")
ZOO_SECONDS = 1_500.0
"""After so long the zoo hangs: on PostgreSQL it takes minutes, since some ways end the worker, and it starts again."""
ROUND = 15
"""After so many bad events come good ones."""
SAMPLE = ("raises: raises Pretending", "leaves: a task", "stores: a deferred constraint", "publishes: a long key")


@dataclass
class Zoo:
    """Its databases, and what was published."""

    folder: Path
    urls: Mapping[str, str]
    log: str
    good: list[str] = field(default_factory=list[str])
    ways: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    def open(self, *names: str) -> OpenSystem:
        only = [one.name for one in system.components if one.name in names] or None
        return system.open(databases=dict(self.urls), log=self.log, only=only, create_tables=True)

    @property
    def environment(self) -> Mapping[str, str]:
        urls = {f"PRETERITE_{name.upper()}_URL": url for name, url in self.urls.items()}
        other = {"PRETERITE_TEST_OTHER": places(self.folder, ["other"])["other"].removeprefix("sqlite:///")}
        return {**os.environ, **urls, **other, "PRETERITE_LOG_URL": self.log, "PYTHONPATH": import_path()}

    def publish(self, opened: OpenSystem, ways: list[str]) -> None:
        """Good events between bad ones, each with a key of its own."""
        self.ways = {way: WAYS[way].ends for way in ways}
        events: list[Event] = []
        for start in range(0, len(ways), ROUND):
            events += [Seen(name=way, way=way) for way in ways[start : start + ROUND]]
            names = [f"{name}, {start}" for name in NEIGHBOURS]
            events += [Seen(name=name) for name in names]
            self.good += names
        _publish(opened, *events)

    def publish_records(self, opened: OpenSystem) -> None:
        """Records that are changed before they are sent, and an event whose own code refuses it."""
        _publish(opened, *(Seen(name=name) for name in RECORDS), refusing("refusing"))
        with opened.connection(sales) as connection:
            rows = connection.execute(sql("select id, envelope from preterite_outbox order by id")).fetchall()
            for (change, _), (number, envelope) in zip(RECORDS.values(), rows[-len(RECORDS) - 1 :], strict=False):
                changed = change(bytes(envelope))
                connection.execute(sql("update preterite_outbox set envelope = ? where id = ?"), [changed, number])

    def publish_sagas(self, opened: OpenSystem) -> None:
        for way in SAGA_WAYS:
            events = [SagaSeen(name=way, way=way)] if way != "missing" else []
            _publish(opened, *events, *([SagaJoined(name=way, way=way)] if way in ("join", "missing") else []))

    def misfits(self, opened: OpenSystem, component: str) -> dict[str, str]:
        """What did not end as it should, by the name of its event."""
        met, dead = _ends(opened, component)
        found = {
            name: f"handled {met.count(name)} times, {dead.get(name)}" for name in self.good if met.count(name) != 1
        }
        for way, ends in self.ways.items():
            wanted = ends if does(component, way) else frozenset({""})
            error, text = dead.get(way, ("", ""))
            is_right = wanted == ANYTHING or error in wanted
            if not is_right or met.count(way) != (0 if error else 1):
                found[way] = f"handled {met.count(way)} times, {error}: {text[:200]}"
        return found

    def bad_records(self, opened: OpenSystem) -> dict[str, object]:
        """Those of its records and sagas that did not end as they should."""
        met, dead = _ends(opened, "plain")
        ends = Counter([*(ends for _, ends in RECORDS.values()), "Undecodable"])
        ends["Undecodable"] += sum(way.ends == frozenset({"Undecodable"}) for way in WAYS.values())
        found: dict[str, object] = {
            name: "not handled" for name, (_, end) in RECORDS.items() if not end and name not in met
        }
        errors = Counter(error for error, _ in _failures(opened, "plain"))
        found |= {error: errors[error] for error in ("Undecodable", "Void") if errors[error] != ends[error]}
        _, dead = _ends(opened, "deciding")
        ended = {way: dead.get(way, dead.get(f"Bad/{way}", ("", "")))[0] for way in SAGA_WAYS}
        return found | {f"saga: {way}": ended[way] for way, end in SAGA_WAYS.items() if ended[way] != end}


def _publish(opened: OpenSystem, *events: Event) -> None:
    with opened.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
        for event in events:
            unit_of_work.publish(event)


def _ends(opened: OpenSystem, component: str) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """The names that it has met, and the failures of its dead letters by key."""
    with opened.connection(opened.components[component]) as connection:
        met = [] if component == "tableless" else [row[0] for row in connection.execute("select name from met")]
    return met, {str(one.key): failure for one, failure in _letters(opened, component)}


def _failures(opened: OpenSystem, component: str) -> list[tuple[str, str]]:
    return [failure for _, failure in _letters(opened, component)]


def _letters(opened: OpenSystem, component: str) -> list[tuple[Parked, tuple[str, str]]]:
    with opened.connection(opened.components[component]) as connection:
        letters = dead_letters(opened.databases[component].store, connection, 1_000)
    return [(one, (one.failure.error, one.failure.text)) for one in letters if one.failure is not None]


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    names = [component.name for component in system.components]
    return Zoo(tmp_path, places(tmp_path, names), log_place(tmp_path))


def test_bad_events_of_a_sample_end_with_their_own_reason(zoo: Zoo) -> None:
    with zoo.open(*HEALTHY) as opened:
        zoo.publish(opened, list(SAMPLE))
        opened.settle(failures="park")

        assert {name: found for name in DONE_BY if (found := zoo.misfits(opened, name))} == {}


@pytest.mark.slow("processes")
def test_the_whole_zoo_is_settled(zoo: Zoo) -> None:
    """In a process of its own, for much is changed in it."""
    with zoo.open(*HEALTHY) as opened:
        zoo.publish(opened, [way for way, one in WAYS.items() if not one.by_process])
        zoo.publish_records(opened)
        zoo.publish_sagas(opened)
        command = [sys.executable, "-m", "support.zoo_shop"]
        done = subprocess.run(
            command, env=zoo.environment, capture_output=True, cwd=zoo.folder, timeout=ZOO_SECONDS, check=False
        )

        assert (done.returncode, done.stdout) == (0, b'"settled"\n'), done.stderr.decode()[-3000:]
        assert {name: found for name in DONE_BY if (found := zoo.misfits(opened, name))} == {}
        assert zoo.bad_records(opened) == {}


@contextmanager
def in_trouble(zoo: Zoo) -> Generator[None]:
    """One component's database is away, and another one's is locked."""
    zoo.open().close()
    with ExitStack() as stack:
        if IS_SQLITE:
            stack.enter_context(away(zoo.folder, "away"))
            locking = sqlite3.connect(zoo.folder / "locked.sqlite", isolation_level=None)
            locking.execute("begin exclusive")
        else:
            admin = stack.enter_context(psycopg.connect(postgres.ADMIN_URL, autocommit=True))
            change = f"alter database {zoo.urls['away'].rpartition('/')[2]} allow_connections".encode()
            admin.execute(change + b" false")
            stack.callback(admin.execute, change + b" true")
            locking = psycopg.connect(zoo.urls["locked"])
            locking.execute("lock table preterite.cursor, preterite.lease in access exclusive mode")
        stack.callback(locking.close)
        yield


@pytest.mark.slow("processes")
def test_the_whole_zoo_runs(zoo: Zoo) -> None:
    """By `preterite run`, beside neighbours in trouble."""
    with in_trouble(zoo), zoo.open(*HEALTHY, "tableless") as opened, (zoo.folder / "errors").open("wb") as said:
        zoo.publish(opened, list(WAYS))
        zoo.publish_records(opened)
        zoo.publish_sagas(opened)
        command = [sys.executable, "-m", "preterite", "run", "-A", "support.zoo_shop:system"]
        running = subprocess.Popen(command, env=zoo.environment, cwd=zoo.folder, stderr=said, start_new_session=True)
        try:
            until(lambda: opened.status()["tableless"].counts.handled_last_minute > 0, "it runs")
            with opened.connection(zoo_shop.tableless) as connection:
                connection.execute("drop table met")
            _publish(opened, Seen(name="late"))
            working = (*HEALTHY, "tableless")
            until(
                lambda: not any(_is_at_work(opened, name) for name in working),
                "all has come to an end",
                ZOO_SECONDS,
            )
            misfits = {name: found for name in DONE_BY if (found := zoo.misfits(opened, name))}
            bad = zoo.bad_records(opened)
            _, tableless = _ends(opened, "tableless")
            status = verdict(opened.status().values())
            running.send_signal(signal.SIGTERM)
            running.wait(PATIENCE_SECONDS)
        finally:
            processes.end_group(running)

        assert misfits == {}
        assert tableless["late"][0] in ("OperationalError", "UndefinedTable")
        assert bad == {}
        assert status == "DEGRADED"


def _is_at_work(opened: OpenSystem, name: str) -> bool:
    status = opened.status()[name]
    return not status.is_quiet or status.counts.parked > 0
