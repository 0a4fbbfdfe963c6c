"""What a statement of a handler leaves behind on its connection, besides rows: settings and other state of a session.

A setting that a handler changes would meet the handlers of the next events, on the same connection. So a batch ends
after the event whose handler has changed one, and a connection is not used again if its session was changed.
"""

from __future__ import annotations

import re
from enum import IntEnum

_CODE = r"(?:\A|;)\s*"
_TRANSACTION = re.compile(
    rf"{_CODE}SET\s+(?:LOCAL|CONSTRAINTS|TRANSACTION)\b|\bset_config\s*\([^()]*\btrue\s*\)", re.IGNORECASE
)
_SESSION = re.compile(
    rf"{_CODE}(?:SET\b(?!\s+(?:LOCAL|CONSTRAINTS|TRANSACTION)\b)|RESET|DISCARD|LISTEN|UNLISTEN|PREPARE|DEALLOCATE|LOAD|DO)\b"
    r"|\bset_config\s*\((?![^()]*\btrue\s*\))"
    r"|\bpg_(?:try_)?advisory_(?:un)?lock"
    r"|\b(?:CREATE|INTO)\s+(?:(?:OR\s+REPLACE|LOCAL|GLOBAL)\s+)*TEMP(?:ORARY)?\b",
    re.IGNORECASE,
)


class SettingsChanged(IntEnum):
    """How long what a handler has set would outlast it."""

    NO = 0
    IN_TRANSACTION = 1
    """Until the transaction ends."""
    IN_SESSION = 2
    """As long as the connection is open."""


def settings_changed(code: str) -> SettingsChanged:
    """What statements of PostgreSQL change; `code` is their text without literals and comments. Pure.

    What functions and procedures change inside is not seen.
    """
    if _SESSION.search(code):
        return SettingsChanged.IN_SESSION
    return SettingsChanged.IN_TRANSACTION if _TRANSACTION.search(code) else SettingsChanged.NO
