"""The host: runs the loops of a system's components in threads, wakes them, and goes on after what fails.

Threads live here and nowhere else. Each component has one relay and, if it handles anything, one receiver or several,
which share its partitions; a watcher notices what other processes have committed. A wake-up is a hint: without any,
every loop looks again after `IDLE_SECONDS`.
"""

from __future__ import annotations

import logging
import select
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import partial
from types import TracebackType
from typing import Protocol

from preterite.errors import LogError, StoreUnavailable
from preterite.handling import Running
from preterite.leases import LEASE_SECONDS, RENEW_SECONDS
from preterite.log import Log
from preterite.opened import OpenSystem
from preterite.outbox import Relay
from preterite.owners import new_owner
from preterite.receiver import Receiver
from preterite.store import Database, in_transaction, reaching

IDLE_SECONDS = 1.0
WATCH_SECONDS = 0.045
LISTEN_SECONDS = 1.0
DUE_SECONDS_MIN = 0.02
BACKOFF_SECONDS_MIN = 0.1
BACKOFF_SECONDS_MAX = 5.0
BEAT_SECONDS = 1.0
BEGIN_SECONDS = 0.002
"""How long a relay that has taken all there was waits before it looks for more, unless it is woken."""
STOP_SECONDS = 10.0

_logger = logging.getLogger("preterite")


class Loop(Protocol):
    """Work that is done in steps."""

    @property
    def is_broken(self) -> bool:
        """Whether only another loop can go on."""
        ...

    def step(self) -> bool:
        """Do one round; true if there was something to do."""
        ...

    def seconds_to_next(self) -> float | None:
        """How long it is until something is due by the business clock; nothing if nothing is known to be."""
        ...

    def close(self) -> None:
        """Give up what is held."""
        ...


