"""One component in a process of its own: what the supervisor starts.

`python -m preterite.cli.worker APP COMPONENT PIPE THREADS` is no command for people. It says on the pipe, once a
second, which handler runs and for how long, and stops when the pipe breaks.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence

from preterite.cli import exit_code_of
from preterite.cli.application import load
from preterite.errors import PreteriteError
from preterite.host import Host
from preterite.opened import OpenSystem


def main(arguments: Sequence[str]) -> int:
    """Run one component until SIGTERM, or until nobody listens any more."""
    app, component, pipe, threads = arguments
    # What every thread is at, on stderr: kill -USR1 PID.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        system = load(app).system.open(only=[component])
    except PreteriteError as error:
        logging.getLogger("preterite").error("%s: %s", component, error)
        return exit_code_of(error)
    return serve(system, int(pipe), int(threads))


def serve(system: OpenSystem, pipe: int, threads: int) -> int:
    """Run an open system's components and tell of it on the pipe."""
    host = Host(system, threads)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: host.stop_soon())

    def beat() -> bool:
        now = system.clock.monotonic()
        running = max(host.running().values(), key=lambda one: now - one.since, default=None)
        told = (None, 0.0) if running is None else (running.handler, now - running.since)
        try:
            os.write(pipe, json.dumps(told).encode() + b"\n")
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
    sys.exit(main(sys.argv[1:]))
