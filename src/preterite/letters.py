"""What people decide about dead letters: look, plan, redrive, edit, discard, note. Command line and console call this.

A plan says before anything happens what will run, how many, and what will not happen. Redriving goes in growing steps
and stops when more than one in twenty fails again. Whatever a person does is a line of the audit, in the transaction
that does it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from preterite import envelope as envelopes
from preterite.contracts import Checked
from preterite.envelope import Envelope
from preterite.errors import InvalidEvent, Undecodable, UsageError
from preterite.rows import AuditLine, DbConnection, Fingerprint, LetterGroup, Note, Parked
from preterite.store import Store, in_transaction

GROUPS_MAX = 1_000
LETTERS_MAX = 100_000
STEP_GROWTH = 5
FAILED_AGAIN_MAX = 0.05


class Person(NamedTuple):
    """Who decides, why, and when by the business clock."""

    name: str
    reason: str
    at: float


@dataclass(frozen=True)
class Plan:
    """What a redrive would do, and what it would not."""

    letters: tuple[int, ...]
    handlers: Mapping[str, int]
    """How many letters run for each handler."""
    followers: int
    """How many events wait behind them, and run after them in order."""
    gone: tuple[int, ...]
    """Letters asked for that are not dead: nothing happens to them."""

    @property
    def steps(self) -> tuple[int, ...]:
        """How many letters run in each step."""
        return tuple(growing_steps(len(self.letters)))


class Step(NamedTuple):
    """What became of one step of a redrive."""

    handled: int
    failed_again: int
    unfinished: int
    """Letters that nobody has run within the time allowed."""
    left: int
    """Letters that were not touched, because it stopped."""


def dead_letters(store: Store, connection: DbConnection, limit: int) -> Sequence[Parked]:
    """What waits for a person, oldest first."""
    return store.list_parked(connection, ("dead", "undecodable"), limit)


def groups(store: Store, connection: DbConnection) -> Sequence[LetterGroup]:
    """Dead letters that failed in the same way, newest failure first."""
    return store.letter_groups(connection, GROUPS_MAX)


def group_name(component: str, fingerprint: Fingerprint) -> str:
    """A short name for what failed in the same way: the same whenever it comes back."""
    return "g" + sha256("\0".join((component, *fingerprint)).encode()).hexdigest()[:6]


def growing_steps(count: int) -> Iterator[int]:
    """1, 5, 25 … and the rest: so that the first mistake is made with one letter. Pure."""
    size = 1
    while count > 0:
        yield min(size, count)
        count -= size
        size *= STEP_GROWTH


def stops_after(handled: int, failed_again: int) -> bool:
    """Whether so many of a step have failed again that the next one is not begun. Pure."""
    return failed_again > FAILED_AGAIN_MAX * (handled + failed_again)


def plan(store: Store, connection: DbConnection, letters: Sequence[int]) -> Plan:
    """Look at what redriving these letters would do; changes nothing."""
    rows = {number: store.get_parked(connection, number) for number in dict.fromkeys(letters)}
    dead = {number: row for number, row in rows.items() if row is not None and row.state != "parked"}
    return Plan(
        tuple(dead),
        Counter(row.handler for row in dead.values()),
        sum(store.followers(connection, number) for number, row in dead.items() if row.key is not None),
        tuple(number for number in rows if number not in dead),
    )


def redrive(store: Store, connection: DbConnection, letters: Sequence[int], person: Person) -> list[int]:
    """Send dead letters through again; return those that were dead. Followers come after, in order."""

    def act() -> list[int]:
        done = [number for number in letters if store.redrive(connection, number)]
        if done:
            _note_down(store, connection, person, "redrive", _listed(done))
        return done

    return in_transaction(store, connection, act)


def redrive_in_steps(
    store: Store, connection: DbConnection, chosen: Plan, person: Person, wait: Callable[[], bool]
) -> Iterator[Step]:
    """Redrive a plan in growing steps; yields what became of each, and stops when too many fail again.

    `wait` passes a little time while whoever runs the component works; false if no more time is allowed.
    """
    left = list(chosen.letters)
    for size in chosen.steps:
        step, left = left[:size], left[size:]
        going = set(redrive(store, connection, step, person))
        failed: set[int] = set()
        handled = 0
        while True:
            rows = {number: store.get_parked(connection, number) for number in going - failed}
            handled += sum(row is None for row in rows.values())
            going -= {number for number, row in rows.items() if row is None}
            failed |= {number for number, row in rows.items() if row is not None and _has_failed(row)}
            if going == failed or not wait():
                break
        stopped = stops_after(handled, len(failed)) or going != failed
        yield Step(handled, len(failed), len(going - failed), len(left) if stopped else 0)
        if stopped:
            return


def edit(
    store: Store,
    connection: DbConnection,
    letter: int,
    changes: Mapping[str, Any],
    checked: Checked,
    person: Person,
) -> None:
    """Change fields of a dead letter's event, by their names on the wire; what came is kept beside it.

    Its identifier, its key and its number stay. Raises `UsageError` where that cannot be; then nothing was changed.
    """
    row = store.get_parked(connection, letter)
    if row is None or row.state == "parked":
        raise UsageError(f"Letter {letter} is not dead; nothing was changed.")
    try:
        envelope = envelopes.from_bytes(row.record.body)
        before: dict[str, Any] = msgspec.json.decode(envelope.data, type=dict[str, Any])
    except (Undecodable, msgspec.DecodeError) as error:
        raise UsageError(f"Letter {letter} cannot be edited: {error} Nothing was changed.") from error
    changed = _changed(envelope, before, changes, checked)

    def act() -> None:
        if not store.edit_parked(connection, letter, envelopes.to_bytes(changed)):
            raise UsageError(f"Letter {letter} is not dead any more; nothing was changed.")
        _note_down(
            store, connection, person, "edit", str(letter), bytes(envelope.data).decode(), bytes(changed.data).decode()
        )

    in_transaction(store, connection, act)


def discard(store: Store, connection: DbConnection, letters: Sequence[int], person: Person) -> list[int]:
    """Decide not to apply dead letters; they are kept with the reason. Return those that were dead."""
    if not person.reason:
        raise UsageError("Discarding needs a reason; nothing was discarded.")

    def act() -> list[int]:
        done = [n for n in letters if store.discard(connection, n, person.reason, person.name, person.at)]
        if done:
            _note_down(store, connection, person, "discard", _listed(done))
        return done

    return in_transaction(store, connection, act)


def note(store: Store, connection: DbConnection, fingerprint: Fingerprint, text: str, person: Person) -> None:
    """Write down what is known of failures of one kind; it comes back whenever they do."""

    def act() -> None:
        store.keep_note(connection, fingerprint, Note(text, person.name, person.at))
        _note_down(store, connection, person, "note", " ".join(fingerprint), after=text)

    in_transaction(store, connection, act)


def _changed(envelope: Envelope, before: Mapping[str, Any], changes: Mapping[str, Any], checked: Checked) -> Envelope:
    unknown = sorted(set(changes) - set(checked.message_type.__struct_encode_fields__))
    if unknown:
        known = ", ".join(checked.message_type.__struct_encode_fields__)
        raise UsageError(f"{envelope.type} has no field {unknown[0]!r}; it has {known}. Nothing was changed.")
    try:
        message = checked.decode(msgspec.json.encode({**before, **changes}))
        data = checked.encode(message)
    except (msgspec.ValidationError, InvalidEvent) as error:
        raise UsageError(f"{envelope.type} would not be valid: {error} Nothing was changed.") from error
    if checked.key_of(message) != envelope.subject:
        raise UsageError("The key of an event says whose order it keeps, and cannot be changed. Nothing was changed.")
    return msgspec.structs.replace(envelope, data=msgspec.Raw(data))


def _has_failed(row: Parked) -> bool:
    return row.state != "parked" or (row.attempts > 0 and not row.running)


def _listed(numbers: Sequence[int]) -> str:
    return " ".join(str(number) for number in numbers)


def _note_down(
    store: Store, connection: DbConnection, person: Person, did: str, to: str, before: str = "", after: str = ""
) -> None:
    store.add_audit(connection, AuditLine(person.at, person.name, did, to, person.reason, before, after))
