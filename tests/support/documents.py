"""Pages as a reader follows them: files are written, commands typed, and what they print is as the page shows it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from support.processes import PATIENCE_SECONDS, until

BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
OK, DEGRADED = 0, 1
GROUP = r"\bg[0-9a-f]{6}\b"
VARYING = {
    r"\b\d+ [smhd]\b": "AGE",
    r"\bin \d+\.\d s\b": "in SECONDS",
    GROUP: "GROUP",
    r"\.py:\d+": ".py:LINE",
    r"\b[\w.-]+:\d+ ": "HOST:PROCESS ",
    r"(running .* )\d+$": r"\1HANDLED",
    r" +": " ",
}


def masked(line: str) -> str:
    for pattern, word in VARYING.items():
        line = re.sub(pattern, word, line)
    return line.strip()


def agree(shown: list[str], real: list[str]) -> bool:
    """Whether these are the same lines, where `…` stands for any, but for empty ones at the end."""
    shown, real = ("\n".join(lines).rstrip("\n").split("\n") for lines in (shown, real))
    pattern = "".join(r"(.*\n)*" if line == "…" else re.escape(f"{line}\n") for line in map(masked, shown))
    return re.fullmatch(pattern, "".join(f"{masked(line)}\n" for line in real)) is not None


class Reader:
    """A reader in a new folder: writes each file, types each command, and remembers what was printed."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.ran: list[str] = []
        self.printed: list[str] = []
        self.running: subprocess.Popen[bytes] | None = None
        here = str(Path(sys.executable).parent)
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("PRETERITE_")}
        self._environment |= environment or {}
        self._environment["PATH"] = f"{here}{os.pathsep}{self._environment['PATH']}"

    def write(self, text: str) -> None:
        first, _, rest = text.partition("\n")
        path = self.folder / first.removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rest, encoding="utf-8")

    def type(self, command: str) -> None:
        if command == "preterite run":
            self.running = subprocess.Popen(shlex.split(command), cwd=self.folder, env=self._environment)
            self.wait(OK)
            return
        if command == "preterite status" and self.running is not None:
            self.wait(OK if "redrive" in self.ran[-1] else DEGRADED)
        code, out = self.run(command)
        assert command == "preterite status" or code == OK, f"{command}: {out}"
        self.ran.append(command)
        self.printed.append(out)

    def follow(self, page: str, *, compares: bool = False) -> None:
        """Do all that a page says, one after the other, and compare what it shows with what is printed if so asked."""
        for kind, text in steps(page):
            if kind == "write":
                self.write(text)
            elif kind == "type":
                self.type(text)
            elif compares:
                self.compare(text)

    def compare(self, shown: str) -> None:
        """What the page shows is what the command before it has printed."""
        assert agree(shown.splitlines(), self.printed[-1].splitlines()), f"{self.ran[-1]}:\n{self.printed[-1]}"

    def run(self, command: str) -> tuple[int, str]:
        done = subprocess.run(
            shlex.split(command), cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def wait(self, code: int) -> None:
        until(lambda: self.run("preterite status")[0] == code, f"preterite status ends with {code}")

    def stop(self) -> None:
        if self.running is not None:
            self.running.send_signal(signal.SIGINT)
            self.running.wait(PATIENCE_SECONDS)
            self.running = None


def steps(page: str) -> Iterator[tuple[str, str]]:
    """Each file and command, and what is shown beside them, in their order."""
    for kind, text in BLOCK.findall(page):
        if kind in ("python", "toml", "ini"):
            yield "write", text
        elif kind == "text":
            yield "show", text
        else:
            yield from (("type", line.removeprefix("$ ")) for line in text.splitlines())
