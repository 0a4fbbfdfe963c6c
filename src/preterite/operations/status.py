"""The status of components as facts, and what follows from them: problems, and one verdict of the system. Pure.

`status_reader.py` reads the facts from databases and log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from preterite.log.contract import Stream
from preterite.store.rows import Counts

__all__ = [
    "Backlog",
    "ComponentStatus",
    "Counts",
    "ObservedHandler",
    "State",
    "Verdict",
    "verdict",
]

State = Literal["never started", "off", "running", "unreachable"]
Verdict = Literal["OK", "DEGRADED", "DOWN"]
NO_PROGRESS_SECONDS = 15.0
"""How long what waits may wait without progress until the status is DEGRADED; takeovers after a crash take less.

What waits for a handler that its worker is seen to run within its time limit may wait for longer.
"""
WAL_NOTICE_BYTES = 16 * 1024 * 1024
"""Size of a SQLite file's write-ahead log from which on the status says that a reader holds it back."""
NOTHING = Counts(0, 0, 0, 0, 0, 0, 0, 0, 0, None, None, 0, 0, 0)


class ObservedHandler(NamedTuple):
    """A handler that a worker has been seen to run for so long, within its time limit."""

    handler: str
    seconds: float
    limit_seconds: float


class Backlog(NamedTuple):
    """What waits in one place. Times are seconds by the clock of the database that holds them; nothing if unknown."""

    where: str
    """As in `3 events wait WHERE`."""
    events: int
    oldest_seconds: float | None = None
    """For how long the oldest has waited."""
    idle_seconds: float | None = None
    """How long ago anything was taken from this place."""
    handling: ObservedHandler | None = None
    """The handler that holds it up, if a worker is seen to run one."""

    @property
    def is_held_up(self) -> bool:
        """Whether it waits for longer than usual for a handler that is at work."""
        return self.handling is not None and self._waiting_seconds is not None

    @property
    def no_progress_seconds(self) -> float | None:
        """For how long nothing was taken although something waited and no handler was at work; nothing if as usual."""
        return None if self.handling is not None else self._waiting_seconds

    @property
    def _waiting_seconds(self) -> float | None:
        known = [seconds for seconds in (self.oldest_seconds, self.idle_seconds) if seconds is not None]
        return None if self.events == 0 or not known or min(known) < NO_PROGRESS_SECONDS else min(known)


