"""`preterite clock`: the business clock of a demo, moved by hand."""

from __future__ import annotations

import argparse
import re
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from preterite import logs
from preterite.cli.application import Refused, add_command, find
from preterite.clock import SystemClock
from preterite.log import LogIdentity
from preterite.shared_clock import SharedClock

HELP = """\
The business clock of a system that is declared as a demo: System(…, demo=True). Every process of it sees the move.

  preterite clock show
  preterite clock freeze              let it stand still
  preterite clock advance 40d         days, hours, minutes or seconds: 40d 2h 30m 10s
  preterite clock to 2011-04-01T00:00Z
  preterite clock run                 let it go on from where it stands

What becomes due on the way is handled, oldest first, by whoever runs the components.
"""
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def add_to(commands: Any) -> None:
    """Declare the command and its verbs."""
    parser = add_command(commands, "clock", "move the business clock of a demo", HELP)
    parser.add_argument(
        "words", nargs="+", metavar="[APP] show|freeze|run|advance TIME|to INSTANT", help="what to do with it"
    )
    parser.set_defaults(command=clock)


def clock(options: argparse.Namespace) -> int:
    """Do it, and say where the clock stands then."""
    with _opened(options.words) as (shared, words):
        match words:
            case ["show"]:
                pass
            case ["freeze"]:
                shared.freeze()
            case ["run"]:
                shared.run()
            case ["advance", *times] if times:
                shared.advance(sum((_time(word) for word in times), timedelta()))
            case ["to", instant]:
                shared.to(_instant(instant))
            case _:
                raise Refused(
                    "clock takes one of: show, freeze, run, advance TIME (as in 40d), to INSTANT (as in 2011-04-01)."
                )
        print(f"{shared.now().isoformat(timespec='seconds')} {'(stands still)' if shared.frozen else '(goes on)'}")
    return 0


@contextmanager
def _opened(words: list[str]) -> Generator[tuple[SharedClock, list[str]]]:
    application, rest = find(words)
    system = application.system
    if not system.demo:
        raise Refused(
            f"System {system.name!r} is no demo, so its clock is the machine's and cannot be moved. "
            "For a demo write System(…, demo=True)."
        )
    identity = LogIdentity(system.name, UUID(int=0), system.partitions)
    if not any(database.exists() for database in application.databases().values()):
        raise Refused(f"System {system.name!r} was never started; it has no clock yet.")
    log = logs.connect(application.log_url(), identity, SystemClock())
    try:
        yield SharedClock(log), rest
    finally:
        log.close()


def _time(word: str) -> timedelta:
    found = re.fullmatch(r"(\d+)([dhms])", word)
    if found is None:
        raise Refused(f"{word!r} is no time; write it as in 40d, 2h, 30m or 10s.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _instant(word: str) -> datetime:
    try:
        instant = datetime.fromisoformat(word)
    except ValueError:
        raise Refused(f"{word!r} is no instant; write it as in 2011-04-01 or 2011-04-01T22:00Z.") from None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
