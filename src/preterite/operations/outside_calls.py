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

from preterite.errors import OutsideCallRefused

_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_STARTS_PROCESS = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"}
)
_CHANGES_FILE = frozenset({"os.remove", "os.rename", "os.truncate", "shutil.rmtree"})
_NO_FOLDER = -1
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_TRUNC
_NEW_FILE = os.O_CREAT | os.O_EXCL


class OutsideCalls:
    """Refuses what is done outside of one folder, and counts it."""

    def __init__(self, folder: Path) -> None:
        self.refused: Counter[tuple[str, str]] = Counter()
        """How often what was refused, by handler."""
        self._folder = folder.resolve()
        self._temporary = Path(tempfile.gettempdir()).resolve()

    @contextmanager
    def refusing(self, handler: str) -> Generator[None]:
        """Refuse, in this thread and in what it awaits, with `OutsideCallRefused`."""
        _install()
        thread = threading.get_ident()
        token = _in_context.set((self, handler))
        _in_threads[thread] = (self, handler)
        try:
            yield
        finally:
            del _in_threads[thread]
            _in_context.reset(token)

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
        if event == "os.remove" and arguments[1] != _NO_FOLDER:
            return None  # a part of a folder, whose removal was judged as a whole
        if event in _CHANGES_FILE and not self._is_ours(arguments[0]) and not self._is_temporary(arguments[0]):
            return f"a change of {arguments[0]}"
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


@cache
def _install() -> None:
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _in_threads:
        return
    watched = _in_threads.get(threading.get_ident()) or _in_context.get()
    if watched is not None:
        calls, handler = watched
        calls.judge(handler, event, arguments)


def _resolved(path: Any) -> Path:
    return Path(os.fsdecode(path).removeprefix("file:")).resolve()


def _address(address: Any) -> str:
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)
