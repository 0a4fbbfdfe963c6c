"""`make bench`: throughput, latency and memory beside the same rows by hand, history and time, as ratios in one run.

python -m benchmarks                     everything; a few minutes
python -m benchmarks throughput latency  only these
"""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import (
    alternatives,
    due,
    failing,
    history,
    latency,
    memory,
    monolith,
    postgres,
    postgres_latency,
    processes,
    relaying,
    report,
    ten_million,
    throughput,
)
from benchmarks.measure import Measured

RESULTS = Path(__file__).parent / "results"
REPORTED = ("peers", "monolith")
PARTS = ("throughput", "latency", "memory", "history", "due", "failing")
SERVER_PARTS = ("postgres", "push", "processes", "relay", "beside", "long", "peers", "monolith")
# What this version promises of itself, as ratios in one run.
BATCH_FLOOR = 0.8
PER_EVENT_FLOOR = 0.6
SQLALCHEMY_FLOOR = 2.5
LATENCY_CEILING = 1.5
POSTGRES_BATCH_FLOOR = 0.85
RELAY_FLOOR = 0.95
OUTBOX_MIB_CEILING = 5.0
BESIDE_AN_OPEN_TRANSACTION_CEILING = 2.0
PROCESSES_FLOOR = 1.8
LONG_FLOOR = 0.8
MEMORY_CEILING = 1.1
CATCH_UP_FLOOR = 0.8
BESIDE_A_REPLAY_CEILINGS = (1.1, 1.5)
PENDING_CEILING = 1.2
LATE_SECONDS_CEILING = 1.0
PEERS_FLOORS = (7.0, 2.5)
PEERS_BATCH_FLOOR = 80.0
MONOLITH_FLOOR = 5.0


