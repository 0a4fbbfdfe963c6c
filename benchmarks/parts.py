"""What `make bench` can measure: each part with its figures, as they are kept, and their table."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from benchmarks import (
    alternatives,
    checking,
    deadline,
    due,
    failing,
    grid,
    growth,
    history,
    late,
    latency,
    loaded,
    memory,
    monolith,
    pages,
    postgres,
    postgres_latency,
    processes,
    relaying,
    tables,
    ten_million,
    throughput,
)
from benchmarks.measure import Measured


class Part(NamedTuple):
    """One measurement, called as the module that takes it; where a module takes several, `module.function`."""

    title: str
    measure: Callable[[], Mapping[str, Any]]
    table: Callable[[Mapping[str, Any]], str]
    server: bool = False
    """Whether it needs PostgreSQL."""
    minutes: float = 1.0
    """About how long it takes."""


def _rates(measured: Iterable[Measured]) -> dict[str, Any]:
    return {one.name: list(one.values) for one in measured}


def _several(measured: Mapping[str, tuple[Measured, ...]], *what: str) -> dict[str, Any]:
    return {
        name: {key: list(one.values) for key, one in zip(what, found, strict=True)} for name, found in measured.items()
    }


def _latencies(measured: Mapping[str, tuple[Measured, ...]]) -> dict[str, Any]:
    return _several(measured, "p50 ms", "p99 ms")


def _in_a_process_of_its_own() -> dict[str, Any]:
    """What was measured before leaves its memory behind."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--alone"], stdout=subprocess.PIPE, text=True, check=True
    )
    return {str(mark.events): mark.now_mib for mark in (memory.Mark(*mark) for mark in json.loads(done.stdout))}


def _due() -> dict[str, Any]:
    return {"microseconds": _rates(due.query()), "late seconds": due.lateness()._asdict()}


PARTS: Mapping[str, Part] = {
    "throughput": Part(
        f"files: {throughput.EVENTS:,} events (over SQLAlchemy {throughput.EVENTS_OVER_SQLALCHEMY:,})",
        lambda: _several(throughput.measure(), "end to end", "drained"),
        tables.end_to_end_and_drained,
        minutes=2,
    ),
    "latency": Part(
        f"files: {latency.PURCHASES} purchases, one at a time, nothing else happens",
        lambda: _latencies(latency.measure()),
        tables.latencies,
    ),
    "memory": Part("files: memory over a million events", _in_a_process_of_its_own, tables.memory),
    "history.catch_up": Part(
        f"files: catching up with {history.EVENTS:,} events while nothing else runs",
        lambda: _rates(history.catch_up()),
        tables.rates,
    ),
    "history.live": Part("files: live purchases beside a replay", lambda: _latencies(history.live()), tables.latencies),
    "late": Part(
        f"files: a component that comes late reads {late.EVENTS:,} events",
        lambda: _rates(late.measure()),
        tables.rates,
        minutes=8,
    ),
    "growth": Part(
        f"files: {growth.DRAINED_EVENTS:,} events drained, by what the log holds already",
        lambda: _rates(growth.measure()),
        tables.rates,
        minutes=15,
    ),
    "checking": Part("preterite check", lambda: _rates(checking.measure()), tables.seconds),
    "pages": Part(
        "the shop's pages, all components in one process, while purchases go on",
        pages.measure,
        tables.pages,
        minutes=4,
    ),
    "deadline": Part("a page of which one part never answers", deadline.measure, tables.milliseconds),
    "due": Part("files: commands that wait for their time", _due, tables.due),
    "failing": Part(
        "files: other customers' purchases beside a dead letter",
        lambda: _latencies(failing.measure()),
        tables.latencies,
    ),
    "loaded": Part(
        "at half of the highest rate, one purchase per unit of work, a handler per event",
        lambda: _several(loaded.measure(), "purchases per second", "p50 ms", "p99 ms"),
        tables.loaded,
        server=True,
        minutes=3,
    ),
    "grid": Part(
        "every store with every log, one worker and two",
        lambda: _rates(grid.measure()),
        tables.grid,
        server=True,
        minutes=6,
    ),
    "postgres": Part(
        f"PostgreSQL: {postgres.EVENTS:,} events drained (over SQLAlchemy {postgres.EVENTS_OVER_SQLALCHEMY:,})",
        lambda: _rates(postgres.measure()),
        tables.rates,
        server=True,
        minutes=2,
    ),
    "postgres_latency": Part(
        f"PostgreSQL: {latency.PURCHASES} purchases, one at a time, nothing else happens",
        lambda: _latencies(postgres_latency.measure()),
        tables.latencies,
        server=True,
    ),
    "processes": Part(
        f"PostgreSQL: {processes.EVENTS:,} events, handlers over SQLAlchemy",
        lambda: _rates(processes.measure()),
        tables.rates,
        server=True,
        minutes=2,
    ),
    "relaying.for_long": Part(
        "PostgreSQL: the relay for long", lambda: relaying.for_long()._asdict(), tables.relay, server=True
    ),
    "relaying.undisturbed": Part(
        "PostgreSQL: from commit to log, beside a transaction left open",
        lambda: {name: one._asdict() for name, one in relaying.undisturbed().items()},
        tables.beside,
        server=True,
    ),
    "ten_million": Part(
        f"PostgreSQL: {ten_million.EVENTS:,} events through one pair of components",
        lambda: {str(one.events): one._asdict() for one in ten_million.measure()},
        tables.long,
        server=True,
        minutes=12,
    ),
    "alternatives": Part(
        "PostgreSQL: what others do with the same work item (make peers)",
        alternatives.measure,
        tables.peers,
        server=True,
        minutes=15,
    ),
    "monolith": Part(
        f"PostgreSQL: purchases while a month is closed, {monolith.SECONDS:g} s each",
        lambda: {name: one._asdict() for name, one in monolith.measure().items()},
        tables.monolith,
        server=True,
        minutes=4,
    ),
}
EMBEDDED = tuple(name for name, part in PARTS.items() if not part.server and part.minutes <= 2)
"""What is measured by default: files alone, a few minutes."""
