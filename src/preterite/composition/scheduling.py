"""What the execution of a page does next, decided from its state alone: without a thread, a clock or a connection.

Parts run one after another, since a handover between threads takes longer than most parts. A part that has run for
`overlap_seconds` no longer delays the others. A part that exceeds its own time is late, and the page continues
without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from preterite.composition.pages import Step
from preterite.composition.parts import Part, PartResult
from preterite.composition.slots import State


class Source(NamedTuple):
    """Where identifiers come from, and their kind: a name that the page takes, or the slot of a part."""

    name: str
    kind: Any


class Outcome(NamedTuple):
    """How one part ended."""

    state: State
    result: PartResult
    milliseconds: float = 0.0
    error: BaseException | None = None
    """Why it failed."""


@dataclass
class PartProgress:
    """One part of the page, from waiting to its outcome."""

    step: Step
    seconds: float
    """How long it may take, counted from its start, or from when it could start."""
    started_at: float | None = None
    finished_at: float | None = None
    outcome: Outcome | None = None


@dataclass
class ExecutionState:
    """What is known while a page is composed. `next_action` reads it; only the methods below change it."""

    parts: Mapping[str, PartProgress]
    """By slot, in the order in which they start."""
    identifiers: dict[Source, frozenset[Any]]
    began_at: float
    overlap_seconds: float
    """How long a running part delays the start of the next one."""
    inline: bool = False
    """Whether the event loop is blocked while a part runs that has not exceeded `overlap_seconds`."""
    stopped: AbstractSet[str] = frozenset()
    """Components that are stopped; the set may change during the execution."""
    full_until: dict[str, float] = field(default_factory=dict[str, float])
    """Components that had no free place, and when to try again."""
    is_cancelled: bool = False
    looks_at: float = 0.0
    """When the event loop looks again, unless it is woken before."""

    def start(self, slot: str, now: float) -> None:
        """A part runs from now on."""
        self.parts[slot].started_at = now

    def finish(self, slot: str, outcome: Outcome, now: float) -> bool:
        """Keep how a part ended and the identifiers it provides; false if it already had an outcome."""
        part = self.parts[slot]
        if part.outcome is not None:
            return False
        part.finished_at, part.outcome = now, outcome
        for kind, found in outcome.result.provides.items():
            self.identifiers[Source(slot, kind)] = frozenset(found)
        return True


class Start(NamedTuple):
    """Call this part with these identifiers."""

    part: Part
    identifiers: Mapping[str, frozenset[Any]]


class FallBack(NamedTuple):
    """Finish these slots without a result."""

    slots: Mapping[str, State]


class LeaveInline(NamedTuple):
    """Stop blocking the event loop."""


class Wait(NamedTuple):
    """Wait until a part ends, but no longer than until this moment."""

    until: float
    inline: bool


class Done(NamedTuple):
    """Every part has an outcome, or the execution is cancelled."""


Action = Start | FallBack | LeaveInline | Wait | Done


def next_action(state: ExecutionState, now: float) -> Action:
    """What to do next. Pure: the caller acts, records in the state what came of it, and asks again."""
    unfinished = [part for part in state.parts.values() if part.outcome is None]
    if not unfinished or state.is_cancelled:
        return Done()
    ready_at = {part.step.part.slot: _ready_at(state, part) for part in unfinished}
    fallbacks = {slot: _fallback(state, state.parts[slot], since, now) for slot, since in ready_at.items()}
    if any(fallbacks.values()):
        return FallBack({slot: found for slot, found in fallbacks.items() if found is not None})
    startable = [part for part in unfinished if part.started_at is None and ready_at[part.step.part.slot] is not None]
    overlaps_at = [part.started_at + state.overlap_seconds for part in unfinished if part.started_at is not None]
    # Each must be over: were one of them young, the next part would compete with it.
    may_start_at = max(overlaps_at, default=now)
    for part in startable:
        if may_start_at <= now and state.full_until.get(part.step.part.component.name, now) <= now:
            return Start(part.step.part, identifiers_for(state, part.step))
    if state.inline and min(overlaps_at, default=now) <= now:
        return LeaveInline()
    until = [since + part.seconds for part in unfinished if (since := ready_at[part.step.part.slot]) is not None]
    is_waiting = any(part.started_at is None for part in unfinished)
    if may_start_at > now and (is_waiting or state.inline):
        # Also for parts that are not ready: most are called so soon that nothing has to wake the event loop.
        until.append(may_start_at)
    elif startable:
        until += [state.full_until[part.step.part.component.name] for part in startable]
    return Wait(min(until), state.inline)


def must_look_earlier(state: ExecutionState, slot: str, now: float) -> bool:
    """Whether the event loop would look too late, since a thread has just started this part.

    A thread that has called one part calls the next one, and otherwise wakes the event loop only at its end.
    """
    moments = [now + state.parts[slot].seconds]
    for part in state.parts.values():
        if part.started_at is None and part.outcome is None and (since := _ready_at(state, part)) is not None:
            moments += [now + state.overlap_seconds, since + part.seconds]
    return min(moments) < state.looks_at


def identifiers_for(state: ExecutionState, step: Step) -> dict[str, frozenset[Any]]:
    """The identifiers for each parameter of a part, from all its sources that have provided some."""
    nothing = frozenset[Any]()
    return {
        name: nothing.union(*(state.identifiers.get(Source(one, step.part.needs[name]), nothing) for one in sources))
        for name, sources in step.sources.items()
    }


def _ready_at(state: ExecutionState, part: PartProgress) -> float | None:
    """From when a part's time counts; nothing as long as one of its sources has no outcome."""
    if part.started_at is not None:
        return part.started_at
    moments = [state.began_at]
    for source in part.step.depends_on:
        if source in state.parts:
            finished_at = state.parts[source].finished_at
            if finished_at is None:
                return None
            moments.append(finished_at)
    return max(moments)


def _fallback(state: ExecutionState, part: PartProgress, since: float | None, now: float) -> State | None:
    """Why a part gets no result, if it is clear already."""
    if since is None:
        return None
    if since + part.seconds <= now:
        return State.LATE
    if part.started_at is not None:
        return None
    if part.step.part.component.name in state.stopped:
        return State.STOPPED
    identifiers = identifiers_for(state, part.step)
    return State.NOT_CALLED if identifiers and not any(identifiers.values()) else None
