"""Cuts a recorded flow at every write and sync, or takes its power away anywhere, and lets the next one finish."""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crash.flows import ACKNOWLEDGED, FLOWS, finish, prepare
from crash.recording import Disk, Step, record, write_out

MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Cut:
    """One end of a flow: where it was, and what did not hold once the next one had finished."""

    step: int
    doing: str
    violations: list[str]


class Recorded:
    """A flow that was run once under strace."""

    def __init__(self, flow: str, folder: Path) -> None:
        self.flow = flow
        self._folder = folder / flow
        self._folder.mkdir()
        prepare(flow, self._folder)
        self._before = Disk.of(self._folder)
        self._finished: dict[bytes, list[str]] = {}
        command = [sys.executable, "-m", "crash.flows", flow, "act", str(self._folder)]
        self.steps = record(command, self._folder, folder / f"{flow}.trace")

    def kills(self, every: int = 1) -> Iterator[Cut]:
        """The process killed before each step, or so many of them, and after the last."""
        disk = self._disk()
        for number in range(len(self.steps) + 1):
            if number % every == 0 or number == len(self.steps):
                yield self._finish(number, disk.after_a_kill())
            if number < len(self.steps):
                disk.take(self.steps[number])

    def power_losses(self, count: int, seed: int) -> Iterator[Cut]:
        """The power lost so often, each time somewhere and with other writes lost."""
        chance = random.Random(f"{self.flow} {seed}")
        places = sorted(chance.randrange(len(self.steps) + 1) for _ in range(count))
        disk, done = self._disk(), 0
        for place in places:
            for step in self.steps[done:place]:
                disk.take(step)
            done = place
            yield self._finish(place, disk.after_a_power_loss(chance))

    def _disk(self) -> Disk:
        before = self._before
        return Disk({name: bytearray(content) for name, content in before.files.items()}, dict(before.durable))

    def _finish(self, number: int, files: dict[str, bytes]) -> Cut:
        """What the next one makes of these files; it is asked once, because the same files always end the same way.

        A sync, and a file that is made or removed again, change nothing of what a killed process leaves.
        """
        left = {name: content for name, content in files.items() if name != ACKNOWLEDGED}
        told = self._told(number)
        digest = _digest(left, told)
        if digest not in self._finished:
            self._finished[digest] = self._violations(left, told)
        return Cut(number, _saying(self.steps, number), self._finished[digest])

    def _violations(self, files: dict[str, bytes], told: list[str]) -> list[str]:
        with tempfile.TemporaryDirectory(prefix="preterite-", dir=MEMORY if MEMORY.is_dir() else None) as place:
            left = Path(place) / "left"
            write_out(files, left)
            try:
                return finish(left, FLOWS[self.flow], told)
            except Exception as error:
                return [f"whoever came next failed: {type(error).__name__}: {error}"]

    def _told(self, number: int) -> list[str]:
        """The purchases that a client was told of before this step."""
        told = bytes(self._before.files.get(ACKNOWLEDGED, b""))
        for step in self.steps[:number]:
            if step.path == ACKNOWLEDGED and step.call == "write":
                told += step.content
        return told.decode().splitlines()


def _digest(files: dict[str, bytes], told: list[str]) -> bytes:
    """The same for the same files and the same purchases that a client was told of."""
    whole = hashlib.sha256(repr(told).encode())
    for name, content in sorted(files.items()):
        whole.update(f"{name} {len(content)} ".encode())
        whole.update(content)
    return whole.digest()


def _saying(steps: list[Step], number: int) -> str:
    if number == len(steps):
        return "after the last step"
    step = steps[number]
    return f"{step.call} {step.path} at {step.offset}, {len(step.content)} bytes"
