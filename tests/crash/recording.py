"""What a process wrote to its files, in order, as strace saw it; and what the disk holds if it ends in the middle.

A process that is killed leaves everything written before: its files are a prefix of the recording. A machine that loses
its power leaves what was synced, and of the rest any part: sectors of 512 bytes, each there or not.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.import_path import import_path

SECTOR_BYTES = 512
RECORD_SECONDS_MAX = 120
_CALLS = "openat,pwrite64,write,ftruncate,fsync,fdatasync,unlink,rename"
_PATTERN = re.compile(r"^(?P<thread>\d+) +(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
_UNFINISHED = re.compile(r"^(?P<thread>\d+) +(?P<begun>\w+\(.*?) *<unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(?P<thread>\d+) +<\.\.\. \w+ resumed>(?P<rest>.*)$")
_FILE = re.compile(r"^\d+<(?P<path>[^>]*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True)
class Step:
    """One call that changes a file, or makes sure of it."""

    call: str
    path: str
    offset: int = 0
    content: bytes = b""


def record(command: Sequence[str], folder: Path, trace: Path) -> list[Step]:
    """Run a command under strace and return what it did to the files of this folder."""
    strace = ["strace", "-f", "-y", "-xx", "-s", "1000000", "-e", f"trace={_CALLS}", "-e", "signal=none"]
    command = [*strace, "-o", str(trace), *command]
    subprocess.run(command, check=True, timeout=RECORD_SECONDS_MAX, env=_environment())
    return list(steps(trace.read_text(encoding="ascii"), folder))


def killed(command: Sequence[str], call: str, number: int) -> int:
    """Run a command and kill it as it begins its n-th call of this name; return how it ended."""
    inject = f"inject={call}:signal=KILL:when={number}"
    strace = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
    ended = subprocess.run([*strace, *command], check=False, timeout=RECORD_SECONDS_MAX, env=_environment())
    return ended.returncode


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": import_path()}


def steps(text: str, folder: Path) -> Iterator[Step]:
    """What the calls of a recording did to the files of a folder, in order."""
    ends: dict[str, int] = {one.name: one.stat().st_size for one in folder.iterdir()}
    threads: set[str] = set()
    for line in _whole(text.splitlines()):
        found = _PATTERN.match(line)
        if found is None or int(found["result"]) < 0:
            continue
        step = _step(found["name"], found["arguments"], int(found["result"]), folder, ends)
        if step is not None:
            threads.add(found["thread"])
            assert len(threads) == 1, "the recorded process writes in several threads"
            yield step


def _whole(lines: Sequence[str]) -> Iterator[str]:
    """Each call in one line: strace breaks it off where a call of another thread begins or ends before it has ended."""
    begun: dict[str, str] = {}
    for line in lines:
        if (found := _UNFINISHED.match(line)) is not None:
            begun[found["thread"]] = f"{found['thread']} {found['begun']}"
        elif (found := _RESUMED.match(line)) is not None:
            yield begun.pop(found["thread"]) + found["rest"]
        else:
            yield line


def _step(call: str, arguments: str, result: int, folder: Path, ends: dict[str, int]) -> Step | None:
    of_file = _FILE.match(arguments)
    texts = [bytes.fromhex(one.replace("\\x", "")) for one in _TEXT.findall(arguments)]
    path = Path(_decoded(of_file["path"])) if of_file and call != "openat" else Path(texts[0].decode())
    name = path.name
    if call in ("fsync", "fdatasync") and path == folder:
        return Step("sync folder", "")
    if path.parent != folder or name.endswith("-shm") or "-running" in name:
        # The index of a write-ahead log is rebuilt after every crash; the note of a long handler is the status's only.
        return None
    if call == "openat":
        # Opened so, a file that was not there begins to be.
        return Step("create", name) if "O_CREAT" in arguments else None
    if call == "pwrite64":
        return Step("write", name, int(arguments.rsplit(", ", 1)[1]), texts[0][:result])
    if call == "write":
        offset = ends.get(name, 0)
        ends[name] = offset + result
        return Step("write", name, offset, texts[0][:result])
    if call == "ftruncate":
        return Step("truncate", name, int(arguments.rsplit(", ", 1)[1]))
    if call == "unlink":
        return Step("remove", name)
    assert call in ("fsync", "fdatasync"), f"{call} of {name} is not understood"
    return Step("sync", name)


def _decoded(path: str) -> str:
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path


@dataclass
class Disk:
    """Files as a machine holds them: what a process sees, and what would be left without power."""

    files: dict[str, bytearray] = field(default_factory=dict[str, bytearray])
    durable: dict[str, bytes] = field(default_factory=dict[str, bytes])
    pending: dict[str, list[Step]] = field(default_factory=dict[str, list[Step]])
    removed: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Removed since the folder was synced last: it may come back, as it was synced."""

    @classmethod
    def of(cls, folder: Path) -> Disk:
        """What a folder holds, all of it synced."""
        files = {one.name: one.read_bytes() for one in folder.iterdir() if not one.name.endswith("-shm")}
        return cls({name: bytearray(content) for name, content in files.items()}, files)

    def take(self, step: Step) -> None:
        """Go on by one step."""
        if step.call == "sync folder":
            self.removed.clear()
            return
        if step.call == "sync":
            self.durable[step.path] = bytes(self.files[step.path])
            self.pending.pop(step.path, None)
            return
        if step.call == "create" and step.path in self.files:
            return
        if step.call == "remove":
            self.files.pop(step.path, None)
            self.pending.pop(step.path, None)
            if step.path in self.durable:
                self.removed[step.path] = self.durable.pop(step.path)
            return
        _apply(self.files, step)
        self.pending.setdefault(step.path, []).append(step)

    def after_a_kill(self) -> dict[str, bytes]:
        """What is there once the process is gone."""
        return {name: bytes(content) for name, content in self.files.items()}

    def after_a_power_loss(self, chance: random.Random) -> dict[str, bytes]:
        """What is there once the machine is on again: a state that the syncs allow."""
        left = {name: bytearray(content) for name, content in self.durable.items()}
        for name, content in self.removed.items():
            if name not in left and chance.random() < 0.5:
                left[name] = bytearray(content)
        for name, steps in self.pending.items():
            if name not in left and chance.random() < 0.5:
                continue  # nobody had made sure of its name
            keeps = chance.random()
            for step in steps:
                for part in _sectors(step):
                    if chance.random() < keeps:
                        _apply(left, part)
        return {name: bytes(content) for name, content in left.items()}


def _sectors(step: Step) -> Iterator[Step]:
    if step.call != "write":
        yield step
        return
    start = 0
    while start < len(step.content):
        end = start + SECTOR_BYTES - (step.offset + start) % SECTOR_BYTES
        yield Step("write", step.path, step.offset + start, step.content[start:end])
        start = end


def _apply(files: dict[str, bytearray], step: Step) -> None:
    content = files.setdefault(step.path, bytearray())
    if step.call == "truncate":
        del content[step.offset :]
        content.extend(bytes(step.offset - len(content)))
    elif step.call == "write":
        if len(content) < step.offset:
            content.extend(bytes(step.offset - len(content)))
        content[step.offset : step.offset + len(step.content)] = step.content


def write_out(files: dict[str, bytes], folder: Path) -> None:
    """Make a folder that holds these files and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
