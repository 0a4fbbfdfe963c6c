"""Simulated worlds: one seed decides who runs when, what fails, and when; the real core runs in it over real SQLite.

`simulate(seed)` runs a model shop through a time with faults and a time without, and asks an oracle that shares no code
with the core. The same seed gives the same history.
"""

from preterite.drivers.extras import needing

with needing("preterite simulate", "simulation"):
    from preterite.testing.simulation.machine.marks import MARKS, unreached
    from preterite.testing.simulation.scenario import Scenario, used
    from preterite.testing.simulation.worlds import Outcome, shortest, simulate

__all__ = ["MARKS", "Outcome", "Scenario", "shortest", "simulate", "unreached", "used"]
