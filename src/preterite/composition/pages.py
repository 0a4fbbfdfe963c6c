"""Pages: which identifiers a page takes, which parts fill it, and in which order they are called. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from preterite.composition.forms import Form
from preterite.composition.parts import Kind, Part
from preterite.errors import UsageError
from preterite.printing.by_name import unknown_name


class PagesRefused(UsageError):
    """Pages or forms are declared with contradictions; nothing was opened."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("The pages cannot be composed:" + "".join(f"\n  - {fault}" for fault in self.faults))


@dataclass(frozen=True)
class Page:
    """The identifiers that a page takes, by name, and the parts that fill its slots.

    A page is layout: it belongs to no component and holds no data. `path` and `template` are used by HTTP.
    """

    name: str
    path: str = ""
    takes: Mapping[str, Kind] = field(default_factory=dict[str, Kind])
    parts: Sequence[Part] = ()
    template: str = ""

    @property
    def slots(self) -> dict[str, Part]:
        """The parts by slot."""
        return {part.slot: part for part in self.parts}


class Step(NamedTuple):
    """One part of a page in its wave, with the sources of the identifiers for each of its parameters."""

    part: Part
    sources: Mapping[str, tuple[str, ...]]
    """By parameter: names that the page takes, and slots of earlier waves."""

    @property
    def depends_on(self) -> set[str]:
        """All sources of its identifiers."""
        return {source for sources in self.sources.values() for source in sources}


_OF_COMPOSE = frozenset({"self", "page", "viewer", "as_of", "params", "only"})
Plan = Sequence[Sequence[Step]]
"""Waves: the parts of one wave get their identifiers from the page and from earlier waves."""


def plan(page: Page) -> Plan:
    """The order in which a page's parts are called; raises `PagesRefused` with all its faults together."""
    faults = list(_faults(page))
    waves: list[list[Step]] = []
    if not faults:
        steps = [_step(page, part) for part in page.parts]
        known = set(page.takes)
        while steps:
            wave = [step for step in steps if step.depends_on <= known]
            if not wave:
                faults.append(_cycle(page, steps))
                break
            waves.append(wave)
            known |= {step.part.slot for step in wave}
            steps = [step for step in steps if step not in wave]
    if faults:
        raise PagesRefused(faults)
    return waves


def plans(pages: Iterable[Page], forms: Iterable[Form] = ()) -> dict[str, Plan]:
    """The order of each page; raises `PagesRefused` with the faults of all pages and forms together."""
    faults: list[str] = []
    found: dict[str, Plan] = {}
    for page in pages:
        if page.name in found:
            faults.append(f"Two pages are called {page.name!r}.")
        found[page.name] = ()
        try:
            found[page.name] = plan(page)
        except PagesRefused as refused:
            faults += refused.faults
    for form in forms:
        faults += form.faults()
    if faults:
        raise PagesRefused(faults)
    return found


def needed_for(steps: Plan, slots: Iterable[str]) -> set[str]:
    """These slots, and all sources of their identifiers; raises `UnknownName` for a slot that there is not."""
    if isinstance(slots, str):
        raise UsageError(f"The slots to compose are {slots!r}; write a list of their names, as in [{slots!r}].")
    needed, known = set(slots), {step.part.slot for wave in steps for step in wave}
    for unknown in needed - known:
        raise unknown_name("slot", unknown, known)
    for wave in reversed(steps):
        for step in wave:
            if step.part.slot in needed:
                needed |= step.depends_on
    return needed


def _faults(page: Page) -> Iterable[str]:
    for name in sorted(page.takes.keys() & _OF_COMPOSE):
        yield f"Page {page.name!r} takes an identifier called {name!r}, which compose() has as an argument; rename it."
    owners: dict[str, Part] = {}
    for part in page.parts:
        where = f"Page {page.name!r}, slot {part.slot!r}"
        if part.slot in owners:
            other = owners[part.slot]
            yield f"{where} has two owners: {other.full_name} ({other.place}) and {part.full_name} ({part.place})."
        elif part.slot in page.takes:
            yield f"{where}: the page takes an identifier of that name; place the part under another, with .at(…)."
        owners[part.slot] = part
        if not part.fallback:
            yield f"{where}: {part.full_name} ({part.place}) has no fallback; write what is shown when it fails."
    for part in page.parts:
        yield from _source_faults(page, part)


def _source_faults(page: Page, part: Part) -> Iterable[str]:
    where = f"Page {page.name!r}, slot {part.slot!r}"
    for source in part.sources or ():
        if source not in page.takes and source not in page.slots:
            yield f"{where}: no identifier or slot is called {source!r}."
    for kind in part.needs.values():
        if not _sources(page, part, kind):
            yield (
                f"{where}: {part.full_name} ({part.place}) needs a {kind.__name__}, which the page does not take "
                "and no other part of it provides."
            )


def _step(page: Page, part: Part) -> Step:
    return Step(part, {name: _sources(page, part, kind) for name, kind in part.needs.items()})


def _sources(page: Page, part: Part, kind: Kind) -> tuple[str, ...]:
    """The sources of a part's identifiers of one kind: those it names, or all on the page that have some."""
    found = [name for name, taken in page.takes.items() if taken is kind]
    found += [other.slot for other in page.parts if kind in other.provides and other.slot != part.slot]
    return tuple(name for name in found if part.sources is None or name in part.sources)


def _cycle(page: Page, steps: Sequence[Step]) -> str:
    cycle = ", ".join(f"{step.part.slot} on {' and '.join(sorted(step.depends_on))}" for step in steps)
    return f"Page {page.name!r}: parts depend on each other in a cycle ({cycle}); restrict their sources with .of(…)."
