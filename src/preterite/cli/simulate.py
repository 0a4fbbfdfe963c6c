"""`preterite simulate`: runs a system in simulated worlds, each decided by a seed."""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preterite.cli.application import Refused, add_command, find, import_module, load, parts_of
from preterite.cli.words import number_from
from preterite.printing.text import clause

if TYPE_CHECKING:
    from preterite.testing.simulation import Outcome, Scenario

SEEDS = 100
"""Worlds that `simulate` runs where `--seeds` is not given."""
TIMES = 40
"""Units of work in each world where `--times` is not given."""
HELP = """\
Test the system in simulated worlds: each runs its components, handlers and sagas in one process, over real SQLite, with
faults, and checks what came of it. The seed of a world decides what fails when: crashes, pauses, full disks, commits
whose answer is lost, a log that loses events. The same seed gives the same world.

  preterite simulate --use shop.worlds:use
  preterite simulate --use shop.worlds:use --check shop.worlds:check --seeds 1000
  preterite simulate --use shop.worlds:use --seed 17     only this world, in detail

use(shop, chance) runs one unit of work, with random values from chance, a random.Random; it is called until it has
completed --times times. check(shop) returns a sentence for each violation, once nothing is left to do.
What holds in every system is checked, too: every event is published once, under numbers without gaps, and every
subscriber has read it. What is due more than five minutes after the last use, such as a calendar's next moment, may
remain.
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
    parser = add_command(
        commands, "simulate", "run the system with simulated crashes and losses, each run from a seed", HELP
    )
    parser.add_argument(
        "--use", required=True, metavar="MODULE:FUNCTION", help="the function that runs one unit of work"
    )
    parser.add_argument(
        "--check",
        metavar="MODULE:FUNCTION",
        help="the function that checks the result; default: only what holds in every system is checked",
    )
    parser.add_argument(
        "--times",
        type=number_from(1),
        default=TIMES,
        metavar="N",
        help=f"units of work in each world; default: {TIMES}",
    )
    parser.add_argument(
        "--seeds", type=number_from(1), default=SEEDS, metavar="N", help=f"how many worlds; default: {SEEDS}"
    )
    parser.add_argument(
        "--seed", type=number_from(0), metavar="SEED", help="run only the world of this seed; default: --seeds worlds"
    )
    parser.set_defaults(command=simulate)


def simulate(options: argparse.Namespace) -> int:
    """Run the worlds; 1 if any of them violates a promise."""
    from preterite.testing.simulation.running import explain, run, silence

    application = find(options)
    _refuse_arguments("--use", options.use, "shop, chance")
    if options.check is not None:
        _refuse_arguments("--check", options.check, "shop")
    world = _World(application.name, options.use, options.check, options.times)
    world.scenario()  # what is wrong with the names is said before anything runs
    with silence():
        if options.seed is not None:
            return explain(world(options.seed))
        return run(world, world.shortest, range(1, options.seeds + 1), os.cpu_count() or 1, reaches_all=False)


def _function(name: str) -> Callable[..., Any]:
    module_name, attribute = parts_of(name, "function", "MODULE:FUNCTION, as in shop.worlds:use")
    found = getattr(import_module(module_name, name), attribute, None)
    if not callable(found):
        raise Refused(f"{module_name} has no function {attribute!r}; write MODULE:FUNCTION, as in shop.worlds:use.")
    return found


def _refuse_arguments(option: str, name: str, arguments: str) -> None:
    """Raise `Refused` for a function that cannot be called with these arguments."""
    signature = inspect.signature(_function(name))
    try:
        signature.bind(*arguments.split(", "))
    except TypeError as error:
        raise Refused(
            f"{option} calls {name} as {name.partition(':')[2]}({arguments}), which fails: {clause(error)}."
        ) from None
