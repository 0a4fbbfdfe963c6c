"""A newer version comes while its users go on: worker by worker; then what its handlers missed is replayed to them.

All of it is one operator's, whose process may end anywhere; the next attempt goes on where that one was cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from preterite.drivers.sqlite import is_unavailable
from preterite.errors import StoreUnavailable, UsageError
from preterite.open_system import OpenSystem
from preterite.operations.dead_letters import Operator
from preterite.operations.replays import Wanted, start
from preterite.testing.simulation.machine.scheduler import Scheduler
from preterite.testing.simulation.scenario import Newer

AFTER_SECONDS = (0.0, 8.0)
"""When the newer version comes: some of its history has been published by then, and some has not."""
REPLAY_RATES = (None, None, 20.0, 60.0)
"""Events a second that a replay may feed: as fast as it goes, or throttled."""
LOOK_SECONDS = 1.0
WHO = "deployment"


@dataclass
class Rollout:
    """What an operator does to activate a newer version, and how far that is."""

    newer: Newer
    scheduler: Scheduler
    chance: Random
    open: Callable[[], OpenSystem]
    """Makes the databases ready for the newer version, and opens it."""
    renew: Callable[[], None]
    """Lets one worker after the other end and start with it."""
    done: bool = False
    _opened: OpenSystem | None = None

    def act(self) -> None:
        """Do all of it, or what is left of it."""
        if self._opened is None:
            self.scheduler.sleep(self.chance.uniform(*AFTER_SECONDS))
        for step in (self._open, self._roll_out, self._ask_for_history, self._watch):
            while not self._is_done(step):
                self.scheduler.sleep(LOOK_SECONDS)
        self.done = True

    def _is_done(self, step: Callable[[], bool]) -> bool:
        try:
            return step()
        except Exception as error:
            if isinstance(error, StoreUnavailable | UsageError) or is_unavailable(error):
                return False
            raise

    def _open(self) -> bool:
        self._opened = self._opened or self.open()
        return True

    def _roll_out(self) -> bool:
        self.renew()
        return True

    @property
    def _version(self) -> OpenSystem:
        assert self._opened is not None, "it was opened first"
        return self._opened

    def _ask_for_history(self) -> bool:
        """Ask once; a component that has read nothing yet is asked again later."""
        opened, name = self._version, self.newer.component
        store, subscriptions = opened.databases[name].store, opened.topology.subscriptions[name]
        with opened.connection(opened.components[name]) as connection:
            if not store.replays(connection, active=False):
                wanted = Wanted((self.newer.handler,), rate=self.chance.choice(REPLAY_RATES))
                operator = Operator(WHO, "what the new handler missed", self.scheduler.clock.wall())
                start(store, connection, opened.log, subscriptions, wanted, operator)
            read = store.cursors(connection)
            self.newer.asked = {(one.publisher, one.partition): state.cursor.number for one, state in read.items()}
        return True

    def _watch(self) -> bool:
        """Whether all is fed."""
        opened, name = self._version, self.newer.component
        with opened.connection(opened.components[name]) as connection:
            return not opened.databases[name].store.replays(connection, active=True)
