"""What a check has found: which rule, by whom, about what, and where one can click on it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from preterite.checks.rules import RULES, Rule


class Place(NamedTuple):
    """A line of a file; no line where the whole file, or something outside of files, is meant."""

    file: Path | None = None
    line: int | None = None

    def seen_from(self, root: Path) -> str:
        """The file, seen from a folder; empty where there is none."""
        if self.file is None:
            return ""
        return (self.file.relative_to(root) if self.file.is_relative_to(root) else self.file).as_posix()

    def shown(self, root: Path) -> str:
        """File and line, as editors and terminals make them clickable."""
        return self.seen_from(root) if self.line is None else f"{self.seen_from(root)}:{self.line}"


NOWHERE = Place()


@dataclass(frozen=True)
class Finding:
    """One crossing of a boundary. Its key says what crosses, never where, so that moving code changes nothing."""

    rule: str
    component: str
    object: str
    operation: str
    sentence: str
    place: Place = NOWHERE

    @property
    def key(self) -> str:
        """The same for the same crossing, wherever it is written."""
        return f"{self.rule}:{self.component}:{self.object}:{self.operation}"

    @property
    def about(self) -> Rule:
        """The rule that it breaks."""
        return RULES[self.rule]


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """By place and rule; the same finding at the same place once."""
    unique = {(one.key, one.place, one.sentence): one for one in found}
    return sorted(
        unique.values(),
        key=lambda one: (str(one.place.file or ""), one.place.line or 0, one.rule, one.object, one.sentence),
    )


def place_of(what: Any, field: str = "") -> Place:
    """Where a class or function is written; the line of a field, if one is meant."""
    try:
        lines, first = inspect.getsourcelines(what)
        file = inspect.getsourcefile(what)
    except (OSError, TypeError):
        return Place()
    line = first
    if field:
        line = next((first + at for at, text in enumerate(lines) if re.match(rf"\s+{field}\s*:", text)), first)
    return Place(None if file is None else Path(file), line)
