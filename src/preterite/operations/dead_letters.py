"""What operators do with dead letters: list, plan, redrive, edit, discard, note.

A plan states what a redrive would run, and how many. A redrive runs in growing steps and stops when more than 5 % of a
step fail again. Every action adds a line to the audit, in its own transaction.
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
from preterite.printing.text import clause
from preterite.store.contract import Store, run_in_transaction
from preterite.store.rows import AuditLine, DbConnection, FailureGroup, Fingerprint, Note, Parked

__all__ = [
    "FailureGroup",
    "Operator",
    "Parked",
    "Plan",
    "Step",
    "dead_letters",
    "discard",
    "edit",
    "failure_groups",
    "group_name",
    "note",
    "plan",
    "redrive",
    "redrive_in_steps",
]

GROUPS_MAX = 1_000
"""Failure groups that are listed for a component."""
DEAD_LETTERS_MAX = 100_000
"""Dead letters of a component that one decision covers."""
STEP_GROWTH = 5
"""Factor by which each step of a redrive is larger than the one before; the first has one dead letter."""
FAILED_AGAIN_MAX = 0.05
"""Share of a step's events that may fail again; beyond it the redrive stops."""


class Operator(NamedTuple):
    """The operator who acts: name, reason, and time by the business clock."""

    name: str
    reason: str
    at: float


@dataclass(frozen=True)
class Plan:
    """What a redrive would run."""

    dead_letters: tuple[int, ...]
    handlers: Mapping[str, int]
    """Dead letters that would run, by handler."""
    followers: int
    """Events that wait behind them, and run after them in order."""
    not_dead: tuple[int, ...]
    """Numbers asked for that are not dead letters; they are left as they are."""
    retired: tuple[int, ...] = ()
    """Dead letters of handlers that are retired: they cannot run, and can be discarded."""

    @property
    def steps(self) -> tuple[int, ...]:
        """The number of dead letters in each step."""
        return tuple(growing_steps(len(self.dead_letters)))


class Step(NamedTuple):
    """The result of one step of a redrive."""

    handled: int
    failed_again: int
    unfinished: int
    """Dead letters that no worker has run within the time allowed."""
    left: int
    """Dead letters left as they are, because the redrive stopped."""


def dead_letters(store: Store, connection: DbConnection, limit: int) -> Sequence[Parked]:
    """Every dead letter, oldest first."""
    return store.list_parked(connection, ("dead", "undecodable"), limit)


def failure_groups(store: Store, connection: DbConnection) -> Sequence[FailureGroup]:
    """Dead letters that failed in the same way, newest failure first."""
    return store.failure_groups(connection, GROUPS_MAX)


def group_name(component: str, fingerprint: Fingerprint) -> str:
    """A short name of a failure group; failures of the same kind always get the same name."""
    return "g" + sha256("\0".join((component, *fingerprint)).encode()).hexdigest()[:6]


def growing_steps(count: int) -> Iterator[int]:
    """1, 5, 25 … and the rest: a mistake shows with one dead letter first. Pure."""
    size = 1
    while count > 0:
        yield min(size, count)
        count -= size
        size *= STEP_GROWTH


def stops_after(handled: int, failed_again: int) -> bool:
    """Whether so many of a step failed again that the redrive stops. Pure."""
    return failed_again > FAILED_AGAIN_MAX * (handled + failed_again)


def plan(store: Store, connection: DbConnection, numbers: Sequence[int]) -> Plan:
    """What a redrive of these dead letters would run; changes nothing."""
    rows = {number: store.get_parked(connection, number) for number in dict.fromkeys(numbers)}
    retired = {handler.name for handler in store.handlers(connection)[1] if handler.retired}
    all_dead = {number: row for number, row in rows.items() if row is not None and row.state != "parked"}
    dead = {number: row for number, row in all_dead.items() if row.handler not in retired}
    return Plan(
        tuple(dead),
        Counter(row.handler for row in dead.values()),
        sum(store.followers(connection, number) for number, row in dead.items() if row.key is not None),
        tuple(number for number in rows if number not in all_dead),
        tuple(number for number in all_dead if number not in dead),
    )


