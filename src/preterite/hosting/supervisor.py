"""The supervisor: one worker process for each component, or several, replaced when one dies, hangs or stops answering.

A worker reports once a second, on a pipe, which handler it runs and for how long. A handler beyond its time limit
cannot be interrupted from inside, so its process is ended; the attempt is counted as one that killed the process.
When the supervisor itself is gone, the pipe breaks and the workers stop.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from preterite.clock import Backoff, Clock
from preterite.printing.logger import logger
from preterite.printing.text import clause
from preterite.settings import worker_environment

START_SECONDS_MAX = 60.0
"""How long a new worker may take to its first beat; a longer time limit replaces it."""
STOP_SECONDS = 15.0
"""How long a worker has to stop before its process is killed."""
RESTART_SECONDS_MIN = 0.2
"""The wait before a worker is started again; each early end doubles it."""
RESTART_SECONDS_MAX = 3.0
"""The longest wait before a worker is started again."""
STEADY_SECONDS = 60.0
"""How long a worker runs until its next restart waits only `RESTART_SECONDS_MIN` again."""
WATCH_SECONDS = 0.5
"""How often the supervisor looks at its workers."""
BEATS_BYTES = 65_536
"""Bytes that are read at a time from a worker's pipe."""

_logger = logger()


class Beat(NamedTuple):
    """A worker's report: when it came, and the handler that has run for so many seconds."""

    at: float
    handler: str | None
    seconds: float


def fault_of(beat: Beat, now: float, limit_seconds: float, *, has_reported: bool) -> str | None:
    """Why a worker has to be ended, or nothing. Pure."""
    silent = now - beat.at
    if beat.handler is not None and beat.seconds + silent > limit_seconds:
        return (
            f"handler {beat.handler} has run for {beat.seconds + silent:.0f} s; its time limit is {limit_seconds:.0f} s"
        )
    if silent > (limit_seconds if has_reported else max(limit_seconds, START_SECONDS_MAX)):
        return f"it has not answered for {silent:.0f} s"
    return None


@dataclass
class _Worker:
    """A component's process and what is known of it."""

    component: str
    limit_seconds: float
    process: subprocess.Popen[bytes] | None = None
    pipe: int = -1
    beat: Beat = field(default_factory=lambda: Beat(0.0, None, 0.0))
    has_reported: bool = False
    started_at: float = 0.0
    restart_at: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(RESTART_SECONDS_MIN, RESTART_SECONDS_MAX))
    buffered: bytes = b""


class Supervisor:
    """Runs workers until `stop` is called. `command` makes the command line of a worker from component and pipe.

    `each` is the number of workers of a component; they share its partitions by their leases.
    """

    def __init__(
        self,
        limits: Mapping[str, float],
        command: Callable[[str, int], Sequence[str]],
        clock: Clock,
        each: int = 1,
    ) -> None:
        self._workers = [_Worker(component, limit) for component, limit in limits.items() for _ in range(each)]
        self._command = command
        self._clock = clock
        self._stopping = False

    def stop(self) -> None:
        """Ask to stop; may be called from a signal handler."""
        self._stopping = True

    def run(self) -> bool:
        """Run until asked to stop; true if every worker then stopped by itself and in time."""
        while not self._stopping:
            self.step()
            self._clock.sleep(WATCH_SECONDS)
        return self.end()

    def step(self) -> None:
        """Check every worker once: start it, read its reports, replace it. Never waits."""
        for worker in self._workers:
            self._check(worker)

    def _check(self, worker: _Worker) -> None:
        now = self._clock.monotonic()
        if worker.process is None:
            if now >= worker.restart_at:
                self._start(worker)
            return
        self._listen(worker)
        code = worker.process.poll()
        if code is None:
            fault = fault_of(worker.beat, now, worker.limit_seconds, has_reported=worker.has_reported)
            if fault is None:
                return
            _logger.error("%s: %s; its process is ended and replaced", worker.component, clause(fault))
            worker.process.kill()
            worker.process.wait()
        else:
            _logger.error("%s: its process has ended (%s); it is started again", worker.component, _ending(code))
        self._forget(worker)

    def _start(self, worker: _Worker) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        worker.process = subprocess.Popen(
            self._command(worker.component, writing),
            pass_fds=[writing],
            env=worker_environment(worker.component, os.environ),
        )
        os.close(writing)
        worker.pipe, worker.has_reported, worker.buffered = reading, False, b""
        worker.started_at = self._clock.monotonic()
        worker.beat = Beat(worker.started_at, None, 0.0)

    def _listen(self, worker: _Worker) -> None:
        try:
            worker.buffered += os.read(worker.pipe, BEATS_BYTES)
        except BlockingIOError:
            return
        *lines, worker.buffered = worker.buffered.split(b"\n")
        if lines:
            handler, seconds = json.loads(lines[-1])
            worker.beat, worker.has_reported = Beat(self._clock.monotonic(), handler, seconds), True

    def _forget(self, worker: _Worker) -> None:
        """Start it again soon, and after a longer wait each time that it ended early."""
        os.close(worker.pipe)
        worker.process = None
        now = self._clock.monotonic()
        if now - worker.started_at >= STEADY_SECONDS:
            worker.backoff.reset()
        worker.restart_at = now + worker.backoff.next()

    def end(self) -> bool:
        """Let every worker finish its step; kill those that do not in time. True if all did."""
        running = [(worker, worker.process) for worker in self._workers if worker.process is not None]
        for _, process in running:
            process.send_signal(signal.SIGTERM)
        until = self._clock.monotonic() + STOP_SECONDS
        orderly = True
        for worker, process in running:
            try:
                process.wait(max(until - self._clock.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                _logger.error("%s: it did not stop within %.0f s; its process is ended", worker.component, STOP_SECONDS)
                process.kill()
                process.wait()
                orderly = False
            os.close(worker.pipe)
        return orderly


def _ending(code: int) -> str:
    return f"by signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def worker_command(
    app: str, threads: int = 1, create_tables: Container[str] = frozenset()
) -> Callable[[str, int], Sequence[str]]:
    """The command line of a worker that runs one component of an app, so many partitions of it at a time.

    It creates the own tables of the components that are in `create_tables`.
    """

    def command(component: str, pipe: int) -> Sequence[str]:
        creates = "yes" if component in create_tables else "no"
        return [sys.executable, "-m", "preterite.cli.worker", app, component, str(pipe), str(threads), creates]

    return command
