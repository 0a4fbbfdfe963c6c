"""An operator of a simulated world, who looks again and again at what needs a decision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from preterite.drivers.sqlite import is_unavailable
from preterite.errors import LogError, StoreUnavailable, UsageError
from preterite.open_system import OpenSystem
from preterite.testing.simulation.machine.scheduler import Scheduler

LOOK_SECONDS = 2.0


@dataclass
class SimulatedOperator(ABC):
    """Decides for one component after the other; whatever is out of reach is looked at later."""

    opened: OpenSystem
    scheduler: Scheduler

    def act(self) -> None:
        """Look for ever."""
        while True:
            self.scheduler.sleep(LOOK_SECONDS)
            for component in self.opened.components:
                try:
                    self.decide(component)
                except Exception as error:
                    if not isinstance(error, StoreUnavailable | LogError | UsageError) and not is_unavailable(error):
                        raise

    @abstractmethod
    def decide(self, component: str) -> None:
        """Do what a component needs, if it needs anything."""
