"""A failed attempt as an operator wants to see it: what, where in the user's own code, how it got there; and logged."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

from preterite.clock import Clock
from preterite.printing.limit import LineLimit
from preterite.printing.logger import logger
from preterite.printing.raised import is_a
from preterite.printing.text import clause
from preterite.store.rows import Failure, Fingerprint, Parked

TEXT_CHARACTERS_MAX = 2_000
"""Length of an exception's text that is stored with a failure."""
TRACE_CHARACTERS_MAX = 8_000
"""Length of a traceback that is stored with a failure; its end is kept."""
NAME_CHARACTERS_MAX = 200
"""Length of the name of an exception's class that is stored with a failure."""
LINES_MAX = 20
"""Failures of a component, and as many of its dead letters, that a process logs within `LINES_SECONDS`."""
LINES_SECONDS = 60.0
"""How long `LINES_MAX` holds; then what was left out is logged as a number."""
GROUP_SECONDS = 3600.0
"""How long a failure group that was logged is not logged again."""
GROUPS_MAX = 1_000
"""Failure groups of a component of which a process remembers that it has logged them."""
_OWN_FOLDER = str(Path(__file__).parents[1])
_SIMULATED = str(Path(_OWN_FOLDER) / "testing")
_COMPILED = (".pyx", ".pxd")
"""Ends of the files that compiled libraries name in a traceback, without their folders."""
_LIBRARY_FOLDERS = ("site-packages", "dist-packages", "/lib/python3")
_UUID_BYTES = 16
_logger = logger()


