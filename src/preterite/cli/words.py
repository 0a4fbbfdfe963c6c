"""Numbers and times as they are written on a command line: those that every database can hold, or none."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, datetime

NUMBER_DIGITS_MAX = 18
"""Digits of a number; more do not fit into a column of 64 bits."""
_NUMBER = re.compile(rf"[0-9]{{1,{NUMBER_DIGITS_MAX}}}")


def whole_number(word: str) -> int | None:
    """The number that the word is: ASCII digits, at most `NUMBER_DIGITS_MAX`; nothing if it is something else."""
    return int(word) if _NUMBER.fullmatch(word) else None


def number_from(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of an argument that is a number from `least` on, up to `most`."""

    def number(word: str) -> int:
        found = whole_number(word)
        if found is None or found < least or (most is not None and found > most):
            wanted = f"{least}" if most is None else f"{least} to {most}"
            raise ArgumentTypeError(f"{word!r} is not a number from {wanted}")
        return found

    return number


def instant(word: str) -> datetime | None:
    """The time that the word is, in UTC, also where it names no zone; nothing if it is none, or none in UTC."""
    try:
        found = datetime.fromisoformat(word)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
