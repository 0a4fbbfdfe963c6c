"""The processes of a storm: hosts that run the shop's components in workers, and its commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from support import storm_shop

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
"""After so long a storm says that something does not recover."""
LOOK_SECONDS = 0.02
_APP = ["-A", "support.storm_shop:system"]


class Hosts:
    """So many hosts of each component, on the databases of one shop; what they say goes to one file."""

    def __init__(self, folder: Path, store: storm_shop.Store, urls: Mapping[str, str], count: int) -> None:
        self._folder = folder
        self._count = count
        self.environment = {
            **os.environ,
            **{f"PRETERITE_{name.upper()}_URL": url for name, url in urls.items()},
            storm_shop.STORE: store,
            "PYTHONPATH": str(ROOT / "tests"),
        }
        self._hosts: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._errors = (folder / "errors").open("ab")

    def start(self, components: Sequence[str]) -> None:
        """Start those of these components."""
        for component in components:
            command = [sys.executable, "-m", "preterite", "run", *_APP, "--only", component]
            self._hosts[component] = [
                subprocess.Popen(
                    command, env=self.environment, stderr=self._errors, cwd=self._folder, start_new_session=True
                )
                for _ in range(self._count)
            ]

    def stop(self, components: Sequence[str], how: signal.Signals) -> None:
        """End those of these components, and their workers: killed at once, or asked to stop."""
        ending = [host for component in components for host in self._hosts.pop(component, [])]
        for host in ending:
            with suppress(ProcessLookupError):
                os.killpg(host.pid, how) if how == signal.SIGKILL else host.send_signal(how)
        for host in ending:
            host.wait()

    def workers(self) -> list[int]:
        """Processes that run components, of all hosts."""
        parents = [str(host.pid) for hosts in self._hosts.values() for host in hosts]
        listed = subprocess.run(
            ["ps", "-ww", "-o", "pid=,args=", "--ppid", ",".join(parents)], capture_output=True, text=True, check=False
        ).stdout.splitlines()
        return [int(line.split()[0]) for line in listed if "preterite.cli.worker" in line]

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of the package's commands on the shop, as its operator does."""
        return subprocess.run(
            [sys.executable, "-m", "preterite", *words, *_APP],
            env=self.environment, cwd=self._folder, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def said(self) -> str:
        """What they said last, and where each of their threads is."""
        for worker in self.workers():
            os.kill(worker, signal.SIGUSR1)
        time.sleep(1.0)
        return Path(self._errors.name).read_text(errors="replace")[-26000:]

    def close(self) -> None:
        """End them for good."""
        self.stop([*self._hosts], signal.SIGKILL)
        self._errors.close()


def until(true: Callable[[], bool], what: str, explained: Callable[[], str]) -> None:
    """Wait until something is so; fail with an explanation if it does not come."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < end, f"not within {PATIENCE_SECONDS:.0f} s: {what}\n{explained()}"
        time.sleep(LOOK_SECONDS)
