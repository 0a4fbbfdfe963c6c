"""What lives in a simulated world: a system, somebody who uses it, and what must hold in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from preterite.opened import OpenSystem
from preterite.system import System
from preterite.testing.simulation import oracle

Use = Callable[[OpenSystem, Random], None]
"""One thing that users do: a unit of work, as an endpoint does it. It may be cut off anywhere; then it is done anew."""
Check = Callable[[OpenSystem], Sequence[str]]
"""What does not hold once everything has come to rest, a sentence each; nothing if all is well."""


@dataclass
class Scenario:
    """A system and its use. Made anew for every world."""

    system: System
    use: Use
    wants_more: Callable[[], bool]
    """Whether there is more to be done."""
    violations: Callable[[Path, OpenSystem], Sequence[str]]
    """Reads the databases in this folder once all is at rest."""
    attempts: Callable[[], int] = lambda: 0
    """How many handlers were run more than once."""


def used(system: System, use: Use, times: int, check: Check | None = None) -> Scenario:
    """Somebody's own system, used so many times; what must hold in every system is checked, and what `check` says."""
    done = 0

    def use_once(opened: OpenSystem, chance: Random) -> None:
        nonlocal done
        use(opened, chance)
        done += 1

    def violations(folder: Path, opened: OpenSystem) -> Sequence[str]:
        hears = {name: opened.topology.subscriptions[name].publishers for name in opened.components}
        return [*oracle.unfinished(folder, hears), *(check(opened) if check is not None else ())]

    return Scenario(system, use_once, lambda: done < times, violations)
