"""Figures as tables: the same on the terminal and, as Markdown, in the documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

Figures = Mapping[str, Any]
MIB = 1024 * 1024


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Columns that line up; the first to the left, the others to the right."""
    rows = [list(head), *(list(line) for line in lines)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]

    def one(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    ruler = [f":{'-' * (width - 1)}" if place == 0 else f"{'-' * (width - 1)}:" for place, width in enumerate(widths)]
    return "\n".join([one(rows[0]), f"| {' | '.join(ruler)} |", *map(one, rows[1:])]) + "\n"


def rates(figures: Figures, unit: str = "events per second") -> str:
    """A line for each way: the median, how far it spreads, how it compares with the first."""
    first = median(next(iter(figures.values())))
    lines = [[name, *spread(values), f"{median(values) / first:.2f}"] for name, values in figures.items()]
    return table([f"{unit}, medians", "", "least to most", "of the first"], lines)


def seconds(figures: Figures) -> str:
    """A line for each way: how long it took."""
    lines = [
        [name, f"{median(values):.2f} s", f"{min(values):.2f} to {max(values):.2f} s"]
        for name, values in figures.items()
    ]
    return table(["medians", "", "least to most"], lines)


def milliseconds(figures: Figures) -> str:
    """A line for each: how long it took."""
    lines = [
        [name, f"{median(values):.1f} ms", f"{min(values):.1f} to {max(values):.1f} ms"]
        for name, values in figures.items()
    ]
    return table(["medians", "", "least to most"], lines)


def end_to_end_and_drained(figures: Figures) -> str:
    """A line for each way: from the first purchase, and from the last."""
    lines = [[name, *spread(one["end to end"]), *spread(one["drained"])] for name, one in figures.items()]
    head = ["events per second, medians", "end to end", "least to most", "drained", "least to most"]
    return table(head, lines)


def latencies(figures: Figures) -> str:
    """A line for each way: the middle and the slow end."""
    lines = [
        [name, *(f"{median(one[f'{what} ms']):,.2f} ms" for what in ("p50", "p99"))] for name, one in figures.items()
    ]
    return table(["commit to effect, medians of each round's", "p50", "p99"], lines)


def loaded(figures: Figures) -> str:
    """A line for each store: at which rate, and how long bills took."""
    lines = [
        [
            name,
            f"{median(one['purchases per second']):,.0f}",
            *(f"{median(one[f'{what} ms']):,.1f} ms" for what in ("p50", "p99")),
        ]
        for name, one in figures.items()
    ]
    return table(["store and log", "purchases per second", "p50", "p99"], lines)


def pages(figures: Figures) -> str:
    """How long views take, by how many come in a second, while purchases go on; and beside a page that does nothing."""
    head = ["pages", "views/s", "purchases/s", "p50 ms", "p99 ms", "from to", "beside nothing"]
    nothing = [median(next(iter(figures.values()))[what]) for what in ("p50 ms", "p99 ms")]
    rows: list[list[str]] = []
    for name, one in figures.items():
        views, purchases, p50 = (median(one[what]) for what in ("views per second", "purchases per second", "p50 ms"))
        middle, between = spread(one["p99 ms"])
        ratios = f"{p50 / nothing[0]:.1f}, {median(one['p99 ms']) / nothing[1]:.1f} ×"
        rows.append([name, f"{views:.0f}", f"{purchases:.1f}", f"{p50:.1f}", middle, between, ratios])
    return table(head, rows)


def grid(figures: Figures) -> str:
    """A line for each store and log: hand-written, and each handler with one process and two, beside it."""
    ways = ("hand-written", "batch handler", "batch handler, 2 processes", "per event", "per event, 2 processes")
    lines: list[list[str]] = []
    for place in dict.fromkeys(name.partition(": ")[0] for name in figures):
        medians = [median(figures[f"{place}: {way}"]) for way in ways]
        lines.append([place, f"{medians[0]:,.0f}", *(f"{one:,.0f} ({one / medians[0]:.2f})" for one in medians[1:])])
    head = [
        "events per second, drained (of hand-written)",
        "hand-written",
        "batch",
        "2 processes",
        "per event",
        "2 processes",
    ]
    return table(head, lines)


def peers(figures: Figures) -> str:
    """A line for each package: drained and live, with the spread."""
    lines = [[name, *spread(one["drained"]), *spread(one["live"])] for name, one in figures.items()]
    return table(["events per second, medians", "drained", "least to most", "live", "least to most"], lines)


def monolith(figures: Figures) -> str:
    """A line for each way."""
    lines = [
        [
            name,
            f"{one['per_second']:.0f}/s",
            f"{one['p50_ms']:.1f} ms",
            f"{one['p99_ms']:,.0f} ms",
            f"{one['lock_waits']:.0f} %",
            f"{one['close_seconds']:.1f} s" if one["close_seconds"] else "",
        ]
        for name, one in figures.items()
    ]
    head = ["200 purchases a second wanted", "made", "p50", "p99", "of their time waiting for locks", "month closed in"]
    return table(head, lines)


def memory(figures: Figures) -> str:
    """A line for each number of events."""
    lines = [[f"after {int(events):,} events", f"{mib:.1f} MiB"] for events, mib in figures.items()]
    return table(["one process that publishes and handles", "memory"], lines)


def due(figures: Figures) -> str:
    """What it costs to see what is due, and how late it comes."""
    late = figures["late seconds"]
    lines = [
        [f"to find 100 that are due, {name}", f"{median(values):.0f} µs"]
        for name, values in figures["microseconds"].items()
    ]
    load = f"late, while {late['events_per_second']:,.0f} events a second come in"
    lines.append([load, f"p50 {late['p50'] * 1000:.0f} ms, p99 {late['p99'] * 1000:.0f} ms"])
    lines.append(["early", str(late["early"])])
    return table(["commands", ""], lines)


def relay(figures: Figures) -> str:
    """What the relay did over a long time."""
    lines = [
        ["events per second", f"{figures['per_second']:,.0f}"],
        ["its last fifth, of its first", f"{figures['last_to_first_fifth']:.2f}"],
        [
            "plain inserts in the same minutes: the last fifth, of the first",
            f"{figures['insert_last_to_first_fifth']:.2f}",
        ],
        ["outbox afterwards", f"{figures['outbox_bytes'] / MIB:.1f} MiB"],
    ]
    return table(["the relay alone, over a million events", ""], lines)


def beside(figures: Figures) -> str:
    """From commit to log."""
    lines = [[name, f"{one['p50']:.2f} ms", f"{one['p99']:.2f} ms"] for name, one in figures.items()]
    return table(["from commit to log, units of 20 events, 30 s each", "p50", "p99"], lines)


def long(figures: Figures) -> str:
    """A line for each tenth."""
    lines = [
        [
            f"{one['events']:,}",
            f"{one['per_second']:,.0f}",
            *(f"{one['mib'][name]:,.1f} MiB" for name in ("sales", "finance", "log")),
            f"{one['worker_mib']:.0f} MiB",
        ]
        for one in figures.values()
    ]
    head = ["events", "per second", "outbox and its neighbours", "cursors, leases", "log, of one minute", "worker"]
    return table(head, lines)


def crash(figures: Figures) -> str:
    """A line for each flow."""
    lines = [
        [flow, f"{one['kills']:,}", f"{one['power losses']:,}", str(one["broken"])] for flow, one in figures.items()
    ]
    return table(["flow", "killed", "power lost", "promises broken"], lines)


def mutants(figures: Sequence[Mapping[str, Any]]) -> str:
    """A line for each fault."""
    lines = [[one["what"], one["rule"], ", ".join(one["noticed by"]) or "none"] for one in figures]
    return table(["fault put into the core", "rule or trap", "noticed by"], lines)


def spread(values: Sequence[float]) -> tuple[str, str]:
    """The median, and the range; nothing of what was not measured."""
    if not values:
        return "", ""
    return f"{median(values):,.0f}", f"{min(values):,.0f} to {max(values):,.0f}"


def storm(figures: Figures) -> str:
    """A line for each kind of fault: how long it was until a purchase made after it had its effects; then the books."""
    names = {"kill": "worker killed", "pause": "worker paused beyond its lease", "crash": "PostgreSQL crashed",
             "cut": "connection cut", "all": "all"}  # fmt: skip
    recovered = figures["recovery_seconds"]
    lines = [
        [called, str(recovered[name]["count"]), *(f"{recovered[name][what]:.1f} s" for what in ("p50", "p99", "max"))]
        for name, called in names.items()
    ]
    books = {"purchases": "purchases", "lost": "lost", "doubled": "doubled",
             "out_of_order": "out of their customer's order", "set_aside": "set aside"}  # fmt: skip
    recovery = table(["fault", "times", "recovered, p50", "p99", "at most"], lines)
    said = table(["what the books say", ""], [[called, f"{figures[name]:,}"] for name, called in books.items()])
    return f"{recovery}\n{said}"


def restores(figures: Figures) -> str:
    """A column for each store: who was put back how often, how long it took, and what the books say."""
    stores = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
    done = [figures[store] for store in stores]
    lines = [[f"put back: {who}", *(str(one["restores"][who]) for one in done)] for who in done[0]["restores"]]
    lines.append(["of these with a handler renamed in between", *(str(one["renamed_in_between"]) for one in done)])
    for what, called in (("p50", "shipped again, p50"), ("max", "at most")):
        lines.append([called, *(f"{one['recovery_seconds'][what]:.0f} s" for one in done)])
    books = {"purchases": "purchases", "taken_back": "taken back with the row by a restore", "lost": "lost otherwise",
             "doubled": "doubled", "published_twice": "published twice",
             "out_of_order": "out of their customer's order", "set_aside": "set aside"}  # fmt: skip
    lines += [[called, *(f"{one['books'][name]:,}" for one in done)] for name, called in books.items()]
    return table(["restores under load", *stores.values()], lines)


def worlds(figures: Figures) -> str:
    """What came of all simulated worlds that were kept."""
    lines = [
        ["worlds", f"{figures['worlds']:,}"],
        ["events", f"{figures['events']:,}"],
        ["faults", f"{sum(figures['faults'].values()):,}"],
        ["worlds that broke a promise", str(len(figures["broken"]))],
    ]
    return table(["simulated", ""], lines)
