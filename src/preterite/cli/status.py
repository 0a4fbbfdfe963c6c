"""`preterite status`: whether everything runs, and what needs an operator."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from preterite import log as logs
from preterite.cli.application import Application, add_command, find
from preterite.cli.output import ago, document, number_of, print_block, print_line, table, table_or_blocks
from preterite.clock import SystemClock
from preterite.demo_clock import SharedClock
from preterite.log.contract import ANY_SYSTEM, LogIdentity
from preterite.log.deferred import open_or_defer
from preterite.operations.status import ComponentStatus, Verdict, verdict
from preterite.operations.status_reader import StatusReader
from preterite.store.rows import RELAY

HELP = """\
Print the status of the system and of every component. Changes nothing.

  preterite status
  preterite status --workers     also which host and process does what

  state        running, off, never started, or unreachable: its database cannot be read
  outbox       events that were committed and are not in the log yet
  lag          events in the log, not handled yet
  oldest       how long the oldest of these, or of what is due, has waited
  parked       events that wait for a retry, or behind one; they run again automatically
  dead         dead letters, which need an operator: preterite dead-letters groups
  scheduled    commands that wait for their time
  handled/min  events handled within the last minute

The verdict is OK (exit code 0); DEGRADED (1), if a component does not run or cannot be read, if something has waited
without progress for 15 s, or if anything else needs an operator; DOWN (4), if no component runs, or the log is
unreachable. What waits for a handler that its worker is seen to run is no problem within the handler's time limit: the
handler is shown. On a terminal that is too narrow for the table, each component is a block.
"""
EXIT_CODES: Mapping[Verdict, int] = {"OK": 0, "DEGRADED": 1, "DOWN": 4}


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser = add_command(commands, "status", "print whether everything runs, and what needs an operator", HELP)
    parser.add_argument("--workers", action="store_true", help="also print which host and process does what")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(command=status)


def status(options: argparse.Namespace) -> int:
    """Print the status; the exit code is the verdict."""
    application = find(options)
    statuses = read_status(application)
    found = verdict(statuses.values())
    # What all of them say of the log is said once.
    problems = list(dict.fromkeys(problem for one in statuses.values() for problem in one.problems))
    if options.json:
        print_block(document(_as_json(application.system.name, found, problems, statuses)))
    else:
        _print(application, found, problems, statuses, workers=options.workers)
    return EXIT_CODES[found]


def read_status(application: Application) -> Mapping[str, ComponentStatus]:
    """The status of every component. Creates neither databases nor a log."""
    clock = SystemClock()
    databases = application.databases()
    topology = application.system.verify(databases)
    identity = LogIdentity(application.system.name, ANY_SYSTEM, application.system.partitions)
    started = any(database.exists() for database in databases.values())
    log_url = application.log_url() if started else "memory:"
    log = open_or_defer(partial(logs.find, log_url, identity, clock), clock)
    reader = StatusReader(topology, databases, log, SharedClock(log) if application.system.demo else clock)
    try:
        return reader.status()
    finally:
        reader.close()
        log.close()


def _print(
    application: Application,
    found: Verdict,
    problems: Sequence[str],
    statuses: Mapping[str, ComponentStatus],
    *,
    workers: bool,
) -> None:
    all_of_them = number_of(len(statuses), "component is", "components are")
    print_line(f"{application.system.name}: {found}; {_running(statuses)} of {all_of_them} running")
    hints = _hints(statuses)
    notices = dict.fromkeys(notice for one in statuses.values() for notice in one.notices)
    for line in [*problems, *notices, *hints]:
        print_line(f"  {line}")
    print_block(f"\n{_table(statuses)}")
    if workers:
        print_block(f"\n{_workers(statuses)}")


def _running(statuses: Mapping[str, ComponentStatus]) -> int:
    return sum(one.state == "running" for one in statuses.values())


def _hints(statuses: Mapping[str, ComponentStatus]) -> list[str]:
    """The command that starts what does not run."""
    off = [name for name, one in statuses.items() if one.state in ("off", "never started")]
    if not _running(statuses):
        return ["start the components: preterite run"]
    return [f"start what does not run: preterite run --only {' '.join(off)}"] if off else []


def _table(statuses: Mapping[str, ComponentStatus]) -> str:
    header = ["component", "state", "outbox", "lag", "oldest", "parked", "dead", "scheduled", "handled/min"]
    rows = [[one.component, one.state, *_numbers(one)] for one in statuses.values()]
    return table_or_blocks(header, rows, right=(2, 3, 4, 5, 6, 7, 8))


def _numbers(one: ComponentStatus) -> list[object]:
    """What is counted; what is not known is no 0."""
    if one.state == "unreachable":
        return ["-"] * 7
    counts = one.counts
    return [
        one.outbox,
        one.lag if one.subscribes and one.log_fault is None else "-",
        "-" if one.oldest_seconds is None else ago(one.oldest_seconds),
        counts.parked,
        counts.dead,
        counts.scheduled,
        counts.handled_last_minute,
    ]


def _workers(statuses: Mapping[str, ComponentStatus]) -> str:
    """One line for each process of each component: whether it publishes, and which partitions it handles."""
    rows: list[list[object]] = []
    for one in statuses.values():
        for process in sorted(set(one.workers.values())):
            names = [name for name, holder in one.workers.items() if holder == process]
            partitions = sorted(int(name.removeprefix("partition/")) for name in names if name != RELAY)
            relays = "yes" if RELAY in names else "-"
            rows.append([one.component, process, relays, " ".join(map(str, partitions)) or "-"])
    return table(["component", "host:process", "publishes", "handles partitions"], rows)


def _as_json(
    system: str, found: Verdict, problems: Sequence[str], statuses: Mapping[str, ComponentStatus]
) -> dict[str, Any]:
    return {
        "system": system,
        "verdict": found,
        "running": _running(statuses),
        "problems": list(problems),
        "components": {
            name: {
                "state": one.state,
                "outbox": one.outbox,
                "lag": one.lag,
                "oldest_seconds": one.oldest_seconds,
                "handling": None if one.handling is None else one.handling._asdict(),
                "no_progress_seconds": one.no_progress_seconds,
                "unreachable": one.fault,
                "log_unreachable": one.log_fault,
                "wal_bytes": one.wal_bytes,
                "log_wal_bytes": one.log_wal_bytes,
                "numbered": one.numbered,
                "workers": dict(one.workers),
                "stalled": {str(stream): reason for stream, reason in one.stalled.items()},
                **one.counts._asdict(),
            }
            for name, one in statuses.items()
        },
    }
