"""A failed attempt as an operator wants to see it: what, where in the user's own code, and how it got there."""

from __future__ import annotations

import traceback
from pathlib import Path

from preterite.rows import Failure

TEXT_CHARACTERS_MAX = 2_000
TRACE_CHARACTERS_MAX = 8_000
_OWN_FOLDER = str(Path(__file__).parent)
_LIBRARY_FOLDERS = ("site-packages", "dist-packages", "/lib/python3")


def failure_of(error: BaseException) -> Failure:
    """Describe an exception; its place is the innermost line outside Preterite and installed libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if not frame.filename.startswith(_OWN_FOLDER) and not any(f in frame.filename for f in _LIBRARY_FOLDERS)
    ]
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    trace = "".join(traceback.format_exception(error))
    return Failure(type(error).__name__, str(error)[:TEXT_CHARACTERS_MAX], place, trace[-TRACE_CHARACTERS_MAX:])


def died_while_handling() -> Failure:
    """The failure of an attempt whose process ended before it did."""
    return Failure(
        "ProcessDied", "the process ended while this handler ran (killed, crashed, or beyond its time limit)", "", ""
    )
