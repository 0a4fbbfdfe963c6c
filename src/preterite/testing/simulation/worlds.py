"""One simulated world: the real core, two workers, a client, a time with faults, a time without, and the oracle."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from preterite.drivers.sqlite import is_unavailable
from preterite.errors import LogError, PreteriteError, StoreUnavailable
from preterite.hosting.host import BACKOFF_SECONDS_MIN, IDLE_SECONDS
from preterite.hosting.runtime import Runtime
from preterite.log.contract import LogIdentity
from preterite.loop import Loop
from preterite.open_system import OpenSystem
from preterite.publishing.relay import Relay
from preterite.receiving.receiver import Receiver
from preterite.store.rows import Counts
from preterite.system import System
from preterite.testing import SeededRandomness
from preterite.testing.simulation import losses, oracle, restores
from preterite.testing.simulation.deployment import WHO, Rollout
from preterite.testing.simulation.losses import NONE, Losses, LossOperator
from preterite.testing.simulation.machine.databases import SimulatedDatabase
from preterite.testing.simulation.machine.faults import LOSES, RATES, Faults
from preterite.testing.simulation.machine.log import SimulatedLog
from preterite.testing.simulation.machine.marks import RAN_AGAIN, STOOD_BACK
from preterite.testing.simulation.machine.scheduler import Scheduler, SimulatedClock, Worker
from preterite.testing.simulation.purchases import Purchases
from preterite.testing.simulation.restores import Moment, RestoreOperator, Restorer
from preterite.testing.simulation.scenario import Scenario

PURCHASES = 118
WORKERS = 2
LOSSES_EVERY = 3
"""One world of so many keeps little."""
RESTORES_EVERY = 3
"""In one world of so many, others than those, databases are put back. In the rest a newer version comes."""
RENAMES_EVERY = 6
"""In one world of so many, half of the rest, that version renames a handler."""
SAFETY_SECONDS = 600.0
MORE_SAFETY_SECONDS = 40.0
"""How long things go on to fail once all is published: most of what waits comes due meanwhile."""
LIVENESS_SECONDS = 900.0
LOOK_SECONDS = 3.0
LATER_SECONDS = 300.0
"""A world ends once what is due so long after its users are done has been done; what is due later may wait."""
SYSTEM_ID = UUID(int=5)


@dataclass(frozen=True)
class Outcome:
    """What came of a seed: its violations, the hash of its history, and the faults that it went through."""

    seed: int
    violations: list[str]
    hash: str
    faults: list[str]
    faults_drawn: int
    last_lines: list[str]
    marks: Mapping[str, int] = field(default_factory=dict[str, int])
    events: int = 0
    """How many events its components have published to one another."""


class World:
    """One run. Everything that happens follows from the seed."""

    def __init__(
        self,
        seed: int,
        folder: Path,
        scenario: Scenario,
        kept: frozenset[int] | None,
        lost: Losses = NONE,
        restored: Sequence[Moment] = (),
    ) -> None:
        self.seed = seed
        self._losses = lost
        self.folder = folder
        self._random = random.Random(f"world {seed}")
        # Where a database goes back and the log loses what that had published, only a person can say what is right.
        rates = {**RATES, LOSES: 0.0} if restored else RATES
        self.faults = Faults(random.Random(f"faults {seed}"), rates, kept)
        self.scheduler = Scheduler(seed, SimulatedClock(), self.faults)
        self._scenario = scenario
        self._databases = {
            one.name: SimulatedDatabase(f"sqlite:///{folder / one.name}.sqlite", self.scheduler)
            for one in scenario.system.components
        }
        self._next_look = 0.0
        self._until = float("inf")
        self._owners = 0
        self._broken: list[str] = []
        self._randomness = SeededRandomness(seed)
        system = scenario.system
        identity = LogIdentity(system.name, SYSTEM_ID, system.partitions)
        self._log = SimulatedLog(identity, self.scheduler, lost.retention, lost.append_records)
        self._versions = [self._open(system)]
        self._workers: dict[str, Worker] = {}
        self._processes: dict[str, Worker] = {}
        """All of them, by name, as they were started last."""
        self._renewed: set[str] = set()
        self._restorer = Restorer([*restored], folder, self._log, self.scheduler, self._end_all, scenario.taken_back)
        self._restores = bool(restored)
        self._rollout = self._plan_rollout()
        if lost is not NONE:
            losses.keep_pruned({name: database.path for name, database in self._databases.items()})

    def run(self) -> Outcome:
        """The time with faults, the time without, the verdict."""
        for number in range(WORKERS):
            worker = Worker(f"worker {number + 1}", self._start_worker)
            worker.start(worker)
        client = Worker("client", self._start_client)
        client.start(client)
        if self._rollout is not None:
            person = Worker(WHO, self._start_rollout)
            person.start(person)
        if self._losses is not NONE:
            operator = Worker(losses.WHO, self._start_operator)
            operator.start(operator)
        if self._restores:
            accepting = Worker(restores.PERSON, self._start_accepting)
            accepting.start(accepting)
        used = self.scheduler.run(self._is_used, SAFETY_SECONDS)
        self._until = self.scheduler.clock.wall() + LATER_SECONDS
        self.scheduler.run(self._is_at_rest, MORE_SAFETY_SECONDS)
        self.faults.active = False
        rested = self.scheduler.run(self._is_at_rest, LIVENESS_SECONDS)
        # A task in the middle of a transaction would keep the verdict from reading.
        self.scheduler.end()
        found = [*self._broken]
        if not used:
            found.append(f"who uses the system was not done after {SAFETY_SECONDS:.0f} s")
        if not rested:
            found.append(f"I8: not at rest after {LIVENESS_SECONDS:.0f} s, or so many turns, without faults")
        found += self._scenario.violations(self.folder, self._versions[-1], self._until)
        history = self.scheduler.history
        if self._scenario.attempts():
            history.mark(RAN_AGAIN)
        events = oracle.events_published(self.folder, list(self._databases))
        return Outcome(
            self.seed, found, history.hash, self.faults.happened, self.faults.drawn, history.lines[-60:],
            dict(history.marks), events,
        )  # fmt: skip

    def close(self) -> None:
        """End what still runs."""
        self.scheduler.end()
        for opened in self._versions:
            opened.close()

    def _open(self, system: System) -> OpenSystem:
        connect = partial(
            Runtime,
            system.name,
            system.components,
            system.verify(),
            self._databases,
            self._log,
            self.scheduler.clock,
            self._randomness,
            create_tables=True,
        )
        return OpenSystem(connect(), connect)

    def _plan_rollout(self) -> Rollout | None:
        newer = self._scenario.newer
        if newer is None:
            return None

        def open_newer() -> OpenSystem:
            self._versions.append(self._open(newer.system))
            return self._versions[-1]

        return Rollout(newer, self.scheduler, random.Random(f"rollout {self.seed}"), open_newer, self._renew)

    def _start_rollout(self, worker: Worker) -> None:
        assert self._rollout is not None, "there is something to roll out"
        self.scheduler.spawn(WHO, worker, self._rollout.act)

    def _start_operator(self, worker: Worker) -> None:
        self.scheduler.spawn(losses.WHO, worker, LossOperator(self._versions[0], self.scheduler).act)

    def _start_accepting(self, worker: Worker) -> None:
        self._processes[worker.name] = worker
        self.scheduler.spawn(worker.name, worker, RestoreOperator(self._versions[0], self.scheduler).act)

    def _end_all(self) -> None:
        """End every process: nobody has a database open that is put back."""
        for worker in self._processes.values():
            if not worker.dead:
                self.scheduler.history.note(f"{worker.name} ends")
                self.scheduler.crash(worker)

    def _is_used(self) -> bool:
        """Whether its users are done, and all that was to be put back is."""
        self._restorer.do_what_is_due()
        return self._restorer.is_done and not self._scenario.wants_more()

    def _renew(self) -> None:
        """Let one worker after the other end and start again, with the newest version."""
        for name, worker in list(self._workers.items()):
            if name not in self._renewed:
                self._renewed.add(name)
                worker.ends = True
            while worker.ends and self._workers[name] is worker:
                self.scheduler.sleep(IDLE_SECONDS)

    def _start_worker(self, worker: Worker) -> None:
        self._workers[worker.name] = self._processes[worker.name] = worker
        runtime = self._versions[-1 if worker.name in self._renewed else 0].runtime
        for component in runtime.components:
            relay = self._owner(worker, component)
            self._spawn(worker, f"{component} relay", lambda name=component, owner=relay: self._relay(name, owner))
            if runtime.has_handlers(component):
                receiver = self._owner(worker, component)
                self._spawn(
                    worker,
                    f"{component} receiver",
                    lambda name=component, owner=receiver: runtime.receiver(name, owner),
                )

    def _relay(self, component: str, owner: str) -> Relay:
        relay = self._versions[0].runtime.relay(component, owner)
        relay.journal_seconds = self._losses.journal_seconds
        return relay

    def _owner(self, worker: Worker, component: str) -> str:
        """A name on a machine of its own: that its process is gone shows by its lease alone."""
        self._owners += 1
        return f"simulated/{worker.name}/{component}/{self._owners}"

    def _spawn(self, worker: Worker, what: str, make: Callable[[], Loop]) -> None:
        self.scheduler.spawn(f"{worker.name} {what}", worker, lambda: self._loop(f"{worker.name} {what}", worker, make))

    def _loop(self, name: str, worker: Worker, make: Callable[[], Any]) -> None:
        """What the host's thread does, with the scheduler's time."""
        loop: Any = None
        while not worker.ends:
            try:
                if loop is None:
                    loop = make()
                if isinstance(loop, Receiver) and self._losses.is_away(loop.component, self.scheduler.clock.seconds):
                    self.scheduler.sleep(IDLE_SECONDS)
                    continue
                busy = loop.step()
                due = None if busy else loop.seconds_to_next()
            except (StoreUnavailable, LogError):
                self.scheduler.sleep(BACKOFF_SECONDS_MIN)
            except Exception as error:
                self._broken.append(f"{name} raised {type(error).__name__}: {error}")
                self.scheduler.sleep(IDLE_SECONDS)
            else:
                if getattr(loop, "superseded", None) is not None:
                    self.scheduler.history.mark(STOOD_BACK)
                if not busy:
                    self.scheduler.sleep(IDLE_SECONDS if due is None else min(IDLE_SECONDS, max(due, 0.02)))
        if loop is not None:
            # As in the host: where the database is out of reach leases stay, and run out.
            with suppress(Exception):
                loop.close()

    def _start_client(self, worker: Worker) -> None:
        self._processes[worker.name] = worker
        worker.closers += [database.dispose for database in self._databases.values()]
        self.scheduler.spawn("client", worker, self._use)

    def _use(self) -> None:
        while self._scenario.wants_more():
            try:
                self._scenario.use(self._versions[0], self._random)
            except Exception as error:
                if not isinstance(error, StoreUnavailable) and not is_unavailable(error):
                    self._broken.append(f"the use of the system raised {type(error).__name__}: {error}")
            self.scheduler.sleep(self._random.uniform(0.0, 0.2))

    def _is_at_rest(self) -> bool:
        """Nothing in an outbox, unread, due, or to come before long. Looked at seldom: it reads everything."""
        if self.scheduler.clock.seconds < self._next_look or (self._rollout is not None and not self._rollout.done):
            return False
        self._next_look = self.scheduler.clock.seconds + LOOK_SECONDS
        statuses = self._versions[-1].status().values()
        return all(one.is_quiet and not self._comes(one.counts) for one in statuses)

    def _comes(self, counts: Counts) -> bool:
        """Whether something runs by itself that this world waits for."""
        return counts.next_due_at is not None and counts.next_due_at <= self._until


def simulate(
    seed: int,
    *,
    purchases: int = PURCHASES,
    kept: frozenset[int] | None = None,
    scenario: Callable[[], Scenario] | None = None,
) -> Outcome:
    """Run one world; its files are gone afterwards. The model shop lives in it, unless a scenario is given."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="preterite-", dir=memory if memory.is_dir() else None) as folder:
        try:
            lost = losses.draw(seed) if scenario is None and seed % LOSSES_EVERY == 1 else NONE
            restored = restores.draw(seed) if scenario is None and seed % RESTORES_EVERY == 2 else []
            grows = lost is NONE and not restored
            renames = seed % RENAMES_EVERY == 0
            made = Purchases(purchases, grows=grows, renames=renames).scenario() if scenario is None else scenario()
            world = World(seed, Path(folder), made, kept, lost, restored)
            try:
                return world.run()
            finally:
                world.close()
        except PreteriteError as error:
            return Outcome(seed, [f"the world ended: {error}"], "", [], 0, [])


def shortest(seed: int, *, purchases: int = PURCHASES, scenario: Callable[[], Scenario] | None = None) -> Outcome:
    """The same failing world with as few faults as it still fails with: halves of them are left out, then single ones.

    What is left out lets everything after it happen otherwise, so this is short, not the shortest that there is.
    """
    found = simulate(seed, purchases=purchases, scenario=scenario)
    kept = sorted(range(found.faults_drawn))
    size = len(kept) // 2
    while size > 0:
        for first in reversed(range(0, len(kept), size)):
            fewer = kept[:first] + kept[first + size :]
            tried = simulate(seed, purchases=purchases, kept=frozenset(fewer), scenario=scenario)
            if tried.violations:
                found, kept = tried, fewer
        size //= 2
    return found
