"""What lives in a simulated world: a system, its user, and what must hold in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from preterite.open_system import OpenSystem
from preterite.system import System
from preterite.testing.simulation import oracle

Use = Callable[[OpenSystem, Random], None]
"""One thing that users do: a unit of work, as an endpoint does it. It may be cut off anywhere; then it is done anew."""
Check = Callable[[OpenSystem], Sequence[str]]
"""What does not hold once everything has come to rest, a sentence each; nothing if all is well."""


@dataclass
class Newer:
    """A version that is rolled out while the older one is in use, over the same databases."""

    system: System
    component: str
    handler: str
    """What is new in the component, and replays what was published before it came."""
    asked: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    """How far the component had read each stream, at most, when that was asked for; noted by the task that asks."""


@dataclass
class Scenario:
    """A system and its use. Made anew for every world."""

    system: System
    use: Use
    wants_more: Callable[[], bool]
    """Whether there is more to be done."""
    violations: Callable[[Path, OpenSystem, float], Sequence[str]]
    """Reads the databases in this folder once all is at rest; what is due after this time may wait."""
    attempts: Callable[[], int] = lambda: 0
    """How many handlers were run more than once."""
    newer: Newer | None = None
    """What is rolled out meanwhile, if anything."""
    taken_back: set[str] = field(default_factory=set[str])
    """What users had done and a restore took back; noted by the one who restores."""


def _checked(check: Check | None, opened: OpenSystem) -> Sequence[str]:
    if check is None:
        return ()
    try:
        return check(opened)
    except Exception as error:
        return [f"the check itself failed: {type(error).__name__}: {error}"]


def used(system: System, use: Use, times: int, check: Check | None = None) -> Scenario:
    """A given system, used so many times; what must hold in every system is checked, and what `check` says."""
    done = 0

    def use_once(opened: OpenSystem, chance: Random) -> None:
        nonlocal done
        use(opened, chance)
        done += 1

    def violations(folder: Path, opened: OpenSystem, until: float) -> Sequence[str]:
        publishers = {name: opened.topology.subscriptions[name].publishers for name in opened.components}
        return [*oracle.unfinished(folder, publishers, until), *_checked(check, opened)]

    return Scenario(system, use_once, lambda: done < times, violations)
