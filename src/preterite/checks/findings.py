"""Findings of a check: the rule, the component, the object, and the place in the source."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from preterite.checks.rules import RULES, Rule


class Place(NamedTuple):
    """A line of a file; without a line, the whole file; without a file, nowhere in the source."""

    file: Path | None = None
    line: int | None = None

    def relative_to(self, root: Path) -> str:
        """The file, relative to a folder if it is inside; empty without a file."""
        if self.file is None:
            return ""
        return (self.file.relative_to(root) if self.file.is_relative_to(root) else self.file).as_posix()

    def link(self, root: Path) -> str:
        """File and line in the form that editors and terminals make clickable."""
        return self.relative_to(root) if self.line is None else f"{self.relative_to(root)}:{self.line}"


NOWHERE = Place()


@dataclass(frozen=True)
class Finding:
    """One violation of a rule. Its key names what violates it, without file and line, so that moved code keeps it."""

    rule: str
    component: str
    object: str
    operation: str
    message: str
    place: Place = NOWHERE
    also: tuple[Place, ...] = ()
    """Further places with the same cause."""

    @property
    def places(self) -> tuple[Place, ...]:
        """All its places, the first one first."""
        return (self.place, *self.also)

    @property
    def key(self) -> str:
        """The identity of the violation, independent of its place."""
        return f"{self.rule}:{self.component}:{self.object}:{self.operation}"

    @property
    def definition(self) -> Rule:
        """The rule that is violated."""
        return RULES[self.rule]


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """Sorted by place and rule, without duplicates; what is caused elsewhere is one finding, with all its places."""
    causes: dict[object, list[Finding]] = {}
    for one in sorted(found, key=_order):
        is_one = one.definition.is_caused_elsewhere
        causes.setdefault(one.key if is_one else (one.key, one.place, one.message), []).append(one)
    return [_merged(some) for some in causes.values()]


def _order(one: Finding) -> tuple[str, int, str, str, str]:
    return str(one.place.file or ""), one.place.line or 0, one.rule, one.object, one.message


def _merged(same: Sequence[Finding]) -> Finding:
    places = dict.fromkeys(place for one in same for place in one.places)
    return replace(same[0], also=tuple(place for place in places if place not in (same[0].place, NOWHERE)))


def place_of(what: Any, field: str = "") -> Place:
    """Where a class or function is defined; the line of one of its fields, if `field` is given."""
    try:
        lines, first = inspect.getsourcelines(what)
        file = inspect.getsourcefile(what)
    except (OSError, TypeError):
        return Place()
    line = first
    if field:
        line = next((first + at for at, text in enumerate(lines) if re.match(rf"\s+{field}\s*:", text)), first)
    return Place(None if file is None else Path(file), line)
