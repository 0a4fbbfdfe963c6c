"""Real processes for stories: `preterite run` on a shop in a folder of its own, and waiting for what it does."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

from preterite import OpenSystem
from support import process_shop, tiers
from support.any_store import log_place, places, sql
from support.import_path import import_path
from support.process_shop import finance, sales, shipping, system

PATIENCE_SECONDS = 300.0
"""After so long a test says that something hangs; no promise is about this time."""
LOOK_SECONDS = 0.02


def until(true: Callable[[], bool], what: str, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something is so; the test fails if it is not in time."""
    end = time.monotonic() + patience_seconds
    while not true():
        assert time.monotonic() < end, f"not within {patience_seconds:.0f} s: {what}"
        time.sleep(LOOK_SECONDS)


class RunningShop:
    """A shop in a folder, and the process that runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.urls = places(folder, ("sales", "finance", "shipping"))
        self.log_url = log_place(folder)
        self.opened: OpenSystem = system.open(databases=self.urls, log=self.log_url, create_tables=True)
        self.time_limit_seconds = 60.0
        """How long a handler of Finance may take; no load of the machine makes one take so long."""
        self.process: subprocess.Popen[bytes] | None = None
        self._errors = (folder / "errors").open("ab")
        self._others: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> Mapping[str, str]:
        urls = {f"PRETERITE_{name.upper()}_URL": url for name, url in self.urls.items()}
        # No story is about how fast its machine stops a process.
        limit = {"TIME_LIMIT_SECONDS": str(self.time_limit_seconds), "STOP_SECONDS": str(PATIENCE_SECONDS)}
        return {**os.environ, **urls, **limit, "PRETERITE_LOG_URL": self.log_url, "PYTHONPATH": import_path()}

    def run(self, *options: str) -> subprocess.Popen[bytes]:
        """Start `preterite run` on it."""
        self.process = self._start(options, start_new_session=True)
        return self.process

    def run_another(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a second `preterite run` beside it, in a process group of its own, as on another host."""
        self._others.append(self._start(options, start_new_session=True))
        return self._others[-1]

    def _start(self, options: Sequence[str], *, start_new_session: bool = False) -> subprocess.Popen[bytes]:
        tiers.slow_only(tiers.PROCESSES)
        command = [sys.executable, "-m", "preterite", "run", "-A", "support.process_shop:system", *options]
        return subprocess.Popen(
            command,
            env=self.environment,
            stderr=self._errors,
            cwd=self.folder,
            start_new_session=start_new_session,
        )

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def pause(self, process: subprocess.Popen[bytes]) -> None:
        """Stop another process and its workers as if their host were gone, while they hold no lock of a SQLite file.

        A file's lock goes with its host, but not with a process that is only paused: that holds up all others.
        """

        def is_paused() -> bool:
            os.killpg(process.pid, signal.SIGSTOP)
            until(lambda: _states(process.pid) == {"T"}, "all of its processes are paused")
            if all(_is_free(url) for url in [self.log_url, *self.urls.values()]):
                return True
            os.killpg(process.pid, signal.SIGCONT)
            return False

        until(is_paused, "it is paused without a lock")

    def workers(self, component: str | None = None) -> list[int]:
        """The worker processes, of one component or all."""
        assert self.process is not None
        found: list[int] = []
        for line in subprocess.run(
            # Twice "w": the whole command, however narrow the terminal is said to be.
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.splitlines():
            pid, *words = line.split()
            if "preterite.cli.worker" in words:
                its = words[words.index("preterite.cli.worker") + 2]
                found += [int(pid)] if component in (None, its) else []
        return sorted(found)

    def publish(self, what: str = "", customer: UUID | None = None) -> UUID:
        """One purchase, in a unit of work of its own."""
        purchase = uuid4()
        with self.opened.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
            connection.execute(sql("insert into purchase values (?)"), [str(purchase)])
            unit_of_work.publish(process_shop.purchased(purchase, customer or uuid4(), what))
        return purchase

    def billed(self) -> list[str]:
        """What Finance has billed, in order."""
        return self._bills("finance")

    def shipped(self) -> list[str]:
        """What Shipping has shipped, in order."""
        return self._bills("shipping")

    def errors(self) -> str:
        """What it has said."""
        return (self.folder / "errors").read_text()

    def close(self) -> None:
        for process in (self.process, *self._others):
            if process is not None:
                end_group(process)
        self._errors.close()
        self.opened.close()

    def _bills(self, component: str) -> list[str]:
        owner = {"finance": finance, "shipping": shipping}[component]
        with self.opened.connection(owner) as connection:
            return [row[0] for row in connection.execute(sql("select purchase from bill order by position"))]


def _states(group: int) -> set[str]:
    """The states of a group's processes, as letters of ps; those that are gone do not count."""
    listed = subprocess.run(["ps", "-o", "stat=", "-g", str(group)], capture_output=True, text=True, check=False)
    return {state[0] for state in listed.stdout.split()} - {"Z"}


def _is_free(url: str) -> bool:
    """Whether a file can be written to at this moment; a database on a server always can."""
    if not url.startswith("sqlite"):
        return True
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0.0, isolation_level=None)) as connection:
        try:
            connection.execute("begin immediate")
        except sqlite3.OperationalError:
            return False
        connection.execute("rollback")
    return True


def end_group(process: subprocess.Popen[bytes]) -> None:
    """A process and its workers, at once; returns when none is left that could write to databases used again."""

    def is_gone() -> bool:
        process.poll()
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return True
        return False

    until(is_gone, "all workers are gone")


@contextmanager
def running_shop(folder: Path) -> Generator[RunningShop]:
    """A shop that is closed, and whose processes are gone, at the end."""
    shop = RunningShop(folder)
    try:
        yield shop
    finally:
        shop.close()
