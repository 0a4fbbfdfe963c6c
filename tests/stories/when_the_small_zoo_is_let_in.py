"""Handlers beyond their leases, ticks and upcasts that raise, clocks that are apart, neighbours that cannot be written.

Each ends with its own reason, everything else is handled, and the status is not OK while something waits.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from support import postgres, processes
from support.any_store import IS_SQLITE, log_place, places, sql
from support.import_path import import_path
from support.processes import PATIENCE_SECONDS, until
from support.small_zoo_shop import Now, Seen, full, reading, reads_only, sales, system, ticking, timed

from preterite import Component, Event, OpenSystem
from preterite.clock import SystemClock, SystemRandomness
from preterite.hosting.host import Host
from preterite.operations.dead_letters import dead_letters
from preterite.operations.status import ComponentStatus, verdict
from preterite.store.rows import LeaseState
from preterite.system import open_as

NAMES = [f"neighbour {number}" for number in range(20)]
HOUR = 3600.0


@dataclass
class SmallZoo:
    """Its databases."""

    folder: Path
    urls: Mapping[str, str]
    log: str

    def open(self, *names: str, clock: SystemClock | None = None) -> OpenSystem:
        return open_as(
            OpenSystem,
            system,
            databases=dict(self.urls),
            log=self.log,
            only=names or [component.name for component in system.components],
            create_tables=True,
            clock=clock,
            randomness=SystemRandomness(),
        )

    @contextmanager
    def running(self, *options: str, **environment: str) -> Generator[None]:
        urls = {f"PRETERITE_{name.upper()}_URL": url for name, url in self.urls.items()}
        env = {**os.environ, **urls, "PRETERITE_LOG_URL": self.log, "PYTHONPATH": import_path(), **environment}
        command = [sys.executable, "-m", "preterite", "run", "-A", "support.small_zoo_shop:system", *options]
        with (self.folder / "errors").open("ab") as said:
            running = subprocess.Popen(command, env=env, cwd=self.folder, stderr=said, start_new_session=True)
            try:
                yield
                running.send_signal(signal.SIGTERM)
                running.wait(PATIENCE_SECONDS)
            finally:
                processes.end_group(running)


@pytest.fixture
def zoo(tmp_path: Path) -> SmallZoo:
    return SmallZoo(
        tmp_path, places(tmp_path, [component.name for component in system.components]), log_place(tmp_path)
    )


def publish(opened: OpenSystem, *events: Event) -> None:
    with opened.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
        for event in events:
            unit_of_work.publish(event)


def met(opened: OpenSystem, component: Component) -> list[str]:
    with opened.connection(component) as connection:
        return sorted(row[0] for row in connection.execute("select name from met"))


def dead(opened: OpenSystem, component: Component) -> dict[str, tuple[str, str]]:
    """The failures of its dead letters, by key."""
    with opened.connection(component) as connection:
        found = dead_letters(opened.databases[component.name].store, connection, 100)
    return {str(one.key): (one.failure.error, one.failure.text) for one in found if one.failure is not None}


def make_ticks_due(opened: OpenSystem) -> None:
    with opened.connection(ticking) as connection:
        connection.execute(sql("update preterite_scheduled set due_at = ?"), [opened.clock.wall() - HOUR])
        connection.commit()


def let_in(opened: OpenSystem) -> None:
    """The bad ones between the good ones, each with a key of its own."""
    publish(opened, Now(name="an upcast that raises", pence=-1), Now(name="a price", pence=1))
    with opened.connection(sales) as connection:
        for number, envelope in connection.execute(sql("select id, envelope from preterite_outbox")).fetchall():
            older = bytes(envelope).replace(b'"version":2,', b"").replace(b'"pence"', b'"pounds"')
            connection.execute(sql("update preterite_outbox set envelope = ? where id = ?"), [older, number])
        connection.commit()
    publish(opened, *(Seen(name=name) for name in NAMES))
    make_ticks_due(opened)


def require_own_reasons(opened: OpenSystem, seen: Sequence[str]) -> None:
    """Ticks and upcasts that raise are dead letters with their own reasons; everything else was handled."""
    ticks, upcasts = dead(opened, ticking), dead(opened, reading)
    assert [(error, text.partition(" ")[2]) for error, text in ticks.values()] == [
        ("ZeroDivisionError", "cannot be closed")
    ]
    assert list(upcasts) == ["an upcast that raises"]
    assert "its upcast raised ZeroDivisionError: nothing costs less than nothing" in upcasts["an upcast that raises"][1]
    assert met(opened, ticking) == sorted(["a month", *seen])
    assert met(opened, reading) == ["a price"]


def test_ticks_and_upcasts_that_raise_end_with_their_own_reasons(zoo: SmallZoo) -> None:
    with zoo.open("sales", "ticking", "reading") as opened:
        let_in(opened)
        opened.settle(failures="park")

        require_own_reasons(opened, NAMES)
        assert "ticking has 1 dead letter: preterite dead-letters list" in opened.status()["ticking"].problems


@contextmanager
def read_only(zoo: SmallZoo) -> Generator[None]:
    """On PostgreSQL the database itself says so; on SQLite a setting of each connection does."""
    with ExitStack() as stack:
        if not IS_SQLITE:
            admin = stack.enter_context(psycopg.connect(postgres.ADMIN_URL, autocommit=True))
            change = f"alter database {zoo.urls['reads_only'].rpartition('/')[2]}".encode()
            admin.execute(change + b" set default_transaction_read_only = on")
            stack.callback(admin.execute, change + b" reset default_transaction_read_only")
        yield


def is_shown_to_wait(status: ComponentStatus) -> bool:
    """A SQLite connection does not say that it only reads; a PostgreSQL server does."""
    return bool(status.no_progress_seconds) if IS_SQLITE else "only reads" in str(status.fault)


@pytest.mark.slow("processes")
def test_the_small_zoo_runs_beside_neighbours_that_cannot_be_written(
    zoo: SmallZoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preterite.operations.status.NO_PROGRESS_SECONDS", 3.0)
    waiting = (full, reads_only) if IS_SQLITE else (reads_only,)
    everything = sorted(["after them", "beyond its lease", "spins", *NAMES])
    with zoo.open() as opened:
        let_in(opened)
        slow = [Seen(name="beyond its lease", way="beyond its lease"), Seen(name="spins", way="spins")]
        publish(opened, *slow, Seen(name="after them"))
        another = zoo.running("--only", "timed", SMALL_ZOO="1")
        with read_only(zoo), zoo.running(SMALL_ZOO="1"), another:
            until(lambda: "spins" in dead(opened, timed), "the one that spins is a dead letter")
            until(lambda: len(met(opened, timed)) == len(NAMES) + 2, "all others are handled")
            until(lambda: opened.status()["reading"].is_quiet and opened.status()["ticking"].is_quiet, "so elsewhere")
            until(
                lambda: all(is_shown_to_wait(opened.status()[one.name]) for one in waiting),
                "the status says who takes nothing, or only reads",
            )
            found = opened.status()
            require_own_reasons(opened, everything)
            timed_out = (met(opened, timed), dead(opened, timed))
        with zoo.running():
            until(
                lambda: all(met(opened, one) == everything for one in waiting),
                "they catch up",
            )

    assert timed_out[0] == sorted(["after them", "beyond its lease", *NAMES])
    assert {name: error for name, (error, _) in timed_out[1].items()} == {"spins": "ProcessDied"}
    assert verdict(found.values()) == "DEGRADED"


class ClockApart(SystemClock):
    """A machine's clock that is wrong by so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def wall(self) -> float:
        return super().wall() + self._seconds


