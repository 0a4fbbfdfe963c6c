"""A failed attempt as an operator wants to see it: what, where in the user's own code, and how it got there."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from preterite.store.rows import Failure

TEXT_CHARACTERS_MAX = 2_000
"""Length of an exception's text that is stored with a failure."""
TRACE_CHARACTERS_MAX = 8_000
"""Length of a traceback that is stored with a failure; its end is kept."""
NAME_CHARACTERS_MAX = 200
"""Length of the name of an exception's class that is stored with a failure."""
_OWN_FOLDER = str(Path(__file__).parent)
_LIBRARY_FOLDERS = ("site-packages", "dist-packages", "/lib/python3")


def ends_the_process(error: BaseException) -> bool:
    """Whether this is Ctrl-C in the thread that gets it; everything else that a handler raises is its failure."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def failure_of(error: BaseException) -> Failure:
    """Describe an exception; its place is the innermost line outside Preterite and installed libraries.

    Never raises, whatever the exception does when it is printed, and returns texts that every database stores.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame for frame in frames if not frame.filename.startswith(_OWN_FOLDER) and not is_of_a_library(frame.filename)
    ]
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    text = text_of(error)
    trace = _attempted(lambda: "".join(traceback.format_exception(error)), "(the traceback cannot be printed)")
    return Failure(
        storable(type(error).__name__[:NAME_CHARACTERS_MAX]),
        storable(text[:TEXT_CHARACTERS_MAX]),
        storable(place),
        storable(trace[-TRACE_CHARACTERS_MAX:]),
    )


def is_of_a_library(file: str) -> bool:
    """Whether a file is an installed library's, not the application's."""
    return any(folder in file for folder in _LIBRARY_FOLDERS)


def text_of(error: BaseException) -> str:
    """What an exception says; never raises."""
    return _attempted(lambda: str(error), "(the exception's text cannot be read)")


def storable(text: str) -> str:
    r"""The text with NUL and lone surrogates escaped (`\x00`, `\udcff`), which not every database stores."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def _attempted(read: Callable[[], str], otherwise: str) -> str:
    """What a user's exception says, if it does: its methods may raise, and recurse without end."""
    try:
        return read()
    except BaseException as error:
        if ends_the_process(error):
            raise
        return otherwise


def died_while_handling() -> Failure:
    """The failure of an attempt whose process ended before it did."""
    return Failure(
        "ProcessDied",
        "the process or its connection ended while this handler ran (killed, crashed, or beyond a time limit)",
        "",
        "",
    )
