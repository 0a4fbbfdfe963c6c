"""`preterite retire`: take a handler out of force that the program no longer declares."""

from __future__ import annotations

import argparse
from typing import Any

from preterite.cli.application import Refused, add_command, find
from preterite.clock import SystemClock

HELP = """\
Take HANDLER of COMPONENT out of force, once no program declares it any more. Until then newer programs without it
handle nothing, so that no event passes it by during a deployment. What is parked for it becomes dead letters.

  preterite retire shop.system:system finance bill
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "retire", "take a removed handler out of force", HELP)
    parser.add_argument("words", nargs="+", metavar="[APP] COMPONENT HANDLER", help="the handler, and whose it is")
    parser.set_defaults(command=retire)


def retire(options: argparse.Namespace) -> int:
    """Retire the handler and say what became dead."""
    application, words = find(options.words)
    if len(words) != 2:
        raise Refused("retire takes a component and a handler: preterite retire [APP] COMPONENT HANDLER.")
    component = application.component(words[0])
    if any(handler.name == words[1] for handler in component.handlers):
        raise Refused(f"{component.name}.{words[1]} is still declared in the program; remove it there first.")
    with application.opened(component.name) as (database, connection):
        in_force = [handler.name for handler in database.store.handlers(connection)[1] if not handler.retired]
        if words[1] not in in_force:
            raise Refused(
                f"{component.name} has no handler {words[1]!r} in force; it has {', '.join(in_force) or 'none'}."
            )
        database.store.begin(connection)
        dead = database.store.retire_handler(connection, words[1], SystemClock().wall())
        connection.commit()
    print(f"{component.name}.{words[1]} is retired; {dead} of its parked events are dead letters now")
    return 0