def redrive(store: Store, connection: DbConnection, numbers: Sequence[int], operator: Operator) -> list[int]:
    """Run dead letters again; return those that will run. What waits behind them follows in order.

    What is not dead is left as it is, and so is a dead letter whose handler is retired: it can only be discarded.
    """

    def act() -> list[int]:
        done = [number for number in numbers if store.redrive(connection, number)]
        if done:
            _audit(store, connection, operator, "redrive", _listed(done))
        return done

    return run_in_transaction(store, connection, act)


def redrive_in_steps(
    store: Store, connection: DbConnection, chosen: Plan, operator: Operator, wait: Callable[[], bool]
) -> Iterator[Step]:
    """Redrive a plan in growing steps; yields the result of each, and stops when too many fail again.

    `wait` pauses while the workers of the component run; it returns false when the time allowed is over.
    """
    left = list(chosen.dead_letters)
    for size in chosen.steps:
        step, left = left[:size], left[size:]
        going = set(redrive(store, connection, step, operator))
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
    number: int,
    changes: Mapping[str, Any],
    checked: Checked,
    operator: Operator,
) -> None:
    """Change fields of a dead letter's event, by their names on the wire; the original event is kept.

    Its identifier, key and number stay. Raises `UsageError` if it cannot be edited; then nothing was changed.
    """
    row = store.get_parked(connection, number)
    if row is None or row.state == "parked":
        raise UsageError(f"Number {number} is not a dead letter; nothing was changed.")
    try:
        envelope = envelopes.from_bytes(row.record.body)
        before: dict[str, Any] = msgspec.json.decode(envelope.data, type=dict[str, Any])
    except (Undecodable, msgspec.DecodeError) as error:
        raise UsageError(f"Dead letter {number} cannot be edited: {error} Nothing was changed.") from None
    changed = _changed(envelope, before, changes, checked)

    def act() -> None:
        if not store.edit_parked(connection, number, envelopes.to_bytes(changed)):
            raise UsageError(f"Number {number} is no longer a dead letter; nothing was changed.")
        _audit(
            store,
            connection,
            operator,
            "edit",
            str(number),
            bytes(envelope.data).decode(),
            bytes(changed.data).decode(),
        )

    run_in_transaction(store, connection, act)


def discard(store: Store, connection: DbConnection, numbers: Sequence[int], operator: Operator) -> list[int]:
    """Discard dead letters; they are kept with the reason. Return those that were dead."""
    if not operator.reason:
        raise UsageError("Discarding needs a reason; nothing was discarded.")

    def act() -> list[int]:
        done = [n for n in numbers if store.discard(connection, n, operator.reason, operator.name, operator.at)]
        if done:
            _audit(store, connection, operator, "discard", _listed(done))
        return done

    return run_in_transaction(store, connection, act)


def note(store: Store, connection: DbConnection, fingerprint: Fingerprint, text: str, operator: Operator) -> None:
    """Keep a note on a failure group; it is shown again whenever failures of this kind come back."""

    def act() -> None:
        store.keep_note(connection, fingerprint, Note(text, operator.name, operator.at))
        _audit(store, connection, operator, "note", " ".join(fingerprint), after=text)

    run_in_transaction(store, connection, act)


def _changed(envelope: Envelope, before: Mapping[str, Any], changes: Mapping[str, Any], checked: Checked) -> Envelope:
    unknown = sorted(set(changes) - set(checked.message_type.__struct_encode_fields__))
    if unknown:
        known = ", ".join(checked.message_type.__struct_encode_fields__)
        raise UsageError(f"{envelope.type} has no field {unknown[0]!r}; it has {known}. Nothing was changed.")
    try:
        message = checked.decode(msgspec.json.encode({**before, **changes}))
        data, key = checked.encode(message), checked.key_of(message)
    except (msgspec.ValidationError, InvalidEvent) as error:
        raise UsageError(f"{envelope.type} would not be valid: {clause(error)}. Nothing was changed.") from None
    if key != envelope.subject:
        raise UsageError("The key of an event decides its order and cannot be changed. Nothing was changed.")
    return msgspec.structs.replace(envelope, data=msgspec.Raw(data))


def _has_failed(row: Parked) -> bool:
    return row.state != "parked" or (row.attempts > 0 and not row.running)


def _listed(numbers: Sequence[int]) -> str:
    return " ".join(str(number) for number in numbers)


def _audit(
    store: Store, connection: DbConnection, operator: Operator, did: str, to: str, before: str = "", after: str = ""
) -> None:
    store.add_audit(connection, AuditLine(operator.at, operator.name, did, to, operator.reason, before, after))
