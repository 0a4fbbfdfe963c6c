"""The exit codes of every command."""

from __future__ import annotations

from preterite.cli.application import Refused
from preterite.errors import (
    ConfigurationError,
    LogError,
    PreteriteError,
    StoreError,
    StoreUnavailable,
    SystemRefused,
    WrongLog,
)

EXIT_CODES = {
    0: "The command did what it was asked.",
    1: "The answer is no: a check failed, a status is DEGRADED, or the request was refused. The message says why.",
    2: "The command line is not valid, or names something that the system does not have. Nothing was changed.",
    3: "No system is named, it cannot be imported, its declaration or configuration is not valid, or a database or log "
    "does not belong to it.",
    4: "A database or the log is unreachable, damaged, or of a newer version; for status: no component runs, or "
    "the log is unreachable.",
    6: "The command did a part of what it was asked. The message says which.",
    130: "The command was interrupted (Ctrl-C).",
}


def exit_code_of(error: PreteriteError) -> int:
    """The exit code for this kind of error."""
    if isinstance(error, StoreUnavailable):
        return 4
    if isinstance(error, (ConfigurationError, SystemRefused, StoreError, WrongLog)):
        return 3
    if isinstance(error, LogError):
        return 4
    return 2 if isinstance(error, Refused) else 1
