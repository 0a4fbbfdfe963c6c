"""The composer: asks the parts of a page wave by wave, and waits for none too long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple, cast
from uuid import UUID

from preterite.component import Component
from preterite.composition.desks import Busy, Desk
from preterite.composition.forms import Form, Invalid, Section, Submission
from preterite.composition.pages import Page, Plan, Step, needed_for, plans
from preterite.composition.parts import Ask, Filled, NotThere, Part, Slice
from preterite.composition.slots import Composed, Slot, State
from preterite.errors import ConfigurationError, UsageError
from preterite.opened import OpenSystem

OPTIONAL_SECONDS = 0.25
REQUIRED_SECONDS = 2.0

_logger = logging.getLogger("preterite.composition")


class Given(NamedTuple):
    """What a part was given by those before it: identifiers by source and kind."""

    source: str
    kind: Any


class _Answer(NamedTuple):
    state: State
    slice: Slice
    milliseconds: float = 0.0


class Composer:
    """Composes the pages of an open system; a context manager, which gives its connections up at the end.

    Refuses pages and forms that contradict themselves (`PagesRefused`), all faults together. A part that says nothing
    about its time has `optional_seconds` or `required_seconds`. May be used by several threads.
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
        self._desks: dict[str, Desk] = {}
        for page in pages:
            for part in page.parts:
                if part.component.name not in self._desks:
                    self._desks[part.component.name] = self._desk(part.component)

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
        began = self._system.clock.monotonic()
        ask = Ask(as_of or self._system.clock.now(), viewer, words or {})
        wanted = None if only is None else needed_for(steps, only)
        given = {Given(name, kind): _as_set(identifiers[name]) for name, kind in page.takes.items()}
        answering: dict[str, asyncio.Task[_Answer]] = {}
        asked = [step for wave in steps for step in wave if wanted is None or step.part.slot in wanted]
        for step in asked:
            before = [answering[source] for source in step.asks if source in answering]
            answering[step.part.slot] = asyncio.create_task(self._answer_after(before, step, given, ask))
        answers = [(step.part, await answering[step.part.slot]) for step in asked]
        slots = {part.slot: _slot(part, answer) for part, answer in answers}
        calls = sum(answer.state not in (State.UNASKED, State.STOPPED) for _, answer in answers)
        return Composed(page.name, slots, ask.as_of, calls, (self._system.clock.monotonic() - began) * 1000)

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
        for desk in self._desks.values():
            desk.close()

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

    async def _answer_after(
        self, before: Sequence[asyncio.Task[_Answer]], step: Step, given: dict[Given, frozenset[Any]], ask: Ask
    ) -> _Answer:
        """What came of one part, once those have answered from which it gets identifiers; it waits for no others."""
        if before:
            await asyncio.wait(before)
        answer = await self._answer(step, given, ask)
        for kind, found in answer.slice.gives.items():
            given[Given(step.part.slot, kind)] = frozenset(found)
        return answer

    async def _answer(self, step: Step, given: Mapping[Given, frozenset[Any]], ask: Ask) -> _Answer:
        part, owner = step.part, step.part.component.name
        if owner in self.stopped:
            return _Answer(State.STOPPED, Slice({}))
        identifiers = {
            name: frozenset[Any]().union(*(given.get(Given(source, part.needs[name]), ()) for source in sources))
            for name, sources in step.sources.items()
        }
        if identifiers and not any(identifiers.values()):
            return _Answer(State.UNASKED, Slice({}))
        began = self._system.clock.monotonic()
        others = {name: ask for name, filled in part.filled.items() if filled is Filled.ASK}
        state, answer = await self._within_its_time(part, {**identifiers, **others})
        return _Answer(state, answer, (self._system.clock.monotonic() - began) * 1000)

    async def _within_its_time(self, part: Part, arguments: Mapping[str, Any]) -> tuple[State, Slice]:
        seconds = self._seconds[part.required] if part.seconds is None else part.seconds
        try:
            running = self._desks[part.component.name].ask(part, arguments)
            answer = _checked(part, await asyncio.wait_for(asyncio.wrap_future(running), seconds))
        except (TimeoutError, Busy) as error:
            why = str(error) or f"has not answered within {seconds * 1000:.0f} ms"
            self._note(part, State.LATE, f"{part.full_name} {why}; its slot shows the fallback.")
            return State.LATE, Slice({})
        except NotThere:
            return State.NOT_THERE, Slice({})
        except Exception as error:
            self._note(part, State.FAILED, f"{part.full_name} failed; its slot shows the fallback.", error)
            return State.FAILED, Slice({})
        self._note(part, State.FILLED, f"{part.full_name} answers again.")
        return State.FILLED, answer

    def _note(self, part: Part, state: State, sentence: str, error: Exception | None = None) -> None:
        """Say once what is wrong with a part, and once that it is over: not at every view."""
        if self._troubles.get(part.full_name, State.FILLED) is not state:
            self._troubles[part.full_name] = state
            level = logging.INFO if state is State.FILLED else logging.WARNING
            _logger.log(level, sentence, exc_info=error)


def _as_set(given: Any) -> frozenset[Any]:
    return cast("frozenset[Any]", given) if isinstance(given, frozenset) else frozenset({given})


def _checked(part: Part, found: Any) -> Slice:
    answer = found if isinstance(found, Slice) else Slice(found)
    strange = [kind for kind in answer.gives if kind not in part.gives]
    if strange:
        names = ", ".join(kind.__name__ for kind in strange)
        raise UsageError(f"{part.full_name} gives {names}, which it does not declare; write gives=[…] at {part.place}.")
    return answer


def _slot(part: Part, answer: _Answer) -> Slot:
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
