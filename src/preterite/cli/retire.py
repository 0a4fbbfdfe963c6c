"""`preterite retire`: retires a handler that the program no longer declares."""

from __future__ import annotations

import argparse
from typing import Any

from preterite.cli.application import Refused, add_command, find
from preterite.cli.output import number_of, print_line
from preterite.clock import SystemClock

HELP = """\
Declare that a handler was removed from the program on purpose. Until then a program that lacks it handles nothing for
the component: else old and new processes, side by side during a deployment, would leave events out. Events that wait
for a retry by the handler become dead letters.

  preterite retire finance bill
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "retire", "deactivate a handler that was removed from the program", HELP)
    parser.add_argument("component", metavar="COMPONENT", help="the component of the handler")
    parser.add_argument("handler", metavar="HANDLER", help="the handler to retire")
    parser.set_defaults(command=retire)


def retire(options: argparse.Namespace) -> int:
    """Retire the handler and print how many events became dead letters."""
    application = find(options)
    component = application.component(options.component)
    retired: str = options.handler
    if any(handler.name == retired for handler in component.handlers):
        raise Refused(f"{component.name}.{retired} is still declared in the program; remove it there first.")
    with application.opened(component.name) as (database, connection):
        active = [handler.name for handler in database.store.handlers(connection)[1] if not handler.retired]
        if retired not in active:
            raise Refused(f"{component.name} has no active handler {retired!r}; it has {', '.join(active) or 'none'}.")
        database.store.begin(connection)
        dead = database.store.retire_handler(connection, retired, SystemClock().wall())
        connection.commit()
    left = number_of(dead, "event that waited for it is a dead letter", "events that waited for it are dead letters")
    print_line(f"{component.name}.{retired} is retired; {left} now")
    return 0
