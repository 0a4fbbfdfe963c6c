"""The baseline: known violations that do not fail the check, each with a reason and a date.

An entry names rule, component, object and operation, without file and line, so that moved code keeps it. An entry that
matches no violation any more is itself a finding: it would hide the next violation with the same key. Violations come
from three sources: the code, what runs, and the rights in the database. Only a whole run of its source makes an entry
stale.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from preterite.checks.findings import NOWHERE, Finding, Place
from preterite.checks.rules import RULES
from preterite.errors import ConfigurationError
from preterite.printing.text import clause
from preterite.settings import read_file, write_file

FILE = "baseline.toml"
Source = Literal["code", "run time", "rights"]
AT_RUN_TIME = ("cross-component-sql-at-runtime", "waits-while-handling")
OPERATIONS_AT_RUN_TIME = ("observed", "ran")
"""Operations in the keys of violations that were seen while the system ran."""
RECORDED_KEY = "preterite/boundaries"
"""Where pytest's cache keeps what was recorded."""
RECORDED_FILE = Path(".pytest_cache", "v", *RECORDED_KEY.split("/"))
"""The file of pytest's cache in a project that does not configure another folder."""
_RECORD = "Run pytest with preterite_boundaries set, then this command again."
_HEAD = """\
# Known violations of boundaries. The list may only shrink: `preterite check` fails for an entry that matches no
# violation any more, and `preterite check --shrink` removes it. Add further entries manually, each with its reason.
"""


class Entry(NamedTuple):
    """One known violation, why it is accepted, and since when."""

    key: str
    reason: str
    since: date


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    reason: str
    since: date


class _File(msgspec.Struct, forbid_unknown_fields=True):
    violation: list[_Entry] = []


def read(file: Path) -> tuple[Entry, ...]:
    """The entries of a baseline, none without a file; raises `ConfigurationError` if the file is not valid."""
    text = read_file(file)
    if text is None:
        return ()
    try:
        found = msgspec.convert(tomllib.loads(text), _File)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise ConfigurationError(
            f"{file} cannot be read: {clause(error)}. An entry has key, reason and since, as in since = 2026-11-25."
        ) from None
    for entry in found.violation:
        if not entry.reason.strip():
            raise ConfigurationError(f"{file}: the entry {entry.key} has no reason.")
    return tuple(Entry(one.key, one.reason, one.since) for one in found.violation)


def write(file: Path, entries: Iterable[Entry]) -> None:
    """Write a baseline, sorted by key."""
    parts = [_HEAD]
    for entry in sorted(entries):
        parts.append(
            f"\n[[violation]]\nkey = {json.dumps(entry.key, ensure_ascii=False)}\n"
            f"reason = {json.dumps(entry.reason, ensure_ascii=False)}\nsince = {entry.since.isoformat()}\n"
        )
    write_file(file, "".join(parts))


def source_of(key: str) -> Source:
    """Where violations with this key are found."""
    rule, operation = key.partition(":")[0], key.rpartition(":")[2]
    if rule == "excess-rights":
        return "rights"
    return "run time" if rule in AT_RUN_TIME or operation in OPERATIONS_AT_RUN_TIME else "code"


def apply(
    found: Sequence[Finding], entries: Sequence[Entry], file: Path, whole: Collection[Source] = ("code",)
) -> tuple[list[Finding], list[Finding]]:
    """The findings that are not in the baseline, with one for each stale entry; and those that are in it.

    `whole` are the sources of which everything was run.
    """
    known = {entry.key for entry in entries}
    new = [one for one in found if one.key not in known]
    keys = {one.key for one in found}
    for entry in entries:
        if entry.key not in keys and source_of(entry.key) in whole:
            message = f"{entry.key} is in the baseline, but no violation matches it."
            new.append(Finding("baseline-stale", "", entry.key, "list", message, Place(file)))
    return new, [one for one in found if one.key in known]


def shrunk(entries: Sequence[Entry], found: Sequence[Finding], whole: Collection[Source] = ("code",)) -> list[Entry]:
    """The entries that still match a violation, and those of sources of which not everything was run."""
    keys = {one.key for one in found}
    return [entry for entry in entries if entry.key in keys or source_of(entry.key) not in whole]


def entries_for(found: Iterable[Finding], reason: str, today: date, known: Sequence[Entry] = ()) -> list[Entry]:
    """An entry for each error of the sources of which no entry is known yet."""
    accepted = {source_of(entry.key) for entry in known}
    keys = dict.fromkeys(
        one.key for one in found if one.definition.severity == "error" and source_of(one.key) not in accepted
    )
    return [Entry(key, reason, today) for key in keys]


class _RecordedPlace(msgspec.Struct):
    file: str | None
    line: int | None


class _RecordedFinding(msgspec.Struct):
    rule: str
    component: str
    object: str
    operation: str
    message: str
    places: list[_RecordedPlace]


class _Recorded(msgspec.Struct):
    is_whole: bool
    findings: list[_RecordedFinding]


def recorded_document(found: Sequence[Finding], is_whole: bool) -> Any:
    """What is written: the violations, and whether every test of the project has run."""
    findings = [
        _RecordedFinding(
            one.rule,
            one.component,
            one.object,
            one.operation,
            one.message,
            [_RecordedPlace(None if place.file is None else str(place.file), place.line) for place in one.places],
        )
        for one in found
    ]
    return msgspec.to_builtins(_Recorded(is_whole, findings))


def read_recorded(file: Path) -> tuple[list[Finding], bool]:
    """The recorded violations, and whether every test has run; raises `ConfigurationError` for an unreadable file."""
    text = read_file(file)
    if text is None:
        raise ConfigurationError(f"There is no {file}. {_RECORD}")
    try:
        return read_document(msgspec.json.decode(text))
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise ConfigurationError(f"{file} cannot be read: {clause(error)}. {_RECORD}") from None


def read_document(document: Any) -> tuple[list[Finding], bool]:
    """What `recorded_document` has made."""
    found = msgspec.convert(document, _Recorded)
    findings: list[Finding] = []
    for one in found.findings:
        first, *also = [Place(None if it.file is None else Path(it.file), it.line) for it in one.places] or [NOWHERE]
        if one.rule in RULES:
            findings.append(
                Finding(one.rule, one.component, one.object, one.operation, one.message, first, tuple(also))
            )
    return findings, found.is_whole
