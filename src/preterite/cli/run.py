"""`preterite run`: runs every component in its own process, until it is stopped."""

from __future__ import annotations

import argparse
import logging
import signal
from contextlib import suppress
from typing import Any

from preterite.cli.application import Application, add_command, find
from preterite.cli.output import print_block, print_line, table
from preterite.cli.words import number_from
from preterite.clock import SystemClock, SystemRandomness
from preterite.hosting.supervisor import Supervisor, worker_command
from preterite.open_system import OpenSystem
from preterite.printing.urls import shown
from preterite.system import open_as

HELP = """\
Run the components, each in its own process, until SIGTERM, SIGHUP or Ctrl-C. Then each process finishes the events it
is at, and leaves its partitions (the shares of the events, by key) to others. A process that dies or hangs is replaced.
Where a database or the log is out of reach, the rest runs, and it is tried again.

  preterite run
  preterite run --only finance shipping
  preterite run --workers 2    two processes for each component; they share its partitions

It may run on any number of hosts: all processes of a component share its partitions. When one stops or dies, the others
take over its partitions within seconds. preterite status --workers shows which process has which.
"""
CREATE_TABLES = "--create-tables"
OPENING_SECONDS = 3.0
"""How long `run` waits for databases, all of which it opens at once; what has not answered is left to its worker."""
WORKERS_MAX = 64
"""Workers of one component that `run` starts."""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "run", "run the components, each in a process of its own", HELP)
    parser.add_argument(
        "--only", nargs="+", metavar="COMPONENT", default=[], help="run only these components; default: all"
    )
    parser.add_argument(
        CREATE_TABLES,
        action="store_true",
        help="create the components' own tables where they are missing, as the role of PRETERITE_COMPONENT_OWNER_URL "
        "where that is set",
    )
    parser.add_argument(
        "--workers",
        type=number_from(1, WORKERS_MAX),
        default=1,
        metavar="N",
        help="processes for each component; default: 1",
    )
    parser.add_argument(
        "--threads",
        type=number_from(1, WORKERS_MAX),
        default=1,
        metavar="N",
        help="partitions handled at the same time in each process; default: 1",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Verify and open everything once, so that faults are reported before anything runs; then supervise.

    What is out of reach is logged, and opened by its worker once it is there.
    """
    application = find(options)
    components = [application.component(name) for name in options.only] or application.system.components
    names = [component.name for component in components]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    opened = _opened(application, names, create_tables=options.create_tables)
    later = set(opened.runtime.faults) if options.create_tables else set[str]()
    opened.close()
    limits = {component.name: component.time_limit_seconds for component in components}
    command = worker_command(application.name, options.threads, later)
    supervisor = Supervisor(limits, command, SystemClock(), options.workers)
    received: list[int] = []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        supervisor.stop()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # What nohup ignores stays ignored.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
    _announce(application, names)
    orderly = supervisor.run()
    with suppress(OSError):  # a terminal that hung up takes no more
        print_line("stopped; the next run handles what is left", error=True)
    if not orderly:
        return 6
    return 130 if signal.SIGINT in received else 0


def _opened(application: Application, names: list[str], *, create_tables: bool) -> OpenSystem:
    return open_as(
        OpenSystem,
        application.system,
        databases={},
        log=None,
        only=names,
        create_tables=create_tables,
        clock=None,
        randomness=SystemRandomness(),
        opening_seconds=OPENING_SECONDS,
    )


def _announce(application: Application, names: list[str]) -> None:
    topology = application.system.verify()
    urls = {name: database.url for name, database in application.databases().items()}
    rows = [
        [
            name,
            len(application.system.component(name).publishes),
            len(topology.subscriptions[name].registrations),
            urls[name],
        ]
        for name in names
    ]
    print_line(f"{application.system.name}: log {shown(application.log_url())}", error=True)
    print_block(table(["component", "publishes", "handlers", "database"], rows, right=(1, 2)), error=True)
    print_line("Ctrl-C stops it; preterite status shows the progress", error=True)
