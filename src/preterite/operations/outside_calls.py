"""What handlers do outside their database while a rehearsal runs them: noticed where Python does it, and refused.

Python reports connections, processes, and files that are written or removed to its audit hooks (PEP 578), which may
refuse them. What a library does in C alone is not reported: a second connection that psycopg opens, for instance.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from preterite.errors import OutsideCallRefused

_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_STARTS_PROCESS = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"}
)
_CHANGES_FILE = frozenset(
    {"os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.utime", "os.truncate", "shutil.rmtree"}
)
_NAMES_TWO_FILES = frozenset({"os.rename", "os.link", "os.symlink"})
_NO_FOLDER = -1
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_TRUNC
_NEW_FILE = os.O_CREAT | os.O_EXCL


class OutsideCalls:
    """Refuses what is done outside of one folder, and counts it."""

    def __init__(self, folder: Path) -> None:
        self.refused: Counter[tuple[str, str]] = Counter()
        """How often what was refused, by handler."""
        self.latest: str | None = None
        """The handler that ran last."""
        self._folder = folder.resolve()
        self._temporary = Path(tempfile.gettempdir()).resolve()

    @contextmanager
    def refusing(self, handler: str) -> Generator[None]:
        """Refuse, in this thread and in what it awaits, with `OutsideCallRefused`."""
        _install()
        self.latest, thread = handler, threading.get_ident()
        token = _in_context.set((self, handler))
        _in_threads[thread] = (self, handler)
        try:
            yield
        finally:
            del _in_threads[thread]
            _in_context.reset(token)

    @contextmanager
    def refusing_elsewhere(self) -> Generator[None]:
        """Refuse in all other threads, too, as what the handler did that ran last.

        Threads that begin meanwhile are refused as long as they live. For a process that only rehearses: a handler may
        have given its work to any thread.
        """
        _install()
        one, before = (self, threading.get_ident()), set(threading.enumerate())
        _elsewhere.append(one)
        try:
            yield
        finally:
            _elsewhere.remove(one)
            _begun.update((thread, self) for thread in threading.enumerate() if thread not in before)

    def judge(self, handler: str, event: str, arguments: Sequence[Any]) -> None:
        """Raise `OutsideCallRefused` for what must not happen now; audit hooks call it."""
        what = self._what(event, arguments)
        if what is not None:
            self.refused[handler, what] += 1
            raise OutsideCallRefused(handler, what)

    def _what(self, event: str, arguments: Sequence[Any]) -> str | None:
        """What is done outside, in words; None for what is not."""
        if event in _CONNECTS:
            return f"a connection to {_address(arguments[1])}"
        if event in _STARTS_PROCESS:
            return "a process"
        if event == "sqlite3.connect" and arguments[0] != ":memory:" and not self._is_ours(arguments[0]):
            return f"a connection to {arguments[0]}"
        if event in ("os.remove", "os.rmdir") and arguments[1] != _NO_FOLDER:
            return None  # a part of a folder, whose removal was judged as a whole
        changed = arguments[:2] if event in _NAMES_TWO_FILES else arguments[:1] if event in _CHANGES_FILE else ()
        for path in changed:
            if not isinstance(path, int) and not self._is_ours(path) and not self._is_temporary(path):
                return f"a change of {path}"
        if event == "open" and self._is_written(arguments):
            return f"a write to {arguments[0]}"
        return None

    def _is_written(self, arguments: Sequence[Any]) -> bool:
        path, _, flags = arguments
        if isinstance(path, int) or not isinstance(flags, int) or not flags & _WRITES or os.fspath(path) == os.devnull:
            return False
        # A new file under a name that was not chosen is a temporary one, and so is one that is opened by its folder.
        is_new = flags & _NEW_FILE == _NEW_FILE or _resolved(path).is_dir()
        return not self._is_ours(path) and not (is_new and self._is_temporary(path))

    def _is_ours(self, path: Any) -> bool:
        return _resolved(path).is_relative_to(self._folder)

    def _is_temporary(self, path: Any) -> bool:
        return _resolved(path).is_relative_to(self._temporary)


_in_context: ContextVar[tuple[OutsideCalls, str] | None] = ContextVar("preterite.outside_calls", default=None)
_in_threads: dict[int, tuple[OutsideCalls, str]] = {}
_elsewhere: list[tuple[OutsideCalls, int]] = []
"""Who refuses in all threads but one."""
_begun: WeakKeyDictionary[threading.Thread, OutsideCalls] = WeakKeyDictionary()
"""Threads that began while a handler was rehearsed."""


@cache
def _install() -> None:
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    watched = _watched()
    if watched is not None:
        calls, handler = watched
        calls.judge(handler, event, arguments)


def _watched() -> tuple[OutsideCalls, str] | None:
    """Who judges what this thread does, and for which handler."""
    thread = threading.get_ident()
    found = (_in_threads.get(thread) or _in_context.get()) if _in_threads else None
    if found is not None:
        return found
    for calls, rehearsing in _elsewhere:
        if calls.latest is not None and thread != rehearsing:
            return calls, calls.latest
    begun = _begun.get(threading.current_thread()) if _begun else None
    return None if begun is None or begun.latest is None else (begun, begun.latest)


def _resolved(path: Any) -> Path:
    return Path(os.fsdecode(path).removeprefix("file:")).resolve()


def _address(address: Any) -> str:
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)