def held(opened: OpenSystem, component: Component) -> Sequence[LeaseState]:
    with opened.connection(component) as connection:
        return opened.databases[component.name].store.leases(connection)


def leave_behind(opened: OpenSystem, component: Component, leases: Sequence[LeaseState]) -> None:
    """These leases, as a machine that is gone leaves them behind: valid by its clock."""
    with opened.connection(component) as connection:
        for lease in leases:
            connection.execute(
                sql("update preterite_lease set owner = ?, expires_at = ? where name = ?"),
                [f"elsewhere/{lease.owner}", lease.expires_at, lease.name],
            )
        connection.commit()


@pytest.mark.parametrize("apart", [HOUR, -HOUR])
def test_workers_whose_clocks_are_apart_handle_every_event_once_and_take_over_from_each_other(
    zoo: SmallZoo, apart: float
) -> None:
    with zoo.open("sales", "timed") as one, zoo.open("sales", "timed", clock=ClockApart(apart)) as other:
        with Host(one.runtime), Host(other.runtime):
            for name in NAMES:
                publish(one, Seen(name=name))
            until(lambda: len(met(one, timed)) == len(NAMES), "both are there")
        with Host(other.runtime):
            publish(one, Seen(name="the other's"))
            until(lambda: "the other's" in met(one, timed), "only the other one is there")
            leases = {component.name: (component, held(one, component)) for component in (sales, timed)}
        for component, its in leases.values():
            leave_behind(one, component, its)
        publish(one, Seen(name="the first one's"))
        with Host(one.runtime):
            until(lambda: "the first one's" in met(one, timed), "the first one takes over")

        assert met(one, timed) == sorted(["the first one's", "the other's", *NAMES])
        assert dead(one, timed) == {}
