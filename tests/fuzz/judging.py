"""What every case is judged by, whatever it tries: time, memory, and how it ended."""

from __future__ import annotations

import re
import resource
import sys
import time
import traceback
import unicodedata
from collections.abc import Callable, Generator
from contextlib import contextmanager
from random import Random
from typing import NamedTuple

CASE_SECONDS_MAX = 10.0
"""Processor time of one case: a machine that others use makes nothing slower here."""
MEMORY_BYTES_MAX = 512 * 1024 * 1024
"""What all cases together may add to the memory of the process."""
_CONTROLS = ("Cc", "Cf", "Zl", "Zp", "Cs")
_UNEXPECTED = "preterite: an unexpected error:"

Case = Callable[[Random], list[str]]
"""Tries one thing that a seed decides; returns what is wrong."""


class Finding(NamedTuple):
    """A case that broke a promise, and the seed that repeats it."""

    seed: int
    what: str


class Judge:
    """Runs cases, each from its seed, and keeps what is found and how often which kind of it."""

    def __init__(self) -> None:
        self.cases = 0
        self.findings: list[Finding] = []
        self.kinds: dict[str, int] = {}
        self._memory = _peak()

    def run(self, case: Case, seed: int) -> None:
        """Run one case. What it raises is a finding, not an end."""
        self.cases += 1
        began = time.process_time()
        try:
            found = case(Random(seed))
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            found = [f"raised {type(error).__name__} at {last.filename}:{last.lineno}: {error!s:.300}"]
        took = time.process_time() - began
        if took > CASE_SECONDS_MAX:
            found.append(f"took {took:.1f} s of processor time")
        more = _peak() - self._memory
        if more > MEMORY_BYTES_MAX:
            found.append(f"took {more:,} bytes of memory")
            self._memory = _peak()
        for what in found:
            self.findings.append(Finding(seed, what))
            kind = re.sub(r"[0-9]+|'[^']*'", "…", what)[:160]
            self.kinds[kind] = self.kinds.get(kind, 0) + 1

    @property
    def memory(self) -> int:
        """Bytes that the process has grown by at its peak."""
        return _peak() - self._memory


def wrong_in(printed: str) -> list[str]:
    """What must not be in the output of a command: control characters, a traceback."""
    found = [f"printed {c!r}" for c in sorted(set(printed) - {"\n"}) if unicodedata.category(c) in _CONTROLS]
    if _UNEXPECTED in printed:
        lines = [line.strip(" |") for line in printed.partition(_UNEXPECTED)[2].splitlines() if line.strip(" |")]
        own = [line for line in lines if re.search(r'File ".*preterite/.*", line', line)]
        found.append(f"a traceback: {lines[-1]:.200} {own[-1]}")
    return found


@contextmanager
def limited_memory() -> Generator[None]:
    """Let an attempt to take far more memory than the bound fail in this process, and not the machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (8 * MEMORY_BYTES_MAX, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
