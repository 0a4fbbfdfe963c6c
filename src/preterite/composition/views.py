"""One view of a page: its parts are asked one after the other as long as each answers at once, else side by side.

A thread takes whatever part is ready, which is once all those have answered from which it gets identifiers. Handing
over between threads costs more than most parts take; so another thread helps only where one part keeps the others
waiting. Whatever has not answered in its time is late, and the view goes on without it.

Where parts compute in this process, the event loop stands still for a moment until they have: threads of one
interpreter that all compute hinder each other, so that views side by side take longer than one after the other.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol

from preterite.composition.desks import Desk
from preterite.composition.pages import Step
from preterite.composition.parts import Ask, Filled, NotThere, Part, Slice
from preterite.composition.slots import State
from preterite.errors import UsageError

HELP_SECONDS = 0.01
"""So long after a part has begun another thread helps with those that are ready."""
PATIENCE_SECONDS = 0.03
"""The same where parts compute in this process; so long the event loop stands still for one of them, too."""
NO_PLACE_SECONDS = 0.005
"""So long a view waits before it asks again a component that had no place for it."""
HURRY_SECONDS = 0.25
"""So long the loop does not stand still for a page for which it has in vain."""


class Answer(NamedTuple):
    """What came of one part."""

    state: State
    slice: Slice
    milliseconds: float = 0.0


class Given(NamedTuple):
    """Where identifiers come from, and of which kind they are."""

    source: str
    kind: Any


@dataclass
class _Asked:
    """One part of the view, from when it is ready to its answer."""

    step: Step
    seconds: float
    ready_at: float | None = None
    began_at: float | None = None
    answer: Answer | None = None

    def is_late(self, now: float) -> bool:
        since = self.began_at if self.began_at is not None else self.ready_at
        return since is not None and now - since >= self.seconds


class Patience:
    """Whether the event loop stands still for the views of a page: not where it has just been in vain."""

    def __init__(self, *, stands_still: bool) -> None:
        self.seconds = PATIENCE_SECONDS if stands_still else HELP_SECONDS
        """How long one part may keep the others waiting before another thread helps."""
        self._lost_until = 0.0 if stands_still else float("inf")

    def lasts(self, now: float) -> bool:
        """Whether the loop may stand still."""
        return now >= self._lost_until

    def lose(self, now: float) -> None:
        """It has stood still in vain."""
        self._lost_until = max(self._lost_until, now + HURRY_SECONDS)


class House(Protocol):
    """What all views of a composer share."""

    stopped: set[str]

    @property
    def desks(self) -> Mapping[str, Desk]:
        """Where the parts of each component are asked."""
        ...

    def monotonic(self) -> float:
        """The machine's time."""
        ...

    def seconds_of(self, part: Part) -> float:
        """How long a part may take."""
        ...

    def in_a_thread(self, work: Callable[[], None]) -> None:
        """Run this in one of the threads."""
        ...

    def note(self, part: Part, state: State, error: BaseException | None = None) -> None:
        """What became of a part, for the log."""
        ...


