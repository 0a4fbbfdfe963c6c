"""Which handler a worker runs, in a file beside the database: the handler's transaction keeps all others from writing.

There is one note for a database: only one handler runs at a time in a SQLite file. It counts for a while.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from preterite.errors import StoreUnavailable
from preterite.printing.text import clause
from preterite.store.rows import RunningHandler


def note(database: Path, running: RunningHandler, wall: float, valid_seconds: float) -> None:
    """Write the note in one step; raises `StoreUnavailable` where it cannot be written."""
    found = {"owner": running.owner, "handler": running.handler}
    times = {"since": wall - running.seconds, "until": wall + valid_seconds}
    file, draft = _file(database), Path(f"{_file(database)}-{os.getpid()}")
    try:
        with suppress(FileNotFoundError):
            draft.unlink()
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            json.dump(found | times, opened)
        draft.replace(file)
    except OSError as error:
        raise StoreUnavailable(
            f"{file} cannot be written: {clause(error.strerror or error)}. The status misses one handler."
        ) from None


def forget(database: Path, owner: str) -> None:
    """Delete this worker's note, if there is one."""
    if _read(database).get("owner") == owner:
        with suppress(OSError):
            _file(database).unlink()


def running(database: Path, wall: float) -> Sequence[RunningHandler]:
    """The handler that runs, if its note is not out of date."""
    found = _read(database)
    try:
        if float(found["until"]) <= wall:
            return ()
        return (RunningHandler(str(found["owner"]), str(found["handler"]), max(wall - float(found["since"]), 0.0)),)
    except (KeyError, TypeError, ValueError):
        return ()


def _file(database: Path) -> Path:
    return Path(f"{database}-running")


def _read(database: Path) -> dict[str, Any]:
    """What the file says; nothing where there is none, or something else."""
    try:
        found: object = json.loads(_file(database).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
