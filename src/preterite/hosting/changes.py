"""Notices what other processes have committed to a component's database or the log, and wakes the loops here."""

from __future__ import annotations

import selectors
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

from preterite.errors import LogError, StoreUnavailable
from preterite.hosting.runtime import Runtime
from preterite.log.contract import Log
from preterite.loop import Progress
from preterite.store.contract import Database

WATCH_SECONDS = 0.045
"""How often the watcher compares databases that send no notifications."""
WATCH_ACTIVE_SECONDS = 0.01
"""How often it does so after a change, and how long no change follows the last of many."""
ACTIVE_SECONDS = 1.0
"""For how long after a change."""
LISTEN_SECONDS = 1.0
"""How long the watcher waits for a notification before it compares all databases."""
ABSENT_SECONDS = 5.0
"""For how long the watcher leaves alone what was out of reach."""
LOG = ""
"""The log, among the names of components."""


class Watched(NamedTuple):
    """What the watcher knows of one database or the log."""

    version: int = -1
    """At the last comparison."""
    woken_for: int = -1
    """The version for which loops were woken last."""
    woken_at: float = float("-inf")


def compared(watched: Watched, version: int, now: float, *, waits: bool) -> tuple[Watched, bool]:
    """What is known after a comparison, and whether to wake the loops now. Pure.

    With `waits`, changes that follow each other wake the loops every `WATCH_SECONDS`, and once more after the last: so
    many commits become one batch, and the last is noticed at the next comparison.
    """
    has_paused = version == watched.version or now - watched.woken_at >= WATCH_SECONDS
    if version == watched.woken_for or (waits and not has_paused):
        return watched._replace(version=version), False
    return Watched(version, version, now), True


class ChangeWatcher:
    """Compares the versions of databases and log, and wakes the loops of this process when one has changed."""

    is_broken = False

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._databases = {name: Watched() for name in runtime.components}
        self._log = Watched()
        self._active_until = float("-inf")
        self._absent_until: dict[str, float] = {}

    def step(self) -> Progress:
        """Wait until something may have changed, then compare versions: of what notified, and of what cannot notify."""
        due = self._wait()
        now = self._runtime.clock.monotonic()
        for name in self._runtime.components:
            database = self._runtime.databases[name]
            if database in due and self._is_in_reach(name, now):
                with self._noting_absence(name, now):
                    version = database.version(elsewhere=True)
                    self._databases[name], changed = self._compare(self._databases[name], version, database)
                    if changed:
                        self._runtime.wake_ups.committed(name)
        if self._runtime.log in due and self._is_in_reach(LOG, now):
            with self._noting_absence(LOG, now):
                self._log, changed = self._compare(self._log, self._runtime.log.version(), self._runtime.log)
                if changed:
                    for name in self._runtime.components:
                        self._runtime.wake_ups.appended(name)
        return Progress(busy=False)

    def _is_in_reach(self, name: str, now: float) -> bool:
        return self._absent_until.get(name, now) <= now

    @contextmanager
    def _noting_absence(self, name: str, now: float) -> Generator[None]:
        """What is out of reach is left alone for a while, and the others are compared; its own loops log it."""
        try:
            yield
        except (StoreUnavailable, LogError):
            self._absent_until[name] = now + ABSENT_SECONDS

    def seconds_to_next(self) -> float | None:
        """Nothing is due here."""
        return None

    def close(self) -> None:
        """It has no connections of its own."""

    def _compare(self, watched: Watched, version: int, source: Database | Log) -> tuple[Watched, bool]:
        now = self._runtime.clock.monotonic()
        if version != watched.version:
            # Compare more often for a while: a change is often followed by others.
            self._active_until = now + ACTIVE_SECONDS
        return compared(watched, version, now, waits=source.fileno() is None)

    def _wait(self) -> list[Database | Log]:
        """Wait for a notification, and for a short time only where one of them sends none; return what to compare."""
        watched = [self._runtime.log, *(self._runtime.databases[name] for name in self._runtime.components)]
        if all(one.fileno() is None for one in watched):
            self._runtime.clock.sleep(self._watch_seconds())
            return watched
        with selectors.DefaultSelector() as selector:
            silent: list[Database | Log] = []
            for one in watched:
                if (fileno := one.fileno()) is None:
                    silent.append(one)
                else:
                    selector.register(fileno, selectors.EVENT_READ, one)
            ready = [key.data for key, _ in selector.select(self._watch_seconds() if silent else LISTEN_SECONDS)]
        # After so long without any notification compare all, in case that one was lost.
        return [*ready, *silent] or watched

    def _watch_seconds(self) -> float:
        active = self._runtime.clock.monotonic() < self._active_until
        return min(WATCH_ACTIVE_SECONDS, WATCH_SECONDS) if active else WATCH_SECONDS
