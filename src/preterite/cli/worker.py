"""One component in a process of its own: what the supervisor starts.

`python -m preterite.cli.worker APP COMPONENT PIPE THREADS CREATES` is an internal command. It writes to the pipe, once
a second, which handler runs and for how long, and stops when the pipe breaks. CREATES is yes or no: whether it creates
the component's own tables.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence

from preterite.cli.application import load
from preterite.cli.exit_codes import exit_code_of
from preterite.cli.output import printable_output
from preterite.errors import PreteriteError
from preterite.hosting.host import Host
from preterite.open_system import OpenSystem
from preterite.printing.logger import logger

FAULTS_MAX = 5
"""Faults of a worker in a row, none of them a database's or the log's, after which a new process takes its place."""


def main(arguments: Sequence[str]) -> int:
    """Run one component until SIGTERM, or until the pipe breaks."""
    app, component, pipe, threads, creates = arguments
    # kill -USR1 PID prints the stack of every thread on stderr.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        system = load(app).system.open(only=[component], create_tables=creates == "yes")
    except PreteriteError as error:
        logger().error("%s: %s", component, error)
        return exit_code_of(error)
    return serve(system, int(pipe), int(threads))


def serve(system: OpenSystem, pipe: int, threads: int) -> int:
    """Run an open system's components and report on the pipe."""
    host = Host(system.runtime, threads, FAULTS_MAX)
    signal.signal(signal.SIGTERM, lambda _number, _frame: host.stop_soon())
    # Ctrl-C reaches every process of a terminal; when a worker stops is the supervisor's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # So does the hangup of one.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def beat() -> bool:
        now = system.clock.monotonic()
        running = max(host.running().values(), key=lambda one: now - one.since, default=None)
        report = (None, 0.0) if running is None else (running.handler, now - running.since)
        try:
            os.write(pipe, json.dumps(report).encode() + b"\n")
        except BrokenPipeError:
            return False
        return True

    host.start()
    if not host.serve(beat):
        # A handler does not return. Its transaction is rolled back by the database when the process is gone.
        os._exit(1)
    system.close()
    return 0


if __name__ == "__main__":
    with printable_output():
        sys.exit(main(sys.argv[1:]))
