"""Worlds in which databases, or the log, are put back by older copies of them while purchases go on.

Of a publisher, of a subscriber, of several, each copied at another time; now and then a second time before anyone
has looked. Every process ends before, as where a file is put back. An operator accepts what a publisher forgot.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Set
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from preterite.log.contract import Stream
from preterite.operations import recovery
from preterite.operations.dead_letters import Operator
from preterite.testing.simulation.machine.log import SimulatedLog
from preterite.testing.simulation.machine.marks import ACCEPTED, LOG_RESTORED, RESTORED, RESTORED_AGAIN
from preterite.testing.simulation.machine.operators import SimulatedOperator
from preterite.testing.simulation.machine.scheduler import Scheduler

LOG = "log"
WHO: tuple[tuple[str, ...], ...] = (
    ("sales",), ("finance",), ("shipping",), ("sales", "finance"), ("finance", "shipping"),
    ("sales", "finance", "shipping"), (LOG,), (LOG, "shipping"),
)  # fmt: skip
"""Who is put back together. A publisher and the log at the same time is what the protocol leaves to a person."""
COPIED_AT_SECONDS = (0.5, 5.0)
EACH_LATER_SECONDS = (0.0, 1.0)
RESTORED_AFTER_SECONDS = (0.5, 6.0)
AGAIN_AFTER_SECONDS = (0.2, 3.0)
AGAIN_SHARE = 0.4
PERSON = "operator of restores"


@dataclass(frozen=True)
class Moment:
    """When a component's database, or the log, is copied, or put back."""

    at: float
    is_copied: bool
    who: tuple[str, ...]


def draw(seed: int) -> list[Moment]:
    """What the seed decides, in the order of time."""
    chance = Random(f"restores {seed}")
    who = chance.choice(WHO)
    at = chance.uniform(*COPIED_AT_SECONDS)
    moments: list[Moment] = []
    for name in who:
        moments.append(Moment(at, True, (name,)))
        at += chance.uniform(*EACH_LATER_SECONDS)
    at += chance.uniform(*RESTORED_AFTER_SECONDS)
    moments.append(Moment(at, False, who))
    if chance.random() < AGAIN_SHARE:
        moments.append(Moment(at + chance.uniform(*AGAIN_AFTER_SECONDS), False, who))
    return moments


@dataclass
class Restorer:
    """Copies and puts back as it was drawn. It acts between the turns of tasks, never in one of them."""

    moments: list[Moment]
    folder: Path
    log: SimulatedLog
    scheduler: Scheduler
    end_all: Callable[[], None]
    """Ends every process; they start again by themselves."""
    taken_back: set[str]
    """Purchases that Sales had committed and its copy lacks."""
    _copies: dict[str, Path] = field(default_factory=dict[str, Path])
    _ends: Mapping[Stream, int] = field(default_factory=dict[Stream, int])
    _restored: int = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing of it is still to come."""
        return not self.moments

    def do_what_is_due(self) -> None:
        """Do what is due."""
        while self.moments and self.moments[0].at <= self.scheduler.clock.seconds:
            moment = self.moments.pop(0)
            self.scheduler.history.note(f"{', '.join(moment.who)}: {'copied' if moment.is_copied else 'put back'}")
            if not moment.is_copied:
                self.end_all()
            for name in moment.who:
                self._copy(name) if moment.is_copied else self._put_back(name)
            if not moment.is_copied:
                self.scheduler.history.mark(RESTORED_AGAIN if self._restored else RESTORED)
                self._restored += 1

    def _copy(self, name: str) -> None:
        if name == LOG:
            self._ends = self.log.numbers()
        else:
            self._copies[name] = self.folder / f"{name}.copy"
            _copy_file(self.folder / f"{name}.sqlite", self._copies[name])

    def _put_back(self, name: str) -> None:
        if name == LOG:
            self.scheduler.history.mark(LOG_RESTORED)
            self.log.go_back(self._ends)
            return
        file = self.folder / f"{name}.sqlite"
        before = _purchases(file) if name == "sales" else frozenset[str]()
        _copy_file(self._copies[name], file)
        if name == "sales":
            self.taken_back |= before - _purchases(file)


class RestoreOperator(SimulatedOperator):
    """Looks whether a publisher has forgotten what is in the log, and accepts it."""

    def decide(self, component: str) -> None:
        store, log, now = self.opened.databases[component].store, self.opened.log, self.scheduler.clock.wall()
        with self.opened.connection(self.opened.components[component]) as connection:
            if recovery.forgotten(store, connection, log, component):
                recovery.accept(store, connection, log, component, Operator(PERSON, "restored", now), now)
                self.scheduler.history.mark(ACCEPTED)


def _copy_file(path: Path, target: Path) -> None:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as made:
        source.backup(made)


def _purchases(file: Path) -> Set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return frozenset(row[0] for row in connection.execute("SELECT id FROM purchase"))
