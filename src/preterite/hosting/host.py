"""The host: runs the loops of a system's components in threads, wakes them, and goes on after what fails.

Threads live here and, while databases are opened, in `openings.py`. Each component has one relay and, if it handles
anything, one receiver or several, which share its partitions; a watcher notices what other processes have committed.
A wake-up is a hint: without any, every loop looks again after `IDLE_SECONDS`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType

from preterite.clock import Backoff
from preterite.errors import FileReplaced, LogError, PreteriteError, StoreError, StoreUnavailable, SystemRefused
from preterite.handling.failure import text_of
from preterite.handling.invoker import Running
from preterite.hosting.changes import ChangeWatcher
from preterite.hosting.runtime import Runtime
from preterite.leases import LEASE_SECONDS, RENEW_SECONDS, new_owner
from preterite.loop import Loop, Progress
from preterite.printing.logger import logger
from preterite.receiving.receiver import Receiver
from preterite.store.contract import translating_errors
from preterite.store.rows import RunningHandler

IDLE_SECONDS = 1.0
"""How long a loop without work waits where nothing wakes it."""
DUE_SECONDS_MIN = 0.02
"""The shortest wait for what is due."""
BACKOFF_SECONDS_MIN = 0.1
"""A loop's first wait after a fault; each further one in a row doubles it."""
BACKOFF_SECONDS_MAX = 5.0
"""A loop's longest wait after a fault."""
IDLE_STEPS_WELL = 5
"""Idle steps without a fault after which a loop that had one is said to work again; one with work is enough."""
BEAT_SECONDS = 1.0
"""How often `serve` calls `beat`."""
BEGIN_SECONDS = 0.002
"""How long a relay that has taken all there was waits before it looks for more, unless it is woken."""
STOP_SECONDS = 10.0
"""How long `Host.stop` waits for its threads."""

_logger = logger()


