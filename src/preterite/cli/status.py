"""`preterite status`: one screen of truth."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from preterite import logs
from preterite.cli.application import Application, add_command, find
from preterite.cli.output import document, table
from preterite.clock import SystemClock
from preterite.log import LogIdentity
from preterite.rows import RELAY
from preterite.shared_clock import SharedClock
from preterite.standing import Observer, Standing

HELP = """\
How each component of APP stands; changes nothing.

  unsent    committed, not in the log yet
  behind    in the log, not handled yet
  parked    failed, or waiting behind what failed; run again by themselves
  dead      wait for a person: preterite dead groups
  later     commands that wait for their time

Exit code 0 if everything moves, 1 if something needs a person.
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "status", "is everything moving?", HELP)
    parser.add_argument("app", nargs="?", metavar="APP", help="module:attribute")
    parser.add_argument("--work", action="store_true", help="also who does what: host and process")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.set_defaults(command=status)


def status(options: argparse.Namespace) -> int:
    """Look once, and say how things are."""
    application, _ = find([options.app] if options.app else [])
    standings = look(application)
    needs = [need for standing in standings.values() for need in standing.needs]
    if options.json:
        print(document({"system": application.system.name, "needs": needs, "components": _as_json(standings)}))
    else:
        print(_headline(application.system.name, standings, needs))
        for said in [*needs, *(notice for standing in standings.values() for notice in standing.notices)]:
            print(f"  {said}")
        print()
        print(_table(standings))
        if options.work:
            print(f"\n{_work(standings)}")
    return 1 if needs else 0


def look(application: Application) -> Mapping[str, Standing]:
    """How every component stands. Makes neither databases nor a log where there are none."""
    clock = SystemClock()
    databases = application.databases()
    topology = application.system.verify(databases)
    identity = LogIdentity(application.system.name, UUID(int=0), application.system.partitions)
    started = any(database.exists() for database in databases.values())
    log = logs.connect(application.log_url() if started else "memory:", identity, clock)
    observer = Observer(topology, databases, log, SharedClock(log) if application.system.demo else clock)
    try:
        return observer.look()
    finally:
        observer.close()
        log.close()


def _headline(system: str, standings: Mapping[str, Standing], needs: list[str]) -> str:
    running = sum(standing.state == "running" for standing in standings.values())
    moves = "NOT ALL MOVING" if needs else "all well"
    return f"{system}: {moves}; {running} of {len(standings)} components are running"


def _table(standings: Mapping[str, Standing]) -> str:
    rows = [
        [
            standing.component,
            standing.state,
            standing.unsent,
            standing.behind if standing.hears else "-",
            standing.counts.parked,
            standing.counts.dead,
            standing.counts.later,
            standing.counts.handled_last_minute,
        ]
        for standing in standings.values()
    ]
    header = ["component", "state", "unsent", "behind", "parked", "dead", "later", "handled/min"]
    return table(header, rows, right=(2, 3, 4, 5, 6, 7))


def _work(standings: Mapping[str, Standing]) -> str:
    """One line for each process of each component: whether it relays, and which partitions it handles."""
    rows: list[list[object]] = []
    for standing in standings.values():
        for process in sorted(set(standing.work.values())):
            names = [name for name, holder in standing.work.items() if holder == process]
            partitions = sorted(int(name.removeprefix("partition/")) for name in names if name != RELAY)
            relays = "relay" if RELAY in names else "-"
            rows.append([standing.component, process, relays, " ".join(map(str, partitions)) or "-"])
    return table(["component", "host:process", "announces", "handles partitions"], rows)


def _as_json(standings: Mapping[str, Standing]) -> dict[str, Any]:
    return {
        name: {
            "state": standing.state,
            "unsent": standing.unsent,
            "behind": standing.behind,
            "numbered": standing.numbered,
            "work": dict(standing.work),
            "stopped": {str(stream): reason for stream, reason in standing.stopped.items()},
            **standing.counts._asdict(),
        }
        for name, standing in standings.items()
    }