class View:
    """Asks the parts of a page, each once. Used once, on an event loop."""

    def __init__(
        self,
        house: House,
        steps: Sequence[Step],
        given: Mapping[Given, frozenset[Any]],
        ask: Ask,
        patience: Patience,
    ) -> None:
        self._house = house
        self._patience = patience
        self._last_began_at = house.monotonic()
        """When a part was last begun: as long as one answers soon after the other, nobody is sent to help."""
        self._is_patient = patience.lasts(self._last_began_at)
        self._ask = ask
        self._given = dict(given)
        self._asked = {step.part.slot: _Asked(step, house.seconds_of(step.part)) for step in steps}
        self._lock = threading.Lock()
        self._working = 0
        self._no_place_until = 0.0
        self._stops: SimpleQueue[None] = SimpleQueue()
        """One for each that has stopped working while the loop stood still."""
        self._over = False

    async def answers(self) -> dict[str, Answer]:
        """What came of each part, by slot; raises nothing for one that fails."""
        self._loop, self._stopped_working = asyncio.get_running_loop(), asyncio.Event()
        try:
            while (seconds := self._look()) is not None:
                if not self._stands_still(seconds):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._stopped_working.wait(), seconds)
                    self._stopped_working.clear()
        finally:
            self._over = True
        return {slot: asked.answer for slot, asked in self._asked.items() if asked.answer is not None}

    def _stands_still(self, seconds: float) -> bool:
        """Whether the loop has stood still, until the next look or until somebody stopped working."""
        if not self._is_patient:
            return False
        with suppress(Empty):
            self._stops.get(timeout=seconds)
        return True

    def _look(self) -> float | None:
        """Give up what is late, send help where it is needed. How long until the next look; nothing at the end."""
        now = self._house.monotonic()
        with self._lock:
            self._give_up_late(now)
            waiting = any(True for _ in self._ready(now))
            open_ones = [asked for asked in self._asked.values() if asked.answer is None]
            if not open_ones:
                return None
            helped_in = self._last_began_at + self._patience.seconds - now
            began = sum(asked.began_at is not None for asked in open_ones)
            # Threads that have begun nothing wait for a place; more of them would not help.
            may_begin = not self._working or (helped_in <= 0 and self._working == began)
            if waiting and may_begin and now >= self._no_place_until:
                self._working += 1
                self._house.in_a_thread(self._work)
            if helped_in <= 0 and self._is_patient:
                # From now on whoever stops working wakes the loop.
                self._is_patient = False
                self._patience.lose(now)
            ends = [(asked.began_at or asked.ready_at or now) + asked.seconds - now for asked in open_ones]
            if waiting or self._is_patient:
                ends += [helped_in if helped_in > 0 else self._patience.seconds]
            if waiting and now < self._no_place_until:
                ends += [self._no_place_until - now]
            return max(min(ends), 0.0)

    def _give_up_late(self, now: float) -> None:
        for asked in self._asked.values():
            if asked.answer is None and asked.is_late(now):
                self._house.note(asked.step.part, State.LATE)
                self._keep(asked, Answer(State.LATE, Slice({}), asked.seconds * 1000))
                # Whoever asks it still works for this view no more.
                self._working -= asked.began_at is not None

    def _work(self) -> None:
        """Ask whatever is ready, until nothing is, or nothing that has a place; then let the view look again."""
        while (taken := self._take()) is not None:
            asked, arguments = taken
            answer = self._answer(asked.step.part, arguments)
            with self._lock:
                if asked.answer is not None:
                    return
                self._keep(asked, answer)
        with self._lock:
            if self._is_patient:
                self._stops.put(None)
                return
        # Where the loop is closed already, nobody waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopped_working.set)

    def _take(self) -> tuple[_Asked, dict[str, Any]] | None:
        """A part that is ready, and for which its component has a place; nothing if there is none just now."""
        now = self._house.monotonic()
        with self._lock:
            for asked, identifiers in () if self._over else self._ready(now):
                if self._house.desks[asked.step.part.component.name].enter():
                    asked.began_at = self._last_began_at = now
                    filled = asked.step.part.filled.items()
                    return asked, {**identifiers, **{name: self._ask for name, what in filled if what is Filled.ASK}}
                self._no_place_until = now + NO_PLACE_SECONDS
            self._working -= 1
            return None

    def _ready(self, now: float) -> Iterator[tuple[_Asked, dict[str, frozenset[Any]]]]:
        """What can be asked now, and with what; what need not be asked at all has its answer at once."""
        for asked in self._asked.values():
            if asked.answer is not None or asked.began_at is not None or not self._is_ready(asked.step):
                continue
            asked.ready_at = asked.ready_at or now
            if asked.step.part.component.name in self._house.stopped:
                self._keep(asked, Answer(State.STOPPED, Slice({})))
                continue
            identifiers = self._identifiers(asked.step)
            if identifiers and not any(identifiers.values()):
                self._keep(asked, Answer(State.UNASKED, Slice({})))
            else:
                yield asked, identifiers

    def _is_ready(self, step: Step) -> bool:
        return all(source not in self._asked or self._asked[source].answer is not None for source in step.asks)

    def _keep(self, asked: _Asked, answer: Answer) -> None:
        asked.answer = answer
        for kind, found in answer.slice.gives.items():
            self._given[Given(asked.step.part.slot, kind)] = frozenset(found)

    def _identifiers(self, step: Step) -> dict[str, frozenset[Any]]:
        nothing = frozenset[Any]()
        return {
            name: nothing.union(*(self._given.get(Given(one, step.part.needs[name]), nothing) for one in sources))
            for name, sources in step.sources.items()
        }

    def _answer(self, part: Part, arguments: Mapping[str, Any]) -> Answer:
        began = self._house.monotonic()
        state, answer = State.FILLED, Slice({})
        try:
            answer = _checked(part, self._house.desks[part.component.name].call(part, arguments))
        except NotThere:
            state = State.NOT_THERE
        except Exception as error:
            state = State.FAILED
            self._house.note(part, state, error)
        else:
            self._house.note(part, state)
        return Answer(state, answer, (self._house.monotonic() - began) * 1000)


def _checked(part: Part, found: Any) -> Slice:
    answer = found if isinstance(found, Slice) else Slice(found)
    strange = [kind for kind in answer.gives if kind not in part.gives]
    if strange:
        names = ", ".join(kind.__name__ for kind in strange)
        raise UsageError(f"{part.full_name} gives {names}, which it does not declare; write gives=[…] at {part.place}.")
    return answer
