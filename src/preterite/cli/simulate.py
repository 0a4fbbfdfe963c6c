"""`preterite simulate`: a system lives through simulated worlds, each decided by a seed."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from preterite.cli.application import Refused, add_command, find, load
from preterite.errors import ConfigurationError

if TYPE_CHECKING:
    from preterite.testing.simulation import Outcome, Scenario

SEEDS = 100
TIMES = 40
HELP = """\
Let the system live through simulated worlds: its own components, handlers and sagas, over real SQLite, with crashes,
pauses, full disks, answers that are lost, and a log that loses what it had, as each world's seed decides.

  preterite simulate shop.system:system --use shop.worlds:use
  preterite simulate shop.system:system --use shop.worlds:use --check shop.worlds:check --seeds 1000
  preterite simulate shop.system:system --use shop.worlds:use --seed 17     this world, and everything about it

use(shop, chance) does one unit of work, drawing what it needs from chance, a random.Random; it is called until it
has come to its end so many times. check(shop) returns a sentence for each thing that does not hold once all is at rest.
What holds in every system is checked too: no number missing or given twice, everything read, nothing stands still.
What is due more than five minutes after the last use, as moments of calendars are, may wait.
Handlers must be plain functions, over bare connections or SQLAlchemy sessions.
"""


@dataclass(frozen=True)
class _World:
    """What is simulated, by its names: so that other processes find it too."""

    app: str
    use: str
    check: str | None
    times: int

    def __call__(self, seed: int) -> Outcome:
        from preterite.testing.simulation import simulate

        return simulate(seed, scenario=self.scenario)

    def shortest(self, seed: int) -> Outcome:
        """The same world with as few faults as it still breaks a promise with."""
        from preterite.testing.simulation import shortest

        return shortest(seed, scenario=self.scenario)

    def scenario(self) -> Scenario:
        """The system and its use, anew."""
        from preterite.testing.simulation import used

        system = load(self.app).system
        check = None if self.check is None else _function(self.check)
        return used(system, _function(self.use), self.times, check)


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "simulate", "let the system live through simulated worlds", HELP)
    parser.add_argument("app", nargs="?", metavar="APP", help="module:attribute")
    parser.add_argument("--use", required=True, metavar="MODULE:FUNCTION", help="what users do, one unit of work")
    parser.add_argument("--check", metavar="MODULE:FUNCTION", help="what must hold in the end")
    parser.add_argument(
        "--times", type=_count, default=TIMES, metavar="N", help=f"units of work in each world ({TIMES})"
    )
    parser.add_argument("--seeds", type=_count, default=SEEDS, metavar="N", help=f"how many worlds ({SEEDS})")
    parser.add_argument("--seed", type=int, metavar="SEED", help="only this world")
    parser.set_defaults(command=simulate)


def simulate(options: argparse.Namespace) -> int:
    """Run the worlds; 1 if any of them breaks a promise."""
    if find_spec("greenlet") is None:
        raise ConfigurationError("Simulated worlds need greenlet; install preterite[simulation].")
    application, _ = find([options.app] if options.app else [])
    world = _World(application.name, options.use, options.check, options.times)
    world.scenario()  # what is wrong with the names is said before anything runs
    from preterite.testing.simulation.running import explain, run, silence

    with silence():
        if options.seed is not None:
            return explain(world(options.seed))
        return run(world, world.shortest, range(1, options.seeds + 1), os.cpu_count() or 1, reaches_all=False)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _function(name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute, None)
    except ImportError as error:
        raise Refused(f"{module_name} cannot be imported: {error}.") from error
    if not callable(found):
        raise Refused(f"{module_name} has no function {attribute!r}; write module:function.")
    return found