def ends_the_process(error: BaseException) -> bool:
    """Whether this is Ctrl-C in the thread that gets it; everything else that a handler raises is its failure."""
    return is_a(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def failure_of(error: BaseException) -> Failure:
    """Describe an exception; its place is the innermost line outside Preterite and installed libraries.

    Never raises, whatever the exception does when it is printed, and returns texts that every database stores.
    """
    place = _attempted(lambda: _place_of(error), "")
    text = text_of(error)
    trace = _attempted(lambda: "".join(traceback.format_exception(error)), "(the traceback cannot be printed)")
    return Failure(
        storable(name_of(error)[:NAME_CHARACTERS_MAX]),
        storable(text[:TEXT_CHARACTERS_MAX]),
        storable(place),
        storable(trace[-TRACE_CHARACTERS_MAX:]),
    )


def _place_of(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_own(frame.filename) and not is_of_a_library(frame.filename)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""


def _is_own(file: str) -> bool:
    """Whether a file is Preterite's; the handlers of simulated worlds are like an application's."""
    return file.startswith(_OWN_FOLDER) and not file.startswith(_SIMULATED)


def is_of_a_library(file: str) -> bool:
    """Whether a file is an installed library's, not the application's."""
    return file.endswith(_COMPILED) or any(folder in file for folder in _LIBRARY_FOLDERS)


def text_of(error: BaseException) -> str:
    """What an exception says; never raises."""
    return _attempted(lambda: str(error), "(the exception's text cannot be read)")


def name_of(error: BaseException) -> str:
    """The name of an exception's class; never raises."""
    return _attempted(lambda: type(error).__name__, "(the exception's name cannot be read)")


def storable(text: str) -> str:
    r"""The text with NUL and lone surrogates escaped (`\x00`, `\udcff`), which not every database stores."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def _attempted(read: Callable[[], str], otherwise: str) -> str:
    """What a user's exception says, if it does: its methods may raise, and recurse without end."""
    try:
        # Joined: of a subclass of str only the characters are taken.
        return "".join([read()])
    except BaseException as error:
        if ends_the_process(error):
            raise
        return otherwise


def report_hooks(failed: Sequence[BaseException], *, committed: bool) -> None:
    """Log what hooks for the end of handlers' transactions have raised: the end stands, and changes nothing any more.

    Raises only what ends the process.
    """
    for error in failed:
        if ends_the_process(error):
            raise error
    if failed:
        first = failure_of(failed[0])
        _logger.warning(
            "%d hooks for the end of handlers' transactions raised, first %s%s: %s. What they followed %s.",
            len(failed),
            first.error,
            f" at {first.place}" if first.place else "",
            clause(first.text),
            "is committed" if committed else "was rolled back",
        )


def died_while_handling() -> Failure:
    """The failure of an attempt whose process ended before it did."""
    return Failure(
        "ProcessDied",
        "the process or its connection ended while this handler ran (killed, crashed, or beyond a time limit)",
        "",
        "",
    )


class FailureLog:
    """Logs what fails in a component: a warning for each new failure group, an error for each dead letter.

    A group is that of its dead letters (`Fingerprint`), and new once in `GROUP_SECONDS`. Of each level at most
    `LINES_MAX` lines are logged in `LINES_SECONDS`; the number of those left out is logged later, by
    `report_left_out`, or by `close`. May be called from several threads.
    """

    def __init__(self, component: str, clock: Clock) -> None:
        self._component = component
        self._clock = clock
        self._lock = threading.Lock()
        self._groups: dict[Fingerprint, float] = {}
        """When each was logged last, by the monotonic clock; the oldest first."""
        self._failures = LineLimit(LINES_MAX, LINES_SECONDS)
        self._dead_letters = LineLimit(LINES_MAX, LINES_SECONDS)

    def report(self, failed: Sequence[Parked]) -> None:
        """Log what has just failed and is stored."""
        if not failed:
            return
        now = self._clock.monotonic()
        with self._lock:
            for row in failed:
                failure = row.failure
                if failure is None:
                    continue
                is_new = self._is_new(Fingerprint(row.handler, failure.error, failure.place), now)
                if row.state != "parked":
                    self._log_dead_letter(row, failure, now)
                elif is_new and self._failures.allows(now):
                    _logger.warning("%s: %s. It is retried.", self._component, clause(_described(row, failure)))

    def report_left_out(self) -> None:
        """Log how many lines were left out lately, once that is over. Cheap."""
        now = self._clock.monotonic()
        with self._lock:
            self._log_left_out(self._failures.left_out(now), self._dead_letters.left_out(now))

    def close(self) -> None:
        """Log how many lines were left out and were not counted in the log yet."""
        with self._lock:
            self._log_left_out(self._failures.take_left_out(), self._dead_letters.take_left_out())

    def _is_new(self, group: Fingerprint, now: float) -> bool:
        logged_at = self._groups.get(group)
        if logged_at is not None and now - logged_at < GROUP_SECONDS:
            return False
        self._groups.pop(group, None)
        self._groups[group] = now
        if len(self._groups) > GROUPS_MAX:
            del self._groups[next(iter(self._groups))]
        return True

    def _log_dead_letter(self, row: Parked, failure: Failure, now: float) -> None:
        if self._dead_letters.allows(now):
            _logger.error(
                "%s: %s. It is a dead letter, after %s: preterite dead-letters list",
                self._component,
                clause(_described(row, failure)),
                "1 attempt" if row.attempts == 1 else f"{row.attempts} attempts",
            )

    def _log_left_out(self, failures: int, dead_letters: int) -> None:
        if failures:
            _logger.warning("%s: %d more failures of new groups were not logged", self._component, failures)
        if dead_letters:
            _logger.error(
                "%s: %d more dead letters were not logged: preterite dead-letters groups", self._component, dead_letters
            )


def _described(row: Parked, failure: Failure) -> str:
    """Which handler failed on which event, and how."""
    record = row.record
    event_id = UUID(bytes=record.event_id) if len(record.event_id) == _UUID_BYTES else record.event_id.hex()
    handler = f"handler {row.handler} failed on" if row.handler else "no handler gets"
    at = f" at {failure.place}" if failure.place else ""
    event = f"{row.type} {event_id} ({record.stream} number {record.number})"
    return f"{handler} {event}: {failure.error}: {clause(failure.text)}{at}"
