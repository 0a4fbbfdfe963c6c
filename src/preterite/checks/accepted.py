"""Crossings that are accepted for now: a list that may only shrink, each entry with a reason and a date.

An entry names component, object and operation, never a line, so that moving code changes nothing. What is on the list
and happens no more is itself a finding, so that nobody can cross there again unseen.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import msgspec

from preterite.checks.findings import Finding, Place
from preterite.errors import ConfigurationError

FILE = "accepted.toml"
_HEAD = """\
# Crossings of boundaries that are accepted for now. This list may only shrink: `preterite check` fails for an entry
# that matches nothing any more, and `preterite check --shrink` removes it. A new entry is written by hand, with its
# reason.
"""


class Entry(NamedTuple):
    """One crossing that is accepted, why, and since when."""

    key: str
    reason: str
    since: date


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    reason: str
    since: date


class _File(msgspec.Struct, forbid_unknown_fields=True):
    accepted: list[_Entry] = []


def read(file: Path) -> tuple[Entry, ...]:
    """The entries of a list; none where there is no file. Raises `ConfigurationError` where it cannot be understood."""
    if not file.exists():
        return ()
    try:
        found = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error}. An entry has key, reason and since, as in since = 2026-11-25."
        ) from error
    for entry in found.accepted:
        if not entry.reason.strip():
            raise ConfigurationError(f"{file} accepts {entry.key} without a reason.")
    return tuple(Entry(one.key, one.reason, one.since) for one in found.accepted)


def write(file: Path, entries: Iterable[Entry]) -> None:
    """Write a list."""
    parts = [_HEAD]
    for entry in sorted(entries):
        parts.append(
            f"\n[[accepted]]\nkey = {json.dumps(entry.key, ensure_ascii=False)}\n"
            f"reason = {json.dumps(entry.reason, ensure_ascii=False)}\nsince = {entry.since.isoformat()}\n"
        )
    file.write_text("".join(parts), encoding="utf-8")


def apply(found: Sequence[Finding], entries: Sequence[Entry], file: Path) -> tuple[list[Finding], list[Finding]]:
    """What is left of the findings, with those about the list itself; and what was accepted."""
    accepted = {entry.key for entry in entries}
    left = [one for one in found if one.key not in accepted]
    happening = {one.key for one in found}
    for entry in entries:
        if entry.key not in happening:
            sentence = f"{entry.key} is accepted and happens no more."
            left.append(Finding("accepted-no-more", "", entry.key, "accept", sentence, Place(file)))
    return left, [one for one in found if one.key in accepted]


def shrunk(entries: Sequence[Entry], found: Sequence[Finding]) -> list[Entry]:
    """The entries that still match something."""
    happening = {one.key for one in found}
    return [entry for entry in entries if entry.key in happening]


def begun(found: Iterable[Finding], reason: str, today: date) -> list[Entry]:
    """A list of all that fails now, to begin with."""
    return [
        Entry(key, reason, today) for key in dict.fromkeys(one.key for one in found if one.about.severity == "error")
    ]
