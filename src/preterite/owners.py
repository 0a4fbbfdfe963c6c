"""Who holds a lease: a name that tells machine, process and loop, and whether that process is gone for certain.

Whoever finds a lease of a process that is gone need not wait until it expires. Where that cannot be told (another
machine, a system without /proc) nobody is thought gone; the lease expires.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from preterite.clock import Randomness

_PROC = Path("/proc")


def new_owner(randomness: Randomness) -> str:
    """A name for a loop of this process that no other loop, anywhere and ever, has."""
    pid = os.getpid()
    return f"{_machine()}/{pid}/{_started(pid) or ''}/{randomness.uuid()}/{socket.gethostname()}"


def shown(owner: str) -> str:
    """The host and the process of an owner, for people."""
    _, pid, _, _, host = (*owner.split("/"), "", "", "", "", "")[:5]
    return f"{host}:{pid}" if host else owner


def is_gone(owner: str) -> bool:
    """Whether the process of this name ran on this machine and has ended. False where nobody can tell."""
    machine, _, rest = owner.partition("/")
    pid, _, rest = rest.partition("/")
    started = rest.partition("/")[0]
    if not machine or not pid.isdigit() or not started or machine != _machine():
        return False
    return _started(int(pid)) != started


def _machine() -> str:
    """This run of this machine, and the part of it whose process numbers are ours; empty where there is no /proc."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process was started, in the kernel's ticks; nothing if it has ended, also if nobody has noticed yet."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name in parentheses may hold anything; what follows it is: state, then 18 fields, then the start.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]