@dataclass(frozen=True)
class ComponentStatus:
    """The status of one component at one moment."""

    component: str
    state: State
    counts: Counts
    numbered: int
    """Events that it has numbered since it was first started."""
    outbox: int
    """Events committed here that the log does not hold yet."""
    subscribes: bool
    """Whether it subscribes to events of any publisher."""
    lag: int
    """Events in the log that this component has not read yet."""
    stalled: Mapping[Stream, str]
    """Streams that are stalled, and why."""
    lacking: tuple[str, ...]
    """Active handlers of its database that this program does not declare."""
    workers: Mapping[str, str] = field(default_factory=dict[str, str])
    """The worker of the relay and of each partition: host and process."""
    backlogs: tuple[Backlog, ...] = ()
    """What waits in the outbox, in the log and because it is due, and for how long."""
    fault: str | None = None
    """Why its database cannot be read, if it is unreachable; all numbers are 0 then."""
    log_fault: str | None = None
    """Why the log cannot be read, if so; lag is 0 then, and the outbox counts what the log has not confirmed."""
    wal_bytes: int = 0
    """Size of the write-ahead log beside its SQLite file."""
    log_wal_bytes: int = 0
    """The same of the log's file."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is left to do at this moment; false if that cannot be read."""
        is_read = self.fault is None and self.log_fault is None
        return is_read and self.outbox == 0 and self.counts.due == 0 and self.lag == 0 and self.counts.replaying == 0

    @property
    def oldest_seconds(self) -> float | None:
        """For how long the oldest of what waits in outbox or log, or is due, has waited; nothing if nothing waits."""
        known = [one.oldest_seconds for one in self.backlogs if one.events and one.oldest_seconds is not None]
        return max(known, default=None)

    @property
    def no_progress_seconds(self) -> float | None:
        """For how long something has waited without progress, if longer than usual."""
        found = [one.no_progress_seconds for one in self.backlogs]
        return max((seconds for seconds in found if seconds is not None), default=None)

    @property
    def handling(self) -> ObservedHandler | None:
        """The handler that has been at work for longest, if something waits for it for longer than usual."""
        found = [one.handling for one in self.backlogs if one.is_held_up and one.handling is not None]
        return max(found, key=lambda one: one.seconds, default=None)

    @property
    def notices(self) -> list[str]:
        """What an operator may want to know and need not act on."""
        found = [
            f"{self.component} has been running {one.handling.handler} for {one.handling.seconds:.0f} s "
            f"(its time limit is {one.handling.limit_seconds:.0f} s), and {_waits(one)}"
            for one in self.backlogs
            if one.is_held_up and one.handling is not None
        ]
        found += [
            f"{whose} has a write-ahead log of {size / 1024 / 1024:.0f} MiB: a transaction that reads an older state "
            "keeps it from being written back; end it, or the process that holds it"
            for whose, size in ((self.component, self.wal_bytes), ("the log's file", self.log_wal_bytes))
            if size > WAL_NOTICE_BYTES
        ]
        if self.counts.skipped:
            records = "1 record" if self.counts.skipped == 1 else f"{self.counts.skipped:,} records"
            found.append(f"{self.component} skipped {records}: of undeclared types, or lost")
        return found

    @property
    def problems(self) -> list[str]:
        """What needs an operator, a sentence each; empty if nothing does."""
        found = [f"the log is unreachable: {self.log_fault}"] if self.log_fault is not None else []
        if self.fault is not None:
            return [*found, f"{self.component} is unreachable: {self.fault}"]
        found += [f"{self.component}: {reason}" for reason in self.stalled.values()]
        if self.counts.relay_halt is not None:
            found.append(f"{self.component} publishes nothing: {self.counts.relay_halt}")
        found += self._waiting()
        if self.counts.dead:
            dead_letters = "1 dead letter" if self.counts.dead == 1 else f"{self.counts.dead:,} dead letters"
            found.append(f"{self.component} has {dead_letters}: preterite dead-letters list")
        if self.counts.voids:
            found.append(f"{self.component} has {_events(self.counts.voids)} in its journal that the log refused")
        if self.lacking:
            found.append(
                f"{self.component} has active handlers that this program does not declare: {', '.join(self.lacking)}; "
                f"if they were removed on purpose: preterite retire {self.component} {self.lacking[0]}"
            )
        return found

    def _waiting(self) -> list[str]:
        """What waits although nothing runs, or without progress."""
        found: list[str] = []
        for one in self.backlogs:
            if one.no_progress_seconds is not None:
                found.append(
                    f"{self.component}: no progress for {one.no_progress_seconds:.0f} s although {_waits(one)}"
                )
            elif one.events and self.state != "running":
                found.append(f"{self.component} does not run, and {_waits(one)}")
        return found


def verdict(statuses: Iterable[ComponentStatus]) -> Verdict:
    """What these facts mean for the system. Pure.

    DOWN if no component runs, or the log cannot be read. DEGRADED if a component does not run or cannot be read,
    something waits without progress, or anything else needs an operator. Else OK.
    """
    found = list(statuses)
    if not any(status.state == "running" for status in found) or any(one.log_fault is not None for one in found):
        return "DOWN"
    return "OK" if all(status.state == "running" and not status.problems for status in found) else "DEGRADED"


def _waits(one: Backlog) -> str:
    return f"{_events(one.events)} {'waits' if one.events == 1 else 'wait'} {one.where}"


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count:,} events"
