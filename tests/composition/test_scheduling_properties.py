"""What holds for every page, whatever its parts take: played by the rules of an execution, in time that only counts."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some
from support.paper_shop import BookId, names

from preterite.composition import Page, PartResult, State
from preterite.composition.pages import plan
from preterite.composition.scheduling import (
    Done,
    ExecutionState,
    FallBack,
    LeaveInline,
    Outcome,
    PartProgress,
    Source,
    Start,
    must_look_earlier,
    next_action,
)

BOOK = BookId(UUID(int=1))
FOUND = PartResult({}, {BookId: frozenset({BOOK})})
OVERLAP, FULL = 10.0, 5.0


@dataclass(frozen=True)
class Drawn:
    """One part: which of the parts before it provide its identifiers, how long it may take, and how long it takes."""

    sources: frozenset[int]
    seconds: float
    takes: float


@dataclass
class Played:
    """An execution from its beginning to its end: one event loop, and threads that call one part after another."""

    drawn: tuple[Drawn, ...]
    places: int
    inline: bool
    began: dict[str, float] = field(default_factory=dict[str, float])
    """When each part was called."""
    looks: int = 0
    now: float = 0.0

    def __post_init__(self) -> None:
        self.state = ExecutionState(
            {
                step.part.slot: PartProgress(step, step.part.seconds or 0.0)
                for wave in plan(page_of(self.drawn))
                for step in wave
            },
            {Source("book", BookId): frozenset({BOOK})},
            0.0,
            OVERLAP,
            inline=self.inline,
        )
        self._running: list[tuple[float, str]] = []
        self._looks_next = self._look()
        while self._looks_next is not None:
            ends = self._running[0][0] if self._running else self._looks_next
            self.now = min(ends, self._looks_next)
            if ends <= self._looks_next and self._running:
                self._end(heapq.heappop(self._running)[1])
            else:
                self._looks_next = self._look()

    def finished(self, slot: str) -> tuple[State, float]:
        """How a part ended, and when."""
        progress = self.state.parts[slot]
        assert progress.outcome is not None
        assert progress.finished_at is not None
        return progress.outcome.state, progress.finished_at

    def ready(self, slot: str) -> float:
        """When the last source of a part had ended."""
        sources = self.drawn[int(slot[1:])].sources
        return max((self.finished(f"p{source}")[1] for source in sources), default=0.0)

    def _look(self) -> float | None:
        """The event loop does what is decided, and returns when it looks again; nothing at the end."""
        self.looks += 1
        while isinstance(action := self._act(), Start):
            pass
        if isinstance(action, Done):
            return None
        assert action.until > self.now, "it would look without a pause"
        self.state.looks_at = action.until
        return action.until

    def _end(self, slot: str) -> None:
        """A part has ended; its thread calls the next one, or lets the event loop look."""
        if self.state.finish(slot, Outcome(State.FILLED, FOUND), self.now) and not isinstance(self._act(), Start):
            self._looks_next = self._look()

    def _act(self) -> Any:
        while True:
            action = next_action(self.state, self.now)
            if isinstance(action, FallBack):
                for slot, state in action.slots.items():
                    self.state.finish(slot, Outcome(state, PartResult({})), self.now)
            elif isinstance(action, LeaveInline):
                self.state.inline = False
            elif not isinstance(action, Start):
                return action
            elif len(self._running) < self.places:
                self._call(action.part.slot)
                return action
            else:
                self.state.full_until[action.part.component.name] = self.now + FULL

    def _call(self, slot: str) -> None:
        assert slot not in self.began, "no part is called twice"
        self.began[slot] = self.now
        self.state.start(slot, self.now)
        heapq.heappush(self._running, (self.now + self.drawn[int(slot[1:])].takes, slot))
        if must_look_earlier(self.state, slot, self.now):
            self._looks_next = self.now


def page_of(drawn: tuple[Drawn, ...]) -> Page:
    """A page with these parts, each of which provides what the next ones may need."""
    parts = [
        replace(
            names,
            slot=f"p{number}",
            provides=(BookId,),
            seconds=one.seconds,
            sources=("book", *(f"p{source}" for source in one.sources)),
        )
        for number, one in enumerate(drawn)
    ]
    return Page("drawn", takes={"book": BookId}, parts=parts)


@some.composite
def pages(draw: Any) -> tuple[Drawn, ...]:
    """Up to seven parts, in any order of dependence: chains, diamonds, and parts that stand alone."""
    moments = some.integers(1, 60).map(lambda number: number * 5.0)
    return tuple(
        Drawn(
            draw(some.frozensets(some.integers(0, number - 1), max_size=3)) if number else frozenset(),
            draw(moments),
            draw(some.one_of(some.sampled_from([0.0, 1.0, 9.0, 10.0, 1000.0]), moments)),
        )
        for number in range(draw(some.integers(1, 7)))
    )


def longest_chain(drawn: tuple[Drawn, ...], seconds: Mapping[int, float]) -> float:
    """The largest sum of these along parts that depend on each other."""
    ends: dict[int, float] = {}
    for number, one in enumerate(drawn):
        ends[number] = max((ends[source] for source in one.sources), default=0.0) + seconds[number]
    return max(ends.values())


@given(pages(), some.integers(1, 7), some.booleans())
def test_a_part_is_late_exactly_when_its_time_is_over_and_never_for_another_reason(
    drawn: tuple[Drawn, ...], places: int, inline: bool
) -> None:
    played = Played(drawn, places, inline)

    for number, one in enumerate(drawn):
        slot = f"p{number}"
        began = played.began.get(slot)
        if began is not None and one.takes == one.seconds:
            # Either is right where both are in the same moment.
            assert played.finished(slot) in {(state, began + one.takes) for state in (State.FILLED, State.LATE)}
        elif began is not None and one.takes < one.seconds:
            assert played.finished(slot) == (State.FILLED, began + one.takes)
        else:
            counts_from = played.ready(slot) if began is None else began
            assert played.finished(slot) == (State.LATE, counts_from + one.seconds)


@given(pages(), some.booleans())
def test_a_part_waits_for_each_other_part_no_longer_than_the_overlap(drawn: tuple[Drawn, ...], inline: bool) -> None:
    played = Played(drawn, len(drawn), inline)

    for slot, began in played.began.items():
        assert began - played.ready(slot) <= OVERLAP * (len(drawn) - 1)


@given(pages(), some.integers(1, 7), some.booleans())
def test_a_page_ends_within_the_longest_chain_of_deadlines_and_of_waits_for_them(
    drawn: tuple[Drawn, ...], places: int, inline: bool
) -> None:
    """A part that waits for a place may begin as late as at the end of its time, which then counts from there."""
    played = Played(drawn, places, inline)
    free = Played(drawn, len(drawn), inline)
    waits = OVERLAP * (len(drawn) - 1)

    assert played.now <= longest_chain(drawn, {number: 2 * one.seconds for number, one in enumerate(drawn)})
    assert free.now <= longest_chain(drawn, {number: one.seconds + waits for number, one in enumerate(drawn)})


@given(pages(), some.booleans())
def test_the_event_loop_looks_a_few_times_for_each_part_however_long_they_take(
    drawn: tuple[Drawn, ...], inline: bool
) -> None:
    assert Played(drawn, len(drawn), inline).looks <= 4 * len(drawn) + 2


@pytest.mark.parametrize("slow_first", [False, True])
def test_a_slow_part_does_not_make_a_fast_one_late_that_became_ready_with_it(slow_first: bool) -> None:
    source, slow, fast = (
        Drawn(frozenset(), 300.0, 50.0),
        Drawn(frozenset({0}), 2000.0, 1900.0),
        Drawn(frozenset({0}), 250.0, 1.0),
    )
    played = Played((source, slow, fast) if slow_first else (source, fast, slow), 7, inline=False)

    assert played.finished("p2" if slow_first else "p1") == (State.FILLED, 61.0 if slow_first else 51.0)