class Host:
    """Runs an open system's components until it is stopped; a context manager that starts and stops.

    Used by one thread. What a loop raises is logged and the loop goes on: after growing waits where a
    database or the log is out of reach, with new connections after anything else. `receivers` share the partitions of
    each component.
    """

    def __init__(self, system: OpenSystem, receivers: int = 1) -> None:
        self._system = system
        self._receivers_each = receivers
        self._stopping = threading.Event()
        self._wakes: dict[str, list[threading.Event]] = {name: [] for name in system.components}
        self._receivers_wakes: dict[str, list[threading.Event]] = {name: [] for name in system.components}
        self._threads: list[_Thread] = []
        self._relays: dict[str, Relay] = {}
        self._receivers: dict[str, Receiver] = {}
        """By the name of their thread."""

    def start(self) -> None:
        """Start the threads; returns at once."""
        self._system.wake = self._wake
        self._system.wake_receivers = self._wake_receivers
        for name in self._system.components:
            owner = new_owner(self._system.randomness)
            self._run_relay(name, owner)
            for number in range(self._receivers_each if self._system.has_handlers(name) else 0):
                self._run_receiver(name, "receiver" if number == 0 else f"receiver {number + 1}")
        watcher = _Thread(
            "watcher",
            lambda: _Watcher(self._system, self._wake, self._wake_receivers),
            self._stopping,
            threading.Event(),
        )
        watcher.idle_seconds = 0.0  # it waits by itself
        self._start(watcher)
        heart = _Thread("heart", lambda: _Heart(self._system, self._receivers), self._stopping, threading.Event())
        heart.idle_seconds = RENEW_SECONDS
        self._start(heart)

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Let every loop finish what it is at and give its leases back; false if one has not within this time."""
        self._stopping.set()
        for thread in self._threads:
            thread.wake.set()
        until = self._system.clock.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(until - self._system.clock.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def serve(self, beat: Callable[[], bool]) -> bool:
        """Run until `stop_soon` is called, or `beat`, called once a second, says false; then stop as `stop` does."""
        while beat() and not self._stopping.wait(BEAT_SECONDS):
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

    def _run(self, component: str, what: str, make: Callable[[], Loop]) -> _Thread:
        wake = threading.Event()
        self._wakes[component].append(wake)
        thread = _Thread(f"{component} {what}", make, self._stopping, wake)
        self._start(thread)
        return thread

    def _run_relay(self, component: str, owner: str) -> None:
        thread = self._run(component, "relay", lambda: self._relay(component, owner))
        thread.did_something = lambda: self._let_others_begin(component, thread.wake)

    def _let_others_begin(self, component: str, wake: threading.Event) -> None:
        """Whom a relay has just told begins at once, not when the relay has looked again for what it would be told."""
        if self._relays[component].has_taken_all:
            wake.wait(BEGIN_SECONDS)

    def _relay(self, component: str, owner: str) -> Relay:
        made = self._relays[component] = self._system.relay(component, owner)
        return made

    def _run_receiver(self, component: str, what: str) -> None:
        owner = new_owner(self._system.randomness)
        thread = self._run(component, what, lambda: self._receiver(component, what, owner))
        self._receivers_wakes[component].append(thread.wake)
        thread.did_something = lambda: self._tell_what_was_published(component, thread.name)

    def _tell_what_was_published(self, component: str, receiver: str) -> None:
        """What handlers published is committed: the relay has something to announce, here or elsewhere."""
        if self._receivers[receiver].take_published():
            self._system.tell(component)

    def _start(self, thread: _Thread) -> None:
        self._threads.append(thread)
        thread.start()

    def _receiver(self, component: str, what: str, owner: str) -> Receiver:
        made = self._receivers[f"{component} {what}"] = self._system.receiver(component, owner)
        return made

    def _wake(self, component: str) -> None:
        for wake in self._wakes.get(component, ()):
            wake.set()

    def _wake_receivers(self, component: str) -> None:
        for wake in self._receivers_wakes.get(component, ()):
            wake.set()


class _Thread(threading.Thread):
    """Steps one loop until told to stop. A daemon: a handler that never returns does not hold up the process."""

    def __init__(self, name: str, make: Callable[[], Loop], stopping: threading.Event, wake: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._make = make
        self._stopping = stopping
        self.wake = wake
        self._loop: Loop | None = None
        self._trouble: str | None = None
        self._backoff_seconds = BACKOFF_SECONDS_MIN
        self.idle_seconds = IDLE_SECONDS
        self.did_something: Callable[[], None] = lambda: None

    def run(self) -> None:
        while not self._stopping.is_set():
            self.wake.clear()
            if self._stopping.is_set():
                break
            try:
                if self._loop is None:
                    self._loop = self._make()
                busy = self._loop.step()
                idle_seconds = 0.0 if busy else self._idle_seconds(self._loop)
            except (StoreUnavailable, LogError) as error:
                self._note(str(error))
                if self._loop is not None and self._loop.is_broken:
                    self._close()
                self._wait_longer()
            except Exception as error:
                _logger.exception("%s failed; it starts again with new connections", self.name)
                self._note(str(error))
                self._close()
                self._wait_longer()
            else:
                self._note(None)
                if busy:
                    self.did_something()
                elif idle_seconds:
                    self.wake.wait(idle_seconds)
        self._close()

    def _idle_seconds(self, loop: Loop) -> float:
        """How long to wait for a wake-up: until something is due, but not for ever, and not without a pause."""
        due_in = loop.seconds_to_next()
        if due_in is None:
            return self.idle_seconds
        return min(self.idle_seconds, max(due_in, DUE_SECONDS_MIN))

    def _note(self, trouble: str | None) -> None:
        """Say once what is wrong, and once that it is over."""
        if trouble != self._trouble:
            if trouble is None:
                _logger.info("%s works again", self.name)
                self._backoff_seconds = BACKOFF_SECONDS_MIN
            else:
                _logger.error("%s: %s", self.name, trouble)
        self._trouble = trouble

    def _wait_longer(self) -> None:
        self._stopping.wait(self._backoff_seconds)
        self._backoff_seconds = min(self._backoff_seconds * 2, BACKOFF_SECONDS_MAX)

    def _close(self) -> None:
        # Where the database is out of reach the leases stay; they run out by themselves.
        with suppress(Exception):
            if self._loop is not None:
                self._loop.close()
        self._loop = None


class _Heart:
    """Says of receivers that run a long handler that they are there, so that nobody takes over their partitions.

    Beyond the handler's time limit it says so no more. Where only one transaction can write, nobody could take over.
    """

    is_broken = False

    def __init__(self, system: OpenSystem, receivers: Mapping[str, Receiver]) -> None:
        self._system = system
        self._receivers = receivers

    def step(self) -> bool:
        now = self._system.clock.monotonic()
        for receiver in dict(self._receivers).values():
            running = receiver.running
            if running is None or not self._system.databases[receiver.component].store.writes_at_once:
                continue
            if RENEW_SECONDS <= now - running.since < receiver.time_limit_seconds:
                self._say(receiver)
        return False

    def _say(self, receiver: Receiver) -> None:
        database = self._system.databases[receiver.component]
        with reaching(database.store, receiver.component), closing(database.connect()) as connection:
            now = database.store.server_time(connection, self._system.clock.wall())
            act = partial(database.store.attend, connection, receiver.owner, now + LEASE_SECONDS, now)
            in_transaction(database.store, connection, act)

    def seconds_to_next(self) -> float | None:
        return None

    def close(self) -> None:
        pass


class _Watcher:
    """Looks whether somebody has committed to a component's database or the log, and wakes who may care."""

    def __init__(self, system: OpenSystem, wake: Callable[[str], None], wake_receivers: Callable[[str], None]) -> None:
        self._system = system
        self._wake = wake
        self._wake_receivers = wake_receivers
        self._versions: dict[str, int] = {}
        self._log_version = -1

    is_broken = False

    def step(self) -> bool:
        """Wait until there may be something, then look at those that were heard, and at those that cannot be."""
        due = self._wait()
        for name in self._system.components:
            database = self._system.databases[name]
            if database in due and (version := database.version(elsewhere=True)) != self._versions.get(name):
                self._versions[name] = version
                self._wake(name)
        if self._system.log in due and (version := self._system.log.version()) != self._log_version:
            self._log_version = version
            for name in self._system.components:
                self._wake_receivers(name)
        return False

    def seconds_to_next(self) -> float | None:
        return None

    def close(self) -> None:
        pass

    def _wait(self) -> list[Database | Log]:
        """Until somebody is heard; where there is nothing to hear, for as long as a look may wait."""
        watched = [self._system.log, *(self._system.databases[name] for name in self._system.components)]
        heard_by = {fileno: one for one in watched if (fileno := one.fileno()) is not None}
        unheard = [one for one in watched if one not in heard_by.values()]
        ready, _, _ = select.select(list(heard_by), [], [], WATCH_SECONDS if unheard else LISTEN_SECONDS)
        # Nobody heard for so long: look at all, in case that something was not.
        return [*(heard_by[fileno] for fileno in ready), *unheard] if ready or unheard else watched
