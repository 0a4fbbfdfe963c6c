"""The composer: has the parts of a page asked, waits for none too long, and lets owners write their part of a form."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import Any, cast
from uuid import UUID

from preterite.component import Component
from preterite.composition.desks import CALLS_AT_A_TIME, Desk
from preterite.composition.forms import Form, Invalid, Section, Submission
from preterite.composition.pages import Page, Plan, needed_for, plans
from preterite.composition.parts import Ask, Part, Slice
from preterite.composition.slots import Composed, Slot, State
from preterite.composition.views import Answer, Given, Patience, View
from preterite.errors import ConfigurationError, UsageError
from preterite.opened import OpenSystem

OPTIONAL_SECONDS = 0.25
REQUIRED_SECONDS = 2.0
VIEWS_MAX = 512
"""Pages that are composed at the same time; one more is refused at once, as if all its parts were late."""

_logger = logging.getLogger("preterite.composition")


class Composer:
    """Composes the pages of an open system; a context manager, which gives its connections up at the end.

    Refuses pages and forms that contradict themselves (`PagesRefused`), all faults together. A part that says nothing
    about its time has `optional_seconds` or `required_seconds`. May be used by several threads. Where all parts read
    files, the event loop stands still while they answer, as long as each does within `PATIENCE_SECONDS`; a page of
    which a part is slower does not hold it up again for `HURRY_SECONDS`.
    """

    def __init__(
        self,
        system: OpenSystem,
        pages: Sequence[Page],
        forms: Sequence[Form] = (),
        *,
        optional_seconds: float = OPTIONAL_SECONDS,
        required_seconds: float = REQUIRED_SECONDS,
    ) -> None:
        self.plans: Mapping[str, Plan] = plans(pages, forms)
        self.stopped: set[str] = set()
        """Components that are not asked just now; their slots show the fallback."""
        self._system = system
        self._seconds = {False: optional_seconds, True: required_seconds}
        self._troubles: dict[str, State] = {}
        self._views = threading.Semaphore(VIEWS_MAX)
        self.desks: dict[str, Desk] = {}
        for page in pages:
            for part in page.parts:
                if part.component.name not in self.desks:
                    self.desks[part.component.name] = self._desk(part.component)
        computes_here = all(desk.computes_here for desk in self.desks.values())
        self._patience = {page.name: Patience(stands_still=computes_here) for page in pages}
        self._threads = ThreadPoolExecutor(max(len(self.desks), 1) * CALLS_AT_A_TIME, "parts of pages")

    def compose(self, page: Page, **asked: Any) -> Composed:
        """The same as `composed`, for code that is not asyncio's."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.composed(page, **asked))
        raise UsageError("An event loop is running here; write: await composer.composed(…).")

    async def composed(
        self,
        page: Page,
        *,
        viewer: UUID | None = None,
        as_of: datetime | None = None,
        words: Mapping[str, str] | None = None,
        only: Iterable[str] | None = None,
        **identifiers: Any,
    ) -> Composed:
        """Ask the parts of a page, or those of `only` these slots and whatever those are asked with.

        `identifiers` are what the page takes, by name: one, or a frozenset of them. `as_of` is the moment for which
        it is asked; now, by the system's clock, where left out. Raises nothing for a part that fails: its slot says so.
        """
        steps = self.plans[page.name]
        if set(identifiers) != set(page.takes):
            raise UsageError(f"Page {page.name!r} takes {', '.join(page.takes) or 'nothing'}, not {set(identifiers)}.")
        began = self.monotonic()
        ask = Ask(as_of or self._system.clock.now(), viewer, words or {})
        wanted = None if only is None else needed_for(steps, only)
        given = {Given(name, kind): _as_set(identifiers[name]) for name, kind in page.takes.items()}
        asked = [step for wave in steps for step in wave if wanted is None or step.part.slot in wanted]
        answers: Mapping[str, Answer] = {}
        if self._views.acquire(blocking=False):
            try:
                answers = await View(self, asked, given, ask, self._patience[page.name]).answers()
            finally:
                self._views.release()
        slots = {step.part.slot: _slot(step.part, answers.get(step.part.slot, _REFUSED)) for step in asked}
        calls = sum(slot.state not in (State.UNASKED, State.STOPPED) for slot in slots.values())
        return Composed(page.name, slots, ask.as_of, calls, (self.monotonic() - began) * 1000)

    async def submit(
        self,
        form: Form,
        identifier: Any,
        fields: Mapping[str, str],
        *,
        viewer: UUID | None = None,
        as_of: datetime | None = None,
    ) -> Submission:
        """Let every owner read its fields of a form, and, if all of them are right, write them.

        Raises nothing for an owner that fails: the submission says who has written and who has not.
        """
        ask = Ask(as_of or self._system.clock.now(), viewer)
        values, invalid = form.read(fields, ask)
        if invalid:
            return Submission(identifier, invalid, (), {})
        written: list[str] = []
        unreached: dict[str, str] = {}
        for section in form.sections:
            if values[section.name] is None:
                continue
            if section.component.name in self.stopped:
                unreached[section.full_name] = section.fallback
                continue
            try:
                await asyncio.to_thread(self._write, section, identifier, values[section.name], ask)
                written.append(section.full_name)
            except Invalid as refused:
                invalid |= refused.sentences
            except Exception:
                _logger.exception("Section %s of form %r was not written.", section.full_name, form.name)
                unreached[section.full_name] = section.fallback
        return Submission(identifier, invalid, tuple(written), unreached)

    def close(self) -> None:
        """Give up threads and connections; a part that still runs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for desk in self.desks.values():
            desk.close()

    # what views work with

    def monotonic(self) -> float:
        """The machine's time."""
        return self._system.clock.monotonic()

    def seconds_of(self, part: Part) -> float:
        """How long a part may take."""
        return self._seconds[part.required] if part.seconds is None else part.seconds

    def in_a_thread(self, work: Callable[[], None]) -> None:
        """Run this in one of the threads."""
        self._threads.submit(work)

    def note(self, part: Part, state: State, error: BaseException | None = None) -> None:
        """Log once what is wrong with a part, and once that it is over: not at every view."""
        if self._troubles.get(part.full_name, State.FILLED) is state:
            return
        self._troubles[part.full_name] = state
        if state is State.FILLED:
            _logger.info("%s answers again.", part.full_name)
        elif state is State.LATE:
            seconds = self.seconds_of(part) * 1000
            _logger.warning("%s has not answered within %.0f ms; its slot shows the fallback.", part.full_name, seconds)
        else:
            _logger.warning("%s failed; its slot shows the fallback.", part.full_name, exc_info=error)

    def __enter__(self) -> Composer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _desk(self, component: Component) -> Desk:
        if component.name not in self._system.databases:
            raise ConfigurationError(
                f"Pages show parts of {component.name!r}, which this system was opened without; "
                "open it with that component, or without only=."
            )
        return Desk(self._system, component)

    def _write(self, section: Section, identifier: Any, value: Any, ask: Ask) -> None:
        with self._system.session(section.component) as session:
            section.write(identifier, value, session, ask)


_REFUSED = Answer(State.LATE, Slice({}))


def _as_set(given: Any) -> frozenset[Any]:
    return cast("frozenset[Any]", given) if isinstance(given, frozenset) else frozenset({given})


def _slot(part: Part, answer: Answer) -> Slot:
    return Slot(
        part.slot,
        part.full_name,
        answer.state,
        answer.slice.value if answer.state is State.FILLED else {},
        part.fallback,
        part.unknown,
        part.required,
        answer.milliseconds,
    )