class Host:
    """Runs an open system's components until it is stopped; a context manager that starts and stops.

    Used by one thread. What a loop raises is logged and the loop goes on: after growing waits where a
    database or the log is out of reach, with new connections after anything else. Where a SQLite file was replaced, the
    loop ends, and `serve` with it. `receivers` share the partitions of each component. With `faults_max` a loop ends
    after so many other faults in a row, as is right where another process takes its place.
    """

    def __init__(self, runtime: Runtime, receivers: int = 1, faults_max: int | None = None) -> None:
        self._runtime = runtime
        self._receivers_each = receivers
        self._faults_max = faults_max
        self._stopping = threading.Event()
        self._threads: list[LoopThread] = []
        self._receivers: dict[str, Receiver] = {}
        """By the name of their thread."""

    def start(self) -> None:
        """Start the threads; returns at once."""
        for name in self._runtime.components:
            self._add_relay(name)
            for number in range(self._receivers_each if self._runtime.has_handlers(name) else 0):
                self._add_receiver(name, "receiver" if number == 0 else f"receiver {number + 1}")
        # The watcher waits in its own step.
        self._add("watcher", lambda: ChangeWatcher(self._runtime), idle_seconds=0.0)
        self._add("heartbeat", lambda: Heartbeat(self._runtime, self._receivers), idle_seconds=RENEW_SECONDS)
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float | None = None) -> bool:
        """Let every loop finish its step and give its leases back; false if one has not within this time.

        Without a number of seconds, `STOP_SECONDS` is the time.
        """
        self._stopping.set()
        for thread in self._threads:
            thread.wake.set()
        until = self._runtime.clock.monotonic() + (STOP_SECONDS if seconds is None else seconds)
        for thread in self._threads:
            thread.join(max(until - self._runtime.clock.monotonic(), 0.0))
            self._runtime.wake_ups.remove(thread.wake.set)
        return not any(thread.is_alive() for thread in self._threads)

    def serve(self, beat: Callable[[], bool]) -> bool:
        """Run until `stop_soon` is called, or a thread ends, or `beat`, called once a second, is false; then stop."""
        while beat() and all(thread.is_alive() for thread in self._threads) and not self._stopping.wait(BEAT_SECONDS):
            pass
        return self.stop()

    def stop_soon(self) -> None:
        """Make `serve` return; may be called from a signal handler."""
        self._stopping.set()

    def running(self) -> dict[str, Running]:
        """The handlers that run just now, by the loop that runs them. May be called from any thread."""
        found = {name: receiver.running for name, receiver in dict(self._receivers).items()}
        return {name: running for name, running in found.items() if running is not None}

    def __enter__(self) -> Host:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _add_relay(self, component: str) -> None:
        owner = new_owner(self._runtime.randomness)
        wake = threading.Event()

        def yield_to_receivers(progress: Progress) -> None:
            # Receivers that the relay has just woken start at once, before the relay looks for more.
            if progress.drained:
                wake.wait(BEGIN_SECONDS)

        self._runtime.wake_ups.add(component, wake.set, reads_log=False)
        make = partial(self._runtime.relay, component, owner)
        self._add(f"{component} relay", make, wake=wake, on_progress=yield_to_receivers)

    def _add_receiver(self, component: str, what: str) -> None:
        owner = new_owner(self._runtime.randomness)
        wake = threading.Event()
        name = f"{component} {what}"

        def make() -> Receiver:
            made = self._receivers[name] = self._runtime.receiver(component, owner)
            return made

        def notify_if_published(progress: Progress) -> None:
            if progress.published:
                self._runtime.notify(component)

        self._runtime.wake_ups.add(component, wake.set, reads_log=True)
        self._add(name, make, wake=wake, on_progress=notify_if_published)

    def _add(
        self,
        name: str,
        make: Callable[[], Loop],
        *,
        wake: threading.Event | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        idle = IDLE_SECONDS if idle_seconds is None else idle_seconds
        self._threads.append(
            LoopThread(name, make, self._stopping, wake or threading.Event(), on_progress, idle, self._faults_max)
        )
        self._threads[-1].on_end = self._runtime.ended.append


class LoopThread(threading.Thread):
    """Steps one loop until the host stops. A daemon: a handler that never returns does not hold up the process."""

    def __init__(
        self,
        name: str,
        make: Callable[[], Loop],
        stopping: threading.Event,
        wake: threading.Event,
        on_progress: Callable[[Progress], None] | None,
        idle_seconds: float,
        faults_max: int | None = None,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.wake = wake
        self._make = make
        self._stopping = stopping
        self.on_progress = on_progress
        self._max_idle_seconds = idle_seconds
        self._loop: Loop | None = None
        self._troubles: set[str] = set()
        """The faults since the loop has last worked."""
        self._steps_well = 0
        self.on_end: Callable[[PreteriteError], None] = lambda error: None
        """Called with what ends the loop for good."""
        self._faults_max = faults_max
        self._faults = 0
        """Faults in a row that no database or log explains."""
        self._backoff = Backoff(BACKOFF_SECONDS_MIN, BACKOFF_SECONDS_MAX)

    def run(self) -> None:
        while not self._stopping.is_set():
            self.wake.clear()
            if self._stopping.is_set():
                break
            try:
                if self._loop is None:
                    self._loop = self._make()
                progress = self._loop.step()
                idle_seconds = 0.0 if progress.busy else self._idle_seconds(self._loop)
            except FileReplaced as error:
                # Only a new start opens the other file; a thread that ends ends its worker.
                self._note(str(error))
                self.on_end(error)
                break
            except (StoreError, LogError, SystemRefused) as error:
                self._note(str(error))
                if self._loop is not None and self._loop.is_broken:
                    self._close()
                self._stopping.wait(self._backoff.next())
            except BaseException as error:
                # No thread but the main one is interrupted: whatever this is, it was raised here.
                if text_of(error) not in self._troubles:
                    _logger.exception("%s failed; it starts again with new connections", self.name)
                self._note(text_of(error))
                self._close()
                self._faults += 1
                if self._faults == self._faults_max:
                    _logger.error("%s failed %d times in a row and ends", self.name, self._faults)
                    break
                self._stopping.wait(self._backoff.next())
            else:
                self._well(progress)
                if progress.busy and self.on_progress is not None:
                    self.on_progress(progress)
                if idle_seconds:
                    self.wake.wait(idle_seconds)
        self._close()

    def _idle_seconds(self, loop: Loop) -> float:
        """How long to wait for a wake-up: until something is due, within bounds."""
        due_in = loop.seconds_to_next()
        if due_in is None:
            return self._max_idle_seconds
        return min(self._max_idle_seconds, max(due_in, DUE_SECONDS_MIN))

    def _note(self, trouble: str) -> None:
        """Log a fault, once until the loop works again."""
        self._steps_well = 0
        if trouble not in self._troubles:
            _logger.error("%s: %s", self.name, trouble)
        self._troubles.add(trouble)

    def _well(self, progress: Progress) -> None:
        """Note a step without a fault; one that had nothing to do may not have used what is out of reach."""
        self._faults = 0
        self._steps_well += 1
        if self._troubles and (progress.busy or self._steps_well >= IDLE_STEPS_WELL):
            _logger.info("%s works again", self.name)
            self._backoff.reset()
            self._troubles.clear()

    def _close(self) -> None:
        # Where the database is out of reach the leases stay; they run out by themselves.
        with suppress(Exception):
            if self._loop is not None:
                self._loop.close()
        self._loop = None


class Heartbeat:
    """Notes which handler a receiver has been running for longer than `RENEW_SECONDS`, and that it is at work still.

    The status reads it; and where several transactions write at a time, no other worker takes over the partitions
    meanwhile. It stops at the handler's time limit. Short handlers cost nothing.
    """

    is_broken = False

    def __init__(self, runtime: Runtime, receivers: Mapping[str, Receiver]) -> None:
        self._runtime = runtime
        self._receivers = receivers
        self._noted: dict[str, str] = {}
        """The component of each receiver whose handler was noted last time."""

    def step(self) -> Progress:
        now = self._runtime.clock.monotonic()
        fault: StoreUnavailable | None = None
        for receiver in dict(self._receivers).values():
            running = receiver.running
            if running is not None and RENEW_SECONDS <= now - running.since < receiver.time_limit_seconds:
                try:
                    self._note(receiver, RunningHandler(receiver.owner, running.handler, now - running.since))
                except StoreUnavailable as error:
                    # The handlers of other components are noted all the same.
                    fault = error
            else:
                self._forget(receiver.owner)
        if fault is not None:
            raise fault
        return Progress(busy=False)

    def _note(self, receiver: Receiver, running: RunningHandler) -> None:
        database = self._runtime.databases[receiver.component]
        with translating_errors(database.store, receiver.component):
            database.note_running(running, self._runtime.clock.wall(), LEASE_SECONDS)
        self._noted[receiver.owner] = receiver.component

    def _forget(self, owner: str) -> None:
        component = self._noted.pop(owner, None)
        if component is not None:
            self._runtime.databases[component].forget_running(owner)

    def seconds_to_next(self) -> float | None:
        return None

    def close(self) -> None:
        for owner in list(self._noted):
            self._forget(owner)


class HandlerNotes:
    """Notes which handlers run while threads of the caller step these receivers; a context manager, for any number.

    The note needs a thread of its own, because the caller's is in the handler.
    """

    def __init__(self, runtime: Runtime, receivers: Mapping[str, Receiver]) -> None:
        self._runtime = runtime
        self._receivers = receivers
        self._lock = threading.Lock()
        self._inside = 0
        self._stopping = threading.Event()
        self._thread: LoopThread | None = None

    def __enter__(self) -> HandlerNotes:
        with self._lock:
            self._inside += 1
            if self._thread is None:
                self._stopping = threading.Event()
                make = partial(Heartbeat, self._runtime, self._receivers)
                self._thread = LoopThread(
                    "heartbeat", make, self._stopping, threading.Event(), None, idle_seconds=RENEW_SECONDS
                )
                self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._thread is not None:
                self._stopping.set()
                self._thread.wake.set()
                self._thread.join()
                self._thread = None
