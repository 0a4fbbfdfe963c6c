"""Connections belong to the process that opened them: a process that was forked from it would speak over its socket."""

from __future__ import annotations

import os

from preterite.errors import UsageError


def require_own_process(opened_by: int) -> None:
    """Raise `UsageError` if another process has opened the connection, of which this one was forked."""
    here = os.getpid()
    if opened_by != here:
        raise UsageError(
            f"This connection was opened by another process, {opened_by}, from which process {here} was forked; both "
            "would send over it. The unit of work did not begin and nothing was written. Open connections after "
            "the fork; for an engine of your own, call engine.dispose(close=False) in the child."
        )
