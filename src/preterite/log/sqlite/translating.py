"""Errors of the log's file, as what a log raises: out of reach for a while, or damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from preterite.drivers import sqlite as sqlite_file
from preterite.errors import StoreError, StoreUnavailable, WrongDatabase
from preterite.printing.text import clause


@contextmanager
def translated() -> Generator[None]:
    """Raise `StoreUnavailable` where the file is locked, full, out of reach or damaged; other errors pass through."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if sqlite_file.is_unavailable(error):
            raise StoreUnavailable(
                f"The log is not available ({error}); nothing was appended, it is tried again."
            ) from error
        raise
    except (sqlite3.DatabaseError, StoreError) as error:
        if isinstance(error, WrongDatabase) or sqlite_file.is_damaged(error):
            raise StoreUnavailable(
                f"The log is damaged: {clause(error)}. Stop the workers, and restore it from a backup; if there is "
                "none, move its file away, then: preterite recover new-log."
            ) from error
        raise
