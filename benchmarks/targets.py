"""What is wanted of the figures: ratios in one run on two cores, so that other machines can be held to them too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NamedTuple

from benchmarks import alternatives, deadline, late, pages
from benchmarks.tables import table

Figures = Mapping[str, Any]
_SET_WISE = "hand-written, set-wise"
_SINGLY = "hand-written, SQLAlchemy, one transaction per event"


class Target(NamedTuple):
    """A ratio, and what it should be."""

    part: str
    what: str
    wanted: float
    seen: Callable[[Figures], float]
    at_most: bool = False

    def is_met(self, figures: Figures) -> bool:
        """Whether it is as wanted."""
        seen = self.seen(figures)
        return seen <= self.wanted if self.at_most else seen >= self.wanted


def _rate(over: str, under: str) -> Callable[[Figures], float]:
    return lambda figures: median(figures[over]) / median(figures[under])


def _drained(over: str, under: str) -> Callable[[Figures], float]:
    return lambda figures: median(figures[over]["drained"]) / median(figures[under]["drained"])


def _p(what: str) -> Callable[[Figures], float]:
    """The second way beside the first."""

    def ratio(figures: Figures) -> float:
        first, second = (median(one[f"{what} ms"]) for one in figures.values())
        return second / first

    return ratio


def _beside_the_best(ours: str, what: str) -> Callable[[Figures], float]:
    def ratio(figures: Figures) -> float:
        best = max(median(figures[name][what]) for name in alternatives.PEERS)
        return median(figures[ours][what]) / best

    return ratio


def _last_beside_first(values: Callable[[Any], float] = float) -> Callable[[Figures], float]:
    def ratio(figures: Figures) -> float:
        every = [values(one) for one in figures.values()]
        return every[-1] / every[0]

    return ratio


def _while_closing(figures: Figures) -> float:
    return figures["monolith, closing"]["p99_ms"] / figures["partitioned, closing"]["p99_ms"]


def _cost_when_grown(figures: Figures) -> float:
    return 1 / _last_beside_first(median)(figures)


def _finding_what_is_due(figures: Figures) -> float:
    return _last_beside_first(median)(figures["microseconds"])


def _beyond_the_deadline(figures: Figures) -> float:
    return median(figures[deadline.BEYOND])


def _p99_of_pages(way: str) -> Callable[[Figures], float]:
    return lambda figures: median(figures[way]["p99 ms"])


def _last_fifth(figures: Figures) -> float:
    return figures["last_to_first_fifth"]


TARGETS = (
    Target("throughput", "batch handler / hand-written, drained, files", 0.9, _drained("batch handler", _SET_WISE)),
    Target("postgres", "batch handler / hand-written, drained, PostgreSQL", 0.9, _rate("batch handler", _SET_WISE)),
    Target(
        "throughput", "per event on the plain driver / hand-written, drained, files", 0.8,
        _drained("per event, sqlite3", _SET_WISE),
    ),
    Target(
        "throughput", "per event over SQLAlchemy / one transaction per event, files", 5.0,
        _drained("per event, SQLAlchemy", _SINGLY),
    ),
    Target(
        "postgres", "per event over SQLAlchemy / one transaction per event, PostgreSQL", 5.0,
        _rate("per event, SQLAlchemy", _SINGLY),
    ),
    Target(
        "postgres", "per event over SQLAlchemy / that handler alone in one transaction per batch", 0.8,
        _rate("per event, SQLAlchemy", "the handler over SQLAlchemy alone"),
    ),
    Target(
        "alternatives", "per event over SQLAlchemy / best other package, drained", 7.0,
        _beside_the_best(alternatives.OURS, "drained"),
    ),
    Target(
        "alternatives", "per event over SQLAlchemy / best other package, live", 2.5,
        _beside_the_best(alternatives.OURS, "live"),
    ),
    Target(
        "alternatives", "batch handler / best other package, drained", 80.0,
        _beside_the_best(alternatives.IN_BATCHES, "drained"),
    ),
    Target("latency", "idle p50, commit to effect / best hand-written push, files", 1.3, _p("p50"), at_most=True),
    Target(
        "postgres_latency", "idle p50, commit to effect / best hand-written push, PostgreSQL", 1.3,
        _p("p50"), at_most=True,
    ),
    Target(
        "monolith", "p99 of a purchase while the month closes: monolith / partitioned", 5.0,
        _while_closing,
    ),
    Target("late", "catch-up of a late subscriber / batch handler, a million events", 0.9, _rate(late.LATE, late.LIVE)),
    Target(
        "growth", "cost of an event with 10⁷ in the log / with 10⁴", 1.1,
        _cost_when_grown, at_most=True,
    ),
    Target(
        "pages", "p99 ms of a page, 200 views a second, two processes, all components in one", 100.0,
        _p99_of_pages(pages.SHOP_BY_TWO), at_most=True,
    ),
    Target(
        "pages", "the same, one process for both", 100.0,
        _p99_of_pages(f"{pages.SHOP}, {pages.VIEWS_PER_SECOND} a second"), at_most=True,
    ),
    Target("deadline", "ms of a page beyond the deadline of a part that never answers", 50.0,
           _beyond_the_deadline, at_most=True),
    Target("processes", "handlers over SQLAlchemy, 2 processes / 1", 1.9, _rate("2 processes", "1 process")),
    Target("memory", "memory after the last event / after 10,000", 1.1, _last_beside_first(), at_most=True),
    Target("history.live", "p50 of live purchases beside a replay / without", 1.1, _p("p50"), at_most=True),
    Target("history.live", "p99 of live purchases beside a replay / without", 1.5, _p("p99"), at_most=True),
    Target(
        "due", "finding what is due, a million pending / a thousand", 1.2,
        _finding_what_is_due, at_most=True,
    ),
    Target("relaying.for_long", "the relay's last fifth / first, a million events", 0.95, _last_fifth),
    Target("relaying.undisturbed", "p99 to the log beside an open transaction / alone", 2.0,
           _last_beside_first(lambda one: one["p99"]), at_most=True),
    Target("ten_million", "last million of ten / first", 0.8, _last_beside_first(lambda one: one["per_second"])),
)  # fmt: skip


def lines(part: str, figures: Figures) -> list[str]:
    """The ratios of one part, for the terminal."""
    return [
        f"  {one.what:<76} {one.seen(figures):7.2f}   {_bound(one)}: {'yes' if one.is_met(figures) else 'NO'}"
        for one in TARGETS
        if one.part == part
    ]


def targets_table(kept: Callable[[str], Figures | None]) -> str:
    """Every ratio whose figures are kept, beside what is wanted."""
    rows: list[list[str]] = []
    for one in TARGETS:
        figures = kept(one.part)
        if figures is not None:
            rows.append([one.what, _bound(one), f"{one.seen(figures):.2f}", "yes" if one.is_met(figures) else "no"])
    return table(["ratio", "wanted", "seen", "met"], rows)


def _bound(one: Target) -> str:
    return f"at {'most' if one.at_most else 'least'} {one.wanted:g}"
