"""`preterite clock`: the business clock of a demo, moved manually."""

from __future__ import annotations

import argparse
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from preterite.cli.application import Application, Refused, add_command, find
from preterite.cli.output import print_line
from preterite.cli.words import instant
from preterite.demo_clock import SharedClock

HELP = """\
Read or move the business clock of a demo, a system declared with System(…, demo=True). All its processes see the move.

  preterite clock show
  preterite clock freeze              stop it
  preterite clock advance 40d         days, hours, minutes or seconds: 40d 2h 30m 10s
  preterite clock to 2011-04-01T00:00Z
  preterite clock run                 let it run on

What becomes due is handled, oldest first, when the components run.
"""
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def add_to(commands: Any) -> None:
    """Declare the command and its verbs."""
    parser = add_command(commands, "clock", "show or move the clock of a demo", HELP)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", dest="verb", required=True)
    add_command(verbs, "show", "print the time", "Print the time of the business clock.")
    add_command(verbs, "freeze", "stop the clock", "Stop the business clock at its present time.")
    add_command(verbs, "run", "let the clock run", "Let the business clock run on from its present time.")
    advance = add_command(verbs, "advance", "move the clock forward", "Move the business clock forward.")
    advance.add_argument("times", nargs="+", metavar="TIME", type=_time, help="as in 40d, 2h, 30m or 10s")
    to = add_command(verbs, "to", "move the clock to an instant", "Move the business clock forward to an instant.")
    to.add_argument("instant", metavar="INSTANT", type=_instant, help="as in 2011-04-01 or 2011-04-01T22:00Z")
    parser.set_defaults(command=clock)


def clock(options: argparse.Namespace) -> int:
    """Read or move the clock, and print its time."""
    with _opened(find(options)) as shared:
        if options.verb == "freeze":
            shared.freeze()
        elif options.verb == "run":
            shared.run()
        elif options.verb == "advance":
            shared.advance(_sum_of(options.times))
        elif options.verb == "to":
            shared.to(options.instant)
        print_line(f"{shared.now().isoformat(timespec='seconds')} {'(frozen)' if shared.frozen else '(running)'}")
    return 0


@contextmanager
def _opened(application: Application) -> Generator[SharedClock]:
    system = application.system
    if not system.demo:
        raise Refused(
            f"System {system.name!r} is not a demo, so its clock is the system clock and cannot be moved. "
            "Declare a demo with System(…, demo=True)."
        )
    if not any(database.exists() for database in application.databases().values()):
        raise Refused(f"System {system.name!r} was never started; it has no clock yet. preterite run starts it.")
    with application.log() as log:
        yield SharedClock(log)


def _sum_of(times: Sequence[timedelta]) -> timedelta:
    try:
        return sum(times, timedelta())
    except OverflowError:
        return timedelta.max


def _time(word: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,9})([dhms])", word)
    if found is None:
        raise argparse.ArgumentTypeError(f"{word!r} is not a time; write it as in 40d, 2h, 30m or 10s")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _instant(word: str) -> datetime:
    found = instant(word)
    if found is None:
        raise argparse.ArgumentTypeError(f"{word!r} is not an instant; write it as in 2011-04-01 or 2011-04-01T22:00Z")
    return found
