"""The composer: composes pages within their deadlines, and lets each component write its section of a form."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from types import TracebackType
from typing import Any, cast
from uuid import UUID

from preterite.component import Component
from preterite.composition.context import CompositionContext, InlineBudget
from preterite.composition.execution import Execution
from preterite.composition.forms import Form, Section, Submission, ValidationError, require_done
from preterite.composition.pages import Page, Plan, Step, needed_for, plans
from preterite.composition.parts import PageRequest, Part, PartResult
from preterite.composition.pools import ComponentPool
from preterite.composition.scheduling import Outcome, Source
from preterite.composition.slots import ComposedPage, Slot, State
from preterite.errors import ConfigurationError, UsageError
from preterite.open_system import OpenSystem
from preterite.printing.arguments import shown
from preterite.printing.by_name import ByName
from preterite.printing.logger import logger

OPTIONAL_SECONDS = 0.25
"""How long a page waits for its optional parts."""
REQUIRED_SECONDS = 2.0
"""How long a page waits for its required parts."""
EXECUTIONS_MAX = 512
"""Pages that are composed at the same time; one more shows the fallback in every slot at once."""

_logger = logger("preterite.composition")


class Composer:
    """Composes the pages of an open system; a context manager, which closes its connections at the end.

    Refuses pages and forms that contradict themselves (`PagesRefused`), all faults together. A part that does not
    declare `seconds` has `optional_seconds` or `required_seconds`. May be used by several threads.

    `inline` blocks the event loop while a part runs, for at most `INLINE_SECONDS` (30 ms) a part; a page with a slower
    part does not block it again for `INLINE_PAUSE_SECONDS`. It has an effect only where every component of the pages
    is on SQLite files. Choose it where the process serves little else than pages and its processor is the limit.
    """

    def __init__(
        self,
        system: OpenSystem,
        pages: Sequence[Page],
        forms: Sequence[Form] = (),
        *,
        optional_seconds: float = OPTIONAL_SECONDS,
        required_seconds: float = REQUIRED_SECONDS,
        inline: bool = False,
    ) -> None:
        self.plans: Mapping[str, Plan] = ByName("page", plans(pages, forms))
        self._system = system
        self._seconds = {False: optional_seconds, True: required_seconds}
        self._components = {part.component.name: part.component for page in pages for part in page.parts}
        for form in forms:
            for section in form.sections:
                _require_open(system, section.component, "Forms have fields")
        self.stopped: set[str] = set()
        """Names of components that are not called at present; their slots show the fallback."""
        self._of_other_processes: list[object] = []
        self._beginning = threading.Lock()
        self._begin()
        inline = inline and all(pool.reads_files for pool in self.context.pools.values())
        self._budgets = {page.name: InlineBudget(inline=inline) for page in pages}

    def compose(self, page: Page, **arguments: Any) -> ComposedPage:
        """The same as `compose_async`, for code that does not run on an event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.compose_async(page, **arguments))
        raise UsageError("An event loop is running here; write: await composer.compose_async(…).")

    async def compose_async(
        self,
        page: Page,
        *,
        viewer: UUID | None = None,
        as_of: datetime | None = None,
        params: Mapping[str, str] | None = None,
        only: Iterable[str] | None = None,
        **identifiers: Any,
    ) -> ComposedPage:
        """Call the parts of a page, or those of the slots in `only` and the parts that provide their identifiers.

        `identifiers` are what the page takes, by name: one, or a frozenset of them. `as_of` is the moment for which
        the page is composed; by default the present by the system's clock. A part that fails raises nothing: its slot
        has the state.
        """
        if not isinstance(cast(object, page), Page):
            raise UsageError(f"{page!r} is no page; pass the Page itself. Known: {', '.join(self.plans)}.")
        plan = self.plans[page.name]
        if set(identifiers) != set(page.takes):
            takes, given = (", ".join(names) or "nothing" for names in (page.takes, identifiers))
            raise UsageError(f"Page {page.name!r} takes {takes}, not {given}.")
        clock = self._system.clock
        began = clock.monotonic()
        request = PageRequest(as_of or clock.now(), viewer, params or {})
        wanted = None if only is None else needed_for(plan, only)
        found = {Source(name, kind): _as_set(name, identifiers[name]) for name, kind in page.takes.items()}
        steps = [step for wave in plan for step in wave if wanted is None or step.part.slot in wanted]
        outcomes, calls = await self._outcomes(steps, found, request, self._budgets[page.name])
        slots = ByName(
            "slot", {step.part.slot: _slot(step.part, outcomes.get(step.part.slot, _REFUSED)) for step in steps}
        )
        return ComposedPage(page.name, slots, request.as_of, calls, (clock.monotonic() - began) * 1000)

    async def submit(
        self,
        form: Form,
        identifier: Any,
        fields: Mapping[str, str],
        *,
        viewer: UUID | None = None,
        as_of: datetime | None = None,
    ) -> Submission:
        """Let each component read its fields of a form and, if all fields are valid, write them.

        A component that fails raises nothing: the submission lists the sections that were written and those that
        failed.
        """
        request = PageRequest(as_of or self._system.clock.now(), viewer)
        values, errors, failures = form.read(fields, request)
        failed: dict[str, str] = {}
        written: list[str] = []
        for section in form.sections:
            if section.full_name in failures:
                failed[section.full_name] = self._note(form, section, failures[section.full_name])
        if errors or failed:
            return Submission(identifier, errors, (), failed)
        for section, value in zip(form.sections, values, strict=True):
            if value is None:
                continue
            if section.component.name in self.stopped:
                failed[section.full_name] = section.fallback
                continue
            error = await asyncio.to_thread(self._write, section, identifier, value, request)
            if error is None:
                written.append(section.full_name)
            elif isinstance(error, ValidationError):
                errors |= error.messages
            else:
                failed[section.full_name] = self._note(form, section, error)
        return Submission(identifier, errors, tuple(written), failed)

    def close(self) -> None:
        """Close threads and connections; a part that is still running ends by itself."""
        if self._process == os.getpid():
            self.context.close()

    def __enter__(self) -> Composer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _outcomes(
        self,
        steps: Sequence[Step],
        identifiers: Mapping[Source, frozenset[Any]],
        request: PageRequest,
        budget: InlineBudget,
    ) -> tuple[Mapping[str, Outcome], int]:
        """How each part ended, by slot, and how many were called: none if too many pages are composed already."""
        if self._process != os.getpid():
            self._begin_after_fork()
        if not self._places.acquire(blocking=False):
            self.context.note_refusal(EXECUTIONS_MAX)
            return {}, 0
        try:
            execution = Execution(self.context, steps, identifiers, request, budget)
            return await execution.outcomes(), execution.calls
        finally:
            self._places.release()

    def _begin(self) -> None:
        """Make what belongs to this process."""
        pools = {name: _pool(self._system, component) for name, component in self._components.items()}
        self.context = CompositionContext(self._system.clock, pools, self._seconds, self.stopped)
        """What all executions share."""
        self._places = threading.Semaphore(EXECUTIONS_MAX)
        self._process = os.getpid()

    def _begin_after_fork(self) -> None:
        """A process that was forked has none of the parent's threads; what is open is the parent's, and stays so."""
        with self._beginning:
            if self._process != os.getpid():
                self._of_other_processes.append(self.context)
                self._begin()

    def _write(self, section: Section, identifier: Any, value: Any, request: PageRequest) -> BaseException | None:
        """Let a section write; returns what it raised, since a future cannot carry all that may be raised."""
        try:
            with self._system.session(section.component) as session:
                require_done(section, section.write(identifier, value, session, request))
        except BaseException as error:
            return error
        return None

    def _note(self, form: Form, section: Section, error: BaseException) -> str:
        """Log why a section was not written; returns what is shown."""
        _logger.error("Section %s of form %r was not written.", section.full_name, form.name, exc_info=error)
        return section.fallback


_REFUSED = Outcome(State.LATE, PartResult({}))


def _pool(system: OpenSystem, component: Component) -> ComponentPool:
    _require_open(system, component, "Pages show parts")
    return ComponentPool(system, component)


def _require_open(system: OpenSystem, component: Component, what: str) -> None:
    if component.name not in system.databases:
        raise ConfigurationError(
            f"{what} of {component.name!r}, which this system was opened without; "
            "open it with that component, or without only=."
        )


def _as_set(name: str, given: Any) -> frozenset[Any]:
    try:
        return frozenset(cast("Set[Any]", given)) if isinstance(given, Set) else frozenset({given})
    except TypeError:
        raise UsageError(f"{name} is {shown(given)}, no identifier; pass one, or a frozenset of them.") from None


def _slot(part: Part, outcome: Outcome) -> Slot:
    return Slot(
        part.slot,
        part.full_name,
        outcome.state,
        outcome.result.value if outcome.state is State.FILLED else {},
        part.fallback,
        part.unknown,
        part.required,
        outcome.milliseconds,
    )
