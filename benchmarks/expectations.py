"""What a user may expect: a dozen of the kept figures, each with the command that measures it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NamedTuple

from benchmarks import alternatives, late, pages
from benchmarks.tables import table

Figures = Mapping[str, Any]
BENCH = "make bench BENCH="


class Expectation(NamedTuple):
    """One figure of a result."""

    what: str
    result: str
    figure: Callable[[Figures], str]
    command: str = BENCH


def _per_second(*path: str) -> Callable[[Figures], str]:
    def figure(figures: Figures) -> str:
        values: Any = figures
        for step in path:
            values = values[step]
        return f"{median(values):,.0f} events/s"

    return figure


def _latency(way: str) -> Callable[[Figures], str]:
    return lambda figures: ", ".join(f"{p} {median(figures[way][f'{p} ms']):.1f} ms" for p in ("p50", "p99"))


def _two_processes(figures: Figures) -> str:
    return f"{median(figures['2 processes']) / median(figures['1 process']):.1f} ×"


def _memory(figures: Figures) -> str:
    return f"{figures['1000000']:.0f} MiB"


def _page(figures: Figures) -> str:
    return f"p99 {median(figures[pages.SHOP_BY_TWO]['p99 ms']):.0f} ms"


def _while_closing(figures: Figures) -> str:
    ours, shared = (figures[way]["p99_ms"] for way in ("partitioned, closing", "monolith, closing"))
    return f"p99 {ours:.0f} ms; {shared:,.0f} ms"


def _recovery(figures: Figures) -> str:
    killed = figures["recovery_seconds"]["kill"]
    return f"p50 {killed['p50']:.1f} s, p99 {killed['p99']:.1f} s"


def _beside_the_best(what: str) -> Callable[[Figures], str]:
    def figure(figures: Figures) -> str:
        best = max(median(figures[peer][what]) for peer in alternatives.PEERS)
        return f"{median(figures[alternatives.OURS][what]) / best:.2f} ×"

    return figure


def _broken(figures: Figures) -> str:
    return f"{len(figures['broken'])} of {figures['worlds']:,}"


EXPECTATIONS = (
    Expectation("SQLite, batch handler, from purchase to bill", "throughput",
                _per_second("batch handler", "end to end")),
    Expectation("SQLite, handler per event over SQLAlchemy", "throughput",
                _per_second("per event, SQLAlchemy", "drained")),
    Expectation("PostgreSQL, batch handler", "postgres", _per_second("batch handler")),
    Expectation("PostgreSQL, handler per event over SQLAlchemy", "postgres", _per_second("per event, SQLAlchemy")),
    Expectation("PostgreSQL, two worker processes beside one", "processes", _two_processes),
    Expectation("a new component reads a million old events", "late", _per_second(late.LATE)),
    Expectation("SQLite, idle, from commit to effect", "latency", _latency("with Preterite")),
    Expectation("PostgreSQL, idle, from commit to effect", "postgres_latency", _latency("with Preterite")),
    Expectation("SQLite, half of the highest load, from commit to effect", "loaded", _latency("sqlite")),
    Expectation("PostgreSQL, the same", "loaded", _latency("postgres")),
    Expectation("memory of a process after a million events", "memory", _memory),
    Expectation("a composed page, 200 views a second, two processes", "pages", _page),
    Expectation("a purchase while a month closes; the same on one database", "monolith", _while_closing),
    Expectation("backlog drained, beside the fastest other package", "alternatives", _beside_the_best("drained")),
    Expectation("live events, beside the fastest other package", "alternatives", _beside_the_best("live")),
    Expectation("a worker is killed: until the next purchase is billed", "storm", _recovery, "make storm"),
    Expectation("simulated worlds of faults that broke a promise", "worlds", _broken, "make simulate SEEDS=20000"),
)  # fmt: skip


def expectations_table(kept: Callable[[str], Figures | None]) -> str:
    """Every expectation whose figures are kept."""
    rows: list[list[str]] = []
    for one in EXPECTATIONS:
        figures = kept(one.result)
        command = f"{BENCH}{one.result}" if one.command == BENCH else one.command
        if figures is not None:
            rows.append([one.what, one.figure(figures), f"`{command}`"])
    return table(["what", "seen", "measured by"], rows)
