"""The package's loggers: every argument of a message is foreign text, printed in one line, without a URL's secrets."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from types import TracebackType
from typing import Any

from preterite.printing.text import CHARACTERS_MAX, printable
from preterite.printing.urls import without_secrets

_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class PrintableLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger of this package: each argument of a message is made printable and cut to a bound.

    The lines of a traceback are indented, so that no exception can forge a message. Never raises what the application's
    own logging does.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a message; `msg` is the package's own text, with a place for each argument."""
        if not self.isEnabledFor(level):
            return
        at = self.logger.findCaller(stacklevel=2)
        raised = _raised(kwargs.get("exc_info"))
        arguments = tuple(argument if isinstance(argument, (int, float)) else _one_line(argument) for argument in args)
        record = self.logger.makeRecord(self.logger.name, level, at[0], at[1], str(msg), arguments, raised, at[2])
        if raised is not None:
            record.exc_text = _indented(logging.Formatter().formatException(raised))
        try:
            self.logger.handle(record)
        except Exception as error:
            _log_past(record, error)


def _log_past(record: logging.LogRecord, error: Exception) -> None:
    """Print what the application's own filter or handler of logs has refused by raising: no work fails of that."""
    record.msg = f"{record.msg} (the application's logging raised {type(error).__name__})"
    if logging.lastResort is not None:
        with suppress(Exception):
            logging.lastResort.handle(record)


def logger(name: str = "preterite") -> PrintableLogger:
    """The package's logger of this name."""
    return PrintableLogger(logging.getLogger(name))


def _one_line(argument: object) -> str:
    return printable(without_secrets(str(argument)), limit=CHARACTERS_MAX)


def _indented(trace: str) -> str:
    return "\n".join(f"  | {line}" for line in printable(without_secrets(trace), lines=True).split("\n"))


def _raised(given: Any) -> _Raised | None:
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    return sys.exc_info() if given else None
