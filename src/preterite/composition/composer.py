"""The composer: composes pages within their deadlines, and lets each component write its section of a form."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, cast
from uuid import UUID

from preterite.component import Component
from preterite.composition.context import CompositionContext, InlineBudget
from preterite.composition.execution import Execution
from preterite.composition.forms import Form, Section, Submission, ValidationError
from preterite.composition.pages import Page, Plan, needed_for, plans
from preterite.composition.parts import PageRequest, Part, PartResult
from preterite.composition.pools import ComponentPool
from preterite.composition.scheduling import Outcome, Source
from preterite.composition.slots import ComposedPage, Slot, State
from preterite.errors import ConfigurationError, UsageError
from preterite.open_system import OpenSystem
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
        components = {part.component.name: part.component for page in pages for part in page.parts}
        pools = {name: _pool(system, component) for name, component in components.items()}
        self.context = CompositionContext(system.clock, pools, {False: optional_seconds, True: required_seconds})
        """What all executions share."""
        self.stopped = self.context.stopped
        """Names of components that are not called at present; their slots show the fallback."""
        inline = inline and all(pool.reads_files for pool in pools.values())
        self._budgets = {page.name: InlineBudget(inline=inline) for page in pages}
        self._places = threading.Semaphore(EXECUTIONS_MAX)

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
            raise UsageError(f"Page {page.name!r} takes {', '.join(page.takes) or 'nothing'}, not {set(identifiers)}.")
        clock = self._system.clock
        began = clock.monotonic()
        request = PageRequest(as_of or clock.now(), viewer, params or {})
        wanted = None if only is None else needed_for(plan, only)
        given = {Source(name, kind): _as_set(identifiers[name]) for name, kind in page.takes.items()}
        steps = [step for wave in plan for step in wave if wanted is None or step.part.slot in wanted]
        outcomes: Mapping[str, Outcome] = {}
        if self._places.acquire(blocking=False):
            try:
                execution = Execution(self.context, steps, given, request, self._budgets[page.name])
                outcomes = await execution.outcomes()
            finally:
                self._places.release()
        slots = ByName(
            "slot", {step.part.slot: _slot(step.part, outcomes.get(step.part.slot, _REFUSED)) for step in steps}
        )
        calls = sum(slot.state not in (State.NOT_CALLED, State.STOPPED) for slot in slots.values())
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
        values, errors = form.read(fields, request)
        if errors:
            return Submission(identifier, errors, (), {})
        written: list[str] = []
        failed: dict[str, str] = {}
        for section in form.sections:
            if values[section.name] is None:
                continue
            if section.component.name in self.stopped:
                failed[section.full_name] = section.fallback
                continue
            try:
                await asyncio.to_thread(self._write, section, identifier, values[section.name], request)
                written.append(section.full_name)
            except ValidationError as invalid:
                errors |= invalid.messages
            except Exception:
                _logger.exception("Section %s of form %r was not written.", section.full_name, form.name)
                failed[section.full_name] = section.fallback
        return Submission(identifier, errors, tuple(written), failed)

    def close(self) -> None:
        """Close threads and connections; a part that is still running ends by itself."""
        self.context.close()

    def __enter__(self) -> Composer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, section: Section, identifier: Any, value: Any, request: PageRequest) -> None:
        with self._system.session(section.component) as session:
            section.write(identifier, value, session, request)


_REFUSED = Outcome(State.LATE, PartResult({}))


def _pool(system: OpenSystem, component: Component) -> ComponentPool:
    if component.name not in system.databases:
        raise ConfigurationError(
            f"Pages show parts of {component.name!r}, which this system was opened without; "
            "open it with that component, or without only=."
        )
    return ComponentPool(system, component)


def _as_set(given: Any) -> frozenset[Any]:
    return cast("frozenset[Any]", given) if isinstance(given, frozenset) else frozenset({given})


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
