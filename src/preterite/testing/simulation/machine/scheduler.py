"""Who runs next: loops take turns at every call to a database or the log, in an order that the seed decides.

Each loop is a greenlet, so that the real core runs unchanged; there are no threads, and time passes only here.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from greenlet import greenlet

from preterite.testing.simulation.machine.faults import CRASH, PAUSE, Crashed, Faults

TURN_SECONDS_MAX = 0.004
PAUSE_SECONDS = (1.0, 12.0)
HISTORY_LINES = 400
POINTS_MAX = 100_000
"""Several times as many as a world takes that comes to rest."""
START = datetime(2013, 7, 30, 12, tzinfo=UTC)


class SimulatedClock:
    """Time that passes as the scheduler says."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.wait: Callable[[float], None] = self.pass_by

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall(), UTC)

    def wall(self) -> float:
        return START.timestamp() + self.seconds

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.wait(seconds)

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


@dataclass
class History:
    """What happened, as a hash of everything and the last lines of it."""

    lines: list[str] = field(default_factory=list[str])
    count: int = 0
    marks: Counter[str] = field(default_factory=Counter[str])
    _hash: Any = field(default_factory=sha256)

    def note(self, line: str) -> None:
        """Add a line."""
        self.count += 1
        self._hash.update(line.encode())
        self.lines.append(line)
        if len(self.lines) > 2 * HISTORY_LINES:
            del self.lines[:HISTORY_LINES]

    def mark(self, what: str) -> None:
        """Count something that has to happen in some world."""
        self.marks[what] += 1

    @property
    def hash(self) -> str:
        """The same for the same history."""
        return self._hash.hexdigest()[:16]


@dataclass
class Worker:
    """A process: its loops end together, and so do its connections."""

    name: str
    start: Callable[[Worker], None]
    restarts: bool = True
    closers: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    tasks: list[Task] = field(default_factory=list["Task"])
    dead: bool = False
    ends: bool = False
    """Whether its loops are to end once their rounds are done; it starts again when all have."""


@dataclass(eq=False)
class Task:
    """One loop of a worker, and until when it waits."""

    name: str
    worker: Worker
    run: greenlet
    until: float = 0.0


class Scheduler:
    """Runs tasks until stopped. All of it in one thread."""

    def __init__(self, seed: int, clock: SimulatedClock, faults: Faults) -> None:
        self._random = random.Random(f"schedule {seed}")
        self.clock = clock
        self.faults = faults
        self.history = History()
        self.switching = True
        self._hub = greenlet.getcurrent()
        self._tasks: list[Task] = []
        self._current: Task | None = None
        self._restarts: list[tuple[float, Worker]] = []
        clock.wait = self.sleep

    @property
    def worker(self) -> Worker | None:
        """The worker whose turn it is; None outside of tasks."""
        return self._current.worker if self._current is not None else None

    def spawn(self, name: str, worker: Worker, act: Callable[[], None]) -> None:
        """Add a loop to a worker."""
        task = Task(name, worker, greenlet(act, parent=self._hub))
        worker.tasks.append(task)
        self._tasks.append(task)

    def point(self, what: str) -> None:
        """A place where another may have its turn, and where the process may end or be paused."""
        task = self._current
        if task is None:
            return
        if task.worker.dead:
            raise Crashed
        self.history.note(f"{self.clock.seconds:.4f} {task.name} {what}")
        fault = self.faults.strikes(CRASH, PAUSE)
        if fault == CRASH:
            self.history.note(f"{task.worker.name} crashes")
            raise Crashed
        if fault == PAUSE:
            seconds = self._random.uniform(*PAUSE_SECONDS)
            self.history.note(f"{task.worker.name} is paused for {seconds:.1f} s")
            for paused in task.worker.tasks:
                paused.until = max(paused.until, self.clock.seconds + seconds)
        if self.switching:
            self._hub.switch()
            if task.worker.dead:
                raise Crashed

    def sleep(self, seconds: float) -> None:
        """Wait this long; outside of tasks, time passes."""
        task = self._current
        if task is None:
            self.clock.pass_by(seconds)
            return
        task.until = self.clock.seconds + seconds
        self._hub.switch()
        if task.worker.dead:
            raise Crashed

    def run(self, done: Callable[[], bool], seconds_max: float) -> bool:
        """Give turns until `done`, or for so many simulated seconds or turns; whether it is done."""
        end, last = self.clock.seconds + seconds_max, self.history.count + POINTS_MAX
        chance = self._random.random
        while self.clock.seconds < end and self.history.count < last:
            if done():
                return True
            if self._restarts:
                self._restart_due()
            now = self.clock.seconds
            ready = [task for task in self._tasks if task.until <= now]
            if ready:
                self._give_turn(ready[int(chance() * len(ready))])
                self.clock.seconds += chance() * TURN_SECONDS_MAX
                continue
            waiting = [task.until for task in self._tasks] + [at for at, _ in self._restarts]
            self.clock.seconds = max(min(waiting, default=end), self.clock.seconds + 1e-6)
        return done()

    def end(self) -> None:
        """End all workers for good; nothing of them stays open."""
        for worker in {id(task.worker): task.worker for task in self._tasks}.values():
            worker.restarts = False
            self.crash(worker)

    def crash(self, worker: Worker) -> None:
        """End a worker's process as it stands."""
        worker.dead = True
        for task in worker.tasks:
            if task in self._tasks:
                self._tasks.remove(task)
            if not task.run.dead and task is not self._current:
                self._throw(task)
        for close in reversed(worker.closers):
            close()
        worker.closers.clear()
        if worker.restarts:
            self._restarts.append((self.clock.seconds + self._random.uniform(0.05, 2.0), worker))

    def _throw(self, task: Task) -> None:
        before, self._current = self._current, task
        try:
            task.run.throw(Crashed)
        except Crashed:
            pass
        finally:
            self._current = before

    def _give_turn(self, task: Task) -> None:
        self._current = task
        try:
            task.run.switch()
        except Crashed:
            self.crash(task.worker)
        finally:
            self._current = None
        if task.run.dead and task in self._tasks:
            self._tasks.remove(task)
            if task.worker.ends and all(other.run.dead for other in task.worker.tasks):
                self._start_again(task.worker)

    def _restart_due(self) -> None:
        for at, worker in list(self._restarts):
            if at <= self.clock.seconds:
                self._restarts.remove((at, worker))
                self._start_again(worker)

    def _start_again(self, worker: Worker) -> None:
        fresh = Worker(worker.name, worker.start, worker.restarts)
        self.history.note(f"{worker.name} starts again")
        fresh.start(fresh)
