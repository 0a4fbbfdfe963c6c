"""`preterite run`: every component in a process of its own, until told to stop."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from typing import Any

from preterite.cli.application import Application, add_command, find, shown
from preterite.cli.output import table
from preterite.clock import SystemClock
from preterite.supervisor import Supervisor, worker_command

HELP = """\
Run the components of APP, each in a process of its own, until SIGTERM or Ctrl-C. Each finishes what it is at,
and gives its work back. A process that dies or hangs is replaced.

  preterite run shop.system:system
  preterite run shop.system:system --only finance shipping
  preterite run shop.system:system --workers 2    two processes for each component; they share its partitions

Run it on as many hosts as you like: whoever comes gets a share of the work, whoever goes or dies leaves it to the
others within seconds. preterite status --work shows who does what.
"""
CREATE_TABLES = "--create-tables"
WORKERS_MAX = 64


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "run", "run the components", HELP)
    parser.add_argument("app", nargs="?", metavar="APP", help="module:attribute")
    parser.add_argument("--only", nargs="+", metavar="COMPONENT", default=[], help="run only these components")
    parser.add_argument(
        CREATE_TABLES, action="store_true", help="make the components' own tables where they are missing"
    )
    parser.add_argument("--workers", type=_number, default=1, metavar="N", help="processes for each component")
    parser.add_argument("--threads", type=_number, default=1, metavar="N", help="partitions at a time in each process")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Verify and open everything once, so that what is wrong is said before anything runs; then supervise."""
    application, _ = find([options.app] if options.app else [])
    components = [application.component(name) for name in options.only] or application.system.components
    names = [component.name for component in components]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    application.system.open(only=names, create_tables=options.create_tables).close()
    _announce(application, names)
    limits = {component.name: component.time_limit_seconds for component in components}
    command = worker_command(application.name, options.threads)
    supervisor = Supervisor(limits, command, SystemClock(), options.workers)
    received: list[int] = []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        supervisor.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    orderly = supervisor.run()
    print("stopped; what is not handled yet is handled by the next run", file=sys.stderr)
    if not orderly:
        return 6
    return 130 if signal.SIGINT in received else 0


def _number(word: str) -> int:
    if not word.isdigit() or not 1 <= int(word) <= WORKERS_MAX:
        raise argparse.ArgumentTypeError(f"{word!r} is no number from 1 to {WORKERS_MAX}")
    return int(word)


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
    print(f"{application.system.name}: log {shown(application.log_url())}", file=sys.stderr)
    print(table(["component", "publishes", "handlers", "database"], rows, right=(1, 2)), file=sys.stderr)
    print("Ctrl-C stops; preterite status shows how it goes", file=sys.stderr)