def main() -> int:
    """Measure, show, and keep the figures in a file."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        default=[],
        help=f"of {', '.join(PARTS)}; with a server (make servers) also {', '.join(SERVER_PARTS)}",
    )
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = options.parts or PARTS
    if options.alone:
        print(json.dumps(memory.measure()))
        return 0
    machine = f"{platform.machine()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    print(f"{machine}, every commit durable (synchronous=FULL)")
    figures = {name: run() for name, run in _measuring().items() if name in chosen}
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "embedded.json"
    file.write_text(json.dumps(figures, indent=2))
    for name in REPORTED:
        if name in figures:
            report.keep(name, figures[name])
    print(f"\nkept in {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    return 0


def _measuring() -> dict[str, Callable[[], dict[str, object]]]:
    return {
        "throughput": _throughput,
        "latency": _latency,
        "memory": _memory,
        "history": _history,
        "due": _due,
        "failing": _failing,
        "postgres": _postgres,
        "push": _push,
        "processes": _processes,
        "relay": _relay,
        "beside": _beside,
        "long": _long,
        "peers": _peers,
        "monolith": _monolith,
    }


def _throughput() -> dict[str, object]:
    print(f"\nend to end, {throughput.EVENTS:,} events in units of {throughput.UNIT_EVENTS}, "
          f"medians of {throughput.ROUNDS} rounds")  # fmt: skip
    measured = {one.name: one for one in throughput.measure()}
    for one in measured.values():
        _show(one, "events/s")
    by_hand = measured["by hand, set-wise"].median
    singly = measured["by hand, SQLAlchemy, one transaction per event"].median
    ratios = {
        "batch handler / by hand": measured["batch handler"].median / by_hand,
        "per event, sqlite3 / by hand": measured["per event, sqlite3"].median / by_hand,
        "per event, SQLAlchemy / one transaction per event": measured["per event, SQLAlchemy"].median / singly,
    }
    for (name, ratio), floor in zip(ratios.items(), (BATCH_FLOOR, PER_EVENT_FLOOR, SQLALCHEMY_FLOOR), strict=True):
        _ratio(name, ratio, f"at least {floor}", good=ratio >= floor)
    return {"events per second": {name: one.values for name, one in measured.items()}, "ratios": ratios}


def _postgres() -> dict[str, object]:
    print(f"\nPostgreSQL: {postgres.EVENTS:,} committed events drained, medians of {postgres.ROUNDS} rounds")
    measured = {one.name: one for one in postgres.measure()}
    for one in measured.values():
        _show(one, "events/s")
    by_hand = measured["by hand, set-wise"].median
    singly = measured["by hand, SQLAlchemy, one transaction per event"].median
    ratios = {
        "batch handler / by hand": (measured["batch handler"].median / by_hand, POSTGRES_BATCH_FLOOR),
        "per event, SQLAlchemy / one transaction per event": (
            measured["per event, SQLAlchemy"].median / singly,
            SQLALCHEMY_FLOOR,
        ),
    }
    for name, (ratio, floor) in ratios.items():
        _ratio(name, ratio, f"at least {floor}", good=ratio >= floor)
    return {"events per second": {name: one.values for name, one in measured.items()}, "ratios": ratios}


def _peers() -> dict[str, object]:
    print(f"\nPostgreSQL: what others do with the same work item, events per second, {alternatives.ROUNDS} rounds")
    found = alternatives.measure()
    print(f"  {'':<40} {'drained':>8} {'(least to most)':>18} {'live':>8} {'(least to most)':>18}")
    for name, (drained, live) in found.items():
        print(f"  {name:<40} {_spread(drained)} {_spread(live) if live is not None else ''}")
    drained_by_peers, live_by_peers = alternatives.best(found)
    ours, ours_live = found[alternatives.OURS]
    batched, _ = found[alternatives.IN_BATCHES]
    assert ours_live is not None, "it was measured live too"
    ratios = {
        "per event over SQLAlchemy / best peer, drained": (ours.median / drained_by_peers, PEERS_FLOORS[0]),
        "per event over SQLAlchemy / best peer, live": (ours_live.median / live_by_peers, PEERS_FLOORS[1]),
        "batch handler / best peer, drained": (batched.median / drained_by_peers, PEERS_BATCH_FLOOR),
    }
    for name, (ratio, floor) in ratios.items():
        _ratio(name, ratio, f"at least {floor:g}", good=ratio >= floor)
    return {
        name: {"drained": drained.values, "live": live.values if live is not None else ()}
        for name, (drained, live) in found.items()
    }


def _spread(one: Measured) -> str:
    return f"{one.median:>8,.0f} {f'({min(one.values):,.0f} to {max(one.values):,.0f})':>18}"


def _monolith() -> dict[str, object]:
    print(f"\nPostgreSQL: purchases while a month is closed, {monolith.SECONDS:g} s each, medians of {monolith.ROUNDS}")
    found = monolith.measure()
    print(f"  {'':<28} {'purchases/s':>12} {'p50':>10} {'p99':>11} {'waiting for locks':>18} {'closed in':>10}")
    for name, one in found.items():
        print(
            f"  {name:<28} {one.per_second:>12,.0f} {one.p50_ms:>7.2f} ms {one.p99_ms:>8.2f} ms "
            f"{one.lock_waits:>16.1f} % {one.close_seconds:>8.1f} s"
        )
    ratio = found["monolith, closing"].p99_ms / found["partitioned, closing"].p99_ms
    _ratio("p99 while closing: monolith / partitioned", ratio, f"at least {MONOLITH_FLOOR:g}",
           good=ratio >= MONOLITH_FLOOR)  # fmt: skip
    return {name: one._asdict() for name, one in found.items()}


def _relay() -> dict[str, object]:
    print(f"\nPostgreSQL: the relay over {relaying.EVENTS:,} events")
    found = relaying.for_long()
    mib = found.outbox_bytes / 1024 / 1024
    print(f"  {found.per_second:,.0f} events/s")
    _ratio("MiB of outbox afterwards", mib, f"at most {OUTBOX_MIB_CEILING:g}", good=mib <= OUTBOX_MIB_CEILING)
    print(f"  plain inserts in the same minutes: last fifth / first {found.insert_last_to_first_fifth:.2f}")
    ratio = found.last_to_first_fifth
    _ratio("last fifth / first", ratio, f"at least {RELAY_FLOOR}", good=ratio >= RELAY_FLOOR)
    return found._asdict()


def _beside() -> dict[str, object]:
    print(f"\nPostgreSQL: from commit to log, units of {relaying.UNIT_EVENTS} events, {relaying.SECONDS:g} s each")
    found = relaying.undisturbed()
    for name, (middle, slow) in found.items():
        print(f"  {name:<48} p50 {middle:6.2f} ms   p99 {slow:6.2f} ms")
    alone, beside = found.values()
    ratio, ceiling = beside.p99 / alone.p99, BESIDE_AN_OPEN_TRANSACTION_CEILING
    _ratio("p99 beside an open transaction / alone", ratio, f"at most {ceiling:g}", good=ratio <= ceiling)
    return {name: one._asdict() for name, one in found.items()}


def _processes() -> dict[str, object]:
    print(f"\nPostgreSQL: {processes.EVENTS:,} events, SQLAlchemy handlers, medians of {processes.ROUNDS} rounds")
    measured = processes.measure()
    for one in measured:
        _show(one, "events/s")
    ratio = measured[1].median / measured[0].median
    _ratio("2 processes / 1", ratio, f"at least {PROCESSES_FLOOR}", good=ratio >= PROCESSES_FLOOR)
    return {one.name: one.values for one in measured}


def _long() -> dict[str, object]:
    print(f"\nPostgreSQL: {ten_million.EVENTS:,} events through one pair of components")
    print("       events   events/s   outbox &c   positions &c        log   dead rows   autovacuums   worker")
    tenths: list[ten_million.Tenth] = []
    for one in ten_million.measure():
        tenths.append(one)
        sales, finance, log = (one.mib[name] for name in ("sales", "finance", "log"))
        print(
            f"  {one.events:>11,} {one.per_second:>10,.0f} {sales:>7.1f} MiB {finance:>10.1f} MiB {log:>6.0f} MiB "
            f"{one.dead_rows:>11,} {one.autovacuums:>13,} {one.worker_mib:>4.0f} MiB",
            flush=True,
        )
    ratio = tenths[-1].per_second / tenths[0].per_second
    _ratio("last tenth / first", ratio, f"at least {LONG_FLOOR}", good=ratio >= LONG_FLOOR)
    return {str(one.events): one._asdict() for one in tenths}


def _push() -> dict[str, object]:
    print(f"\nPostgreSQL: commit to effect, idle, {latency.PURCHASES} purchases, medians of {postgres_latency.ROUNDS}")
    return _latencies(postgres_latency.measure())


def _latency() -> dict[str, object]:
    print(f"\ncommit to effect, idle, {latency.PURCHASES} purchases one at a time, medians of {latency.ROUNDS} rounds")
    return _latencies(latency.measure())


def _latencies(measured: Mapping[str, tuple[Measured, Measured]]) -> dict[str, object]:
    """By hand first, then with Preterite."""
    for name, (middle, slow) in measured.items():
        print(f"  {name:<48} p50 {middle.median:6.2f} ms   p99 {slow.median:6.2f} ms")
    by_hand, ours = (middle.median for middle, _ in measured.values())
    _ratio(
        "p50 with Preterite / by hand",
        ours / by_hand,
        f"at most {LATENCY_CEILING}",
        good=ours / by_hand <= LATENCY_CEILING,
    )
    return {name: {"p50 ms": middle.values, "p99 ms": slow.values} for name, (middle, slow) in measured.items()}


def _memory() -> dict[str, object]:
    """In a process of its own: what was measured before leaves its memory behind."""
    print("\nmemory of one process that publishes and handles, batch handler")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--alone"], stdout=subprocess.PIPE, text=True, check=True
    )
    marks = [memory.Mark(*mark) for mark in json.loads(done.stdout)]
    for mark in marks:
        print(f"  after {mark.events:>9,} events   {mark.now_mib:6.1f} MiB   at most {mark.peak_mib:6.1f} MiB")
    ratio = marks[-1].now_mib / marks[0].now_mib
    _ratio("last / first", ratio, f"at most {MEMORY_CEILING}", good=ratio <= MEMORY_CEILING)
    return {str(mark.events): mark.now_mib for mark in marks}


def _history() -> dict[str, object]:
    print(f"\ncatching up with {history.EVENTS:,} events while nothing else runs, medians of {history.ROUNDS} rounds")
    measured = history.catch_up()
    for one in measured:
        _show(one, "events/s")
    for one in measured[1:]:
        ratio = one.median / measured[0].median
        _ratio(f"{one.name} / end to end", ratio, f"at least {CATCH_UP_FLOOR}", good=ratio >= CATCH_UP_FLOOR)
    print(f"\ncommit to effect of live purchases, beside a throttled replay, medians of {history.ROUNDS} rounds")
    live = history.latency()
    for name, (middle, slow) in live.items():
        print(f"  {name:<48} p50 {middle.median:6.2f} ms   p99 {slow.median:6.2f} ms")
    alone, beside = live.values()
    for index, (what, ceiling) in enumerate(zip(("p50", "p99"), BESIDE_A_REPLAY_CEILINGS, strict=True)):
        ratio = beside[index].median / alone[index].median
        _ratio(f"{what} beside a replay / without", ratio, f"at most {ceiling}", good=ratio <= ceiling)
    return {
        "events per second": {one.name: one.values for one in measured},
        "live": {name: {"p50 ms": middle.values, "p99 ms": slow.values} for name, (middle, slow) in live.items()},
    }


def _due() -> dict[str, object]:
    print(f"\nto find the {due.DUE} commands that are due, medians of {due.ROUNDS} rounds of {due.QUERIES} times")
    measured = due.query()
    for one in measured:
        _show(one, "µs")
    ratio = measured[1].median / measured[0].median
    _ratio("many / few", ratio, f"at most {PENDING_CEILING}", good=ratio <= PENDING_CEILING)
    late = due.lateness()
    print(f"\n{due.COMMANDS} commands due while {late.events_per_second:,.0f} events a second come in")
    print(f"  late p50 {late.p50 * 1000:.1f} ms   p99 {late.p99 * 1000:.1f} ms   most {late.most * 1000:.1f} ms")
    good = late.early == 0 and late.most < LATE_SECONDS_CEILING
    print(f"  {late.early} early; later than {LATE_SECONDS_CEILING:g} s: {'none' if good else 'SOME'}")
    return {"microseconds": {one.name: one.values for one in measured}, "late seconds": late._asdict()}


def _failing() -> dict[str, object]:
    print(f"\ncommit to effect of other customers' purchases, medians of {failing.ROUNDS} rounds")
    live = failing.measure()
    for name, (middle, slow) in live.items():
        print(f"  {name:<48} p50 {middle.median:6.2f} ms   p99 {slow.median:6.2f} ms")
    alone, beside = live.values()
    for index, what in enumerate(("p50", "p99")):
        print(
            f"  {f'ratio: {what} with a dead letter / without':<58} {beside[index].median / alone[index].median:5.2f}"
        )
    return {name: {"p50 ms": middle.values, "p99 ms": slow.values} for name, (middle, slow) in live.items()}


def _show(one: Measured, unit: str) -> None:
    print(f"  {one.name:<48} {one.median:10,.0f} {unit}   ({min(one.values):,.0f} to {max(one.values):,.0f})")


def _ratio(name: str, ratio: float, wanted: str, *, good: bool) -> None:
    print(f"  {'ratio: ' + name:<58} {ratio:5.2f}   {wanted}: {'yes' if good else 'NO'}")


if __name__ == "__main__":
    sys.exit(main())
