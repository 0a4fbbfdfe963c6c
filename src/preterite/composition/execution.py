"""One execution of a page: does what `next_action` decides, on the event loop and in threads.

A thread that has called one part calls the next one itself, so that most pages need a single handover. By default the
event loop is free meanwhile. Inline, it is blocked while a part runs: threads of one interpreter that all compute slow
each other down, so that pages side by side take longer than one after another.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from preterite.composition.context import CompositionContext, InlineBudget
from preterite.composition.pages import Step
from preterite.composition.parts import Injected, NotFound, PageRequest, Part, PartResult
from preterite.composition.scheduling import (
    Done,
    ExecutionState,
    FallBack,
    LeaveInline,
    Outcome,
    PartProgress,
    Source,
    Start,
    Wait,
    must_look_earlier,
    next_action,
)
from preterite.composition.slots import State
from preterite.errors import UsageError

FULL_SECONDS = 0.005
"""How long an execution waits before it tries again a component whose places are all taken."""


class Execution:
    """Calls the parts of a page, each once. Used once, on an event loop."""

    def __init__(
        self,
        context: CompositionContext,
        steps: Sequence[Step],
        identifiers: Mapping[Source, frozenset[Any]],
        request: PageRequest,
        budget: InlineBudget,
    ) -> None:
        self._context = context
        self._request = request
        self._budget = budget
        now = context.clock.monotonic()
        self._state = ExecutionState(
            {step.part.slot: PartProgress(step, context.seconds_of(step.part)) for step in steps},
            dict(identifiers),
            now,
            budget.overlap_seconds,
            inline=budget.is_available(now),
            stopped=context.stopped,
        )
        self._lock = threading.Lock()
        """Guards the state."""
        self._wakes_blocked: SimpleQueue[None] = SimpleQueue()
        """Wakes the event loop while it is blocked."""

    async def outcomes(self) -> dict[str, Outcome]:
        """How each part ended, by slot; raises nothing for one that fails."""
        self._loop, self._wakes = asyncio.get_running_loop(), asyncio.Event()
        try:
            while not isinstance(action := self._act(waits=True), Done):
                if isinstance(action, Start):
                    self._context.run_in_thread(partial(self._call_in_a_row, action))
                else:
                    await self._wait(action)
        finally:
            with self._lock:
                self._state.is_cancelled = True
        return {slot: part.outcome for slot, part in self._state.parts.items() if part.outcome is not None}

    @property
    def calls(self) -> int:
        """How many parts were called."""
        return sum(part.started_at is not None for part in self._state.parts.values())

    def _act(self, *, waits: bool = False) -> Start | Wait | Done:
        """Do what is decided, up to a part that the caller has to call, or a wait, or the end.

        The event loop `waits` if that is the decision; a thread ends.
        """
        with self._lock:
            while True:
                now = self._context.clock.monotonic()
                action = next_action(self._state, now)
                if isinstance(action, FallBack):
                    self._fall_back(action, now)
                elif isinstance(action, LeaveInline):
                    self._state.inline = False
                    self._budget.exhaust(now)
                    self._wakes_blocked.put(None)
                elif not isinstance(action, Start):
                    if waits and isinstance(action, Wait):
                        self._state.looks_at = action.until
                    return action
                elif self._context.pools[action.part.component.name].enter():
                    self._state.start(action.part.slot, now)
                    if must_look_earlier(self._state, action.part.slot, now):
                        self._wake()
                    return action
                else:
                    self._state.full_until[action.part.component.name] = now + FULL_SECONDS

    def _fall_back(self, action: FallBack, now: float) -> None:
        for slot, state in action.slots.items():
            progress = self._state.parts[slot]
            milliseconds = 0.0
            if state is State.LATE:
                self._context.note(progress.step.part, state)
                milliseconds = progress.seconds * 1000
            self._state.finish(slot, Outcome(state, PartResult({}), milliseconds), now)

    async def _wait(self, action: Wait) -> None:
        """Until a thread has nothing more to call, or until the moment that the action names."""
        seconds = max(action.until - self._context.clock.monotonic(), 0.0)
        if action.inline:
            with suppress(Empty):
                self._wakes_blocked.get(timeout=seconds)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wakes.wait(), seconds)
        self._wakes.clear()

    def _call_in_a_row(self, action: Start | Wait | Done) -> None:
        """Call a part and, in the same thread, whatever can start once it has ended; then wake the event loop."""
        while isinstance(action, Start):
            outcome = self._call(action)
            with self._lock:
                if not self._state.finish(action.part.slot, outcome, self._context.clock.monotonic()):
                    return
                # Only what a page shows is logged: a part that is always late would "recover" at every view.
                self._context.note(action.part, outcome.state, outcome.error)
            action = self._act()
        with self._lock:
            self._wake()

    def _wake(self) -> None:
        """Let the event loop look again; called under the lock."""
        if self._state.inline:
            self._wakes_blocked.put(None)
            return
        # A closed loop has nothing to wake.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wakes.set)

    def _call(self, action: Start) -> Outcome:
        part, pool = action.part, self._context.pools[action.part.component.name]
        began = self._context.clock.monotonic()
        injected = {name: self._request for name, what in part.injected.items() if what is Injected.REQUEST}
        state, result = State.FILLED, PartResult({})
        failure: BaseException | None = None
        try:
            result = _checked(part, pool.call(part, {**action.identifiers, **injected}))
        except NotFound:
            state = State.NOT_FOUND
        except BaseException as error:
            # Also what ends a program in its main thread: here it would end the thread, and the page would wait.
            state, failure = State.FAILED, error
        return Outcome(state, result, (self._context.clock.monotonic() - began) * 1000, failure)


def _checked(part: Part, found: Any) -> PartResult:
    result = found if isinstance(found, PartResult) else PartResult(found)
    value: object = result.value
    kind = type(value).__name__
    if inspect.iscoroutine(value):
        value.close()
    if inspect.isawaitable(value) or isinstance(value, Iterator | AsyncIterator):
        raise UsageError(
            f"{part.full_name} returns a {kind}, whose work would be done after its transaction has ended, and once at "
            f"most; return a list or a mapping at {part.place}."
        )
    undeclared = [kind for kind in result.provides if kind not in part.provides]
    if undeclared:
        names = ", ".join(kind.__name__ for kind in undeclared)
        raise UsageError(
            f"{part.full_name} provides {names}, which it does not declare; write provides=[…] at {part.place}."
        )
    return PartResult(result.value, {kind: frozenset(ids) for kind, ids in result.provides.items()})
