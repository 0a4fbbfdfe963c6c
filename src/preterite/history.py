"""What people decide about history: what a replay would feed, starting, pausing and cancelling it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from preterite import envelope as envelopes
from preterite.errors import Undecodable, UsageError
from preterite.letters import Person
from preterite.log import Cursor, Log, Stream
from preterite.rows import AuditLine, DbConnection, Replay
from preterite.store import Store, in_transaction
from preterite.topology import Subscriptions

READ_RECORDS = 5_000
RATE_DEFAULT = 500.0


class Wanted(NamedTuple):
    """What is to be fed to whom: from the start, from a number in each stream, or from a time on."""

    handlers: tuple[str, ...]
    from_number: int = 1
    from_time: datetime | None = None
    again: bool = False
    publishes: bool = False
    rate: float | None = RATE_DEFAULT


@dataclass(frozen=True)
class ReplayPlan:
    """What a replay would do, as far as the log and the cursors say now."""

    events: Mapping[str, int]
    """How many events each handler would be given."""
    handled: Mapping[str, int]
    """How many of the history it has handled, which are left out unless it is to be done again."""
    starts: Mapping[Stream, Cursor]

    @property
    def total(self) -> int:
        """How many events would be fed in all."""
        return sum(self.events.values())


def chosen(subscriptions: Subscriptions, handler: str | None) -> tuple[str, ...]:
    """The handlers that are meant: one, or all of a component. Raises `UsageError` if none of them hears events."""
    names = tuple(bound.name for subscription in subscriptions.by_wire_name.values() for bound in subscription.handlers)
    component = subscriptions.component.name
    if handler is None:
        if not names:
            raise UsageError(f"{component} hears no events; there is no history for it.")
        return names
    if handler not in names:
        raise UsageError(f"{component} has no handler {handler!r} of an event; it has {', '.join(names) or 'none'}.")
    return (handler,)


def plan(
    store: Store,
    connection: DbConnection,
    log: Log,
    subscriptions: Subscriptions,
    wanted: Wanted,
    progress: Callable[[int], None] = lambda _read: None,
) -> ReplayPlan:
    """Read the history and count what a replay would feed; changes nothing.

    `progress` is told how many records were read. Raises `UsageError` where it could not be started.
    """
    _refuse(store, connection, subscriptions, wanted)
    by_type = _handlers_by_type(subscriptions, wanted.handlers)
    live = {stream: state.cursor.number for stream, state in store.cursors(connection).items()}
    in_force = store.handler_starts(connection)
    starts = _starts(log, subscriptions, live, wanted)
    events: Counter[str] = Counter(dict.fromkeys(wanted.handlers, 0))
    handled: Counter[str] = Counter(dict.fromkeys(wanted.handlers, 0))
    reader = log.reader({stream: cursor.number for stream, cursor in starts.items()})
    read = 0
    while records := reader.read(READ_RECORDS):
        read += len(records)
        progress(read)
        for record in records:
            if record.kind != "event" or record.number > live[record.stream]:
                continue
            for name in by_type.get(_type_since(record.body, wanted.from_time), ()):
                before = record.number >= in_force.get((name, record.stream), 0)
                handled[name] += before
                events[name] += wanted.again or not before
    reader.close()
    return ReplayPlan(events, handled, starts)


def start(
    store: Store,
    connection: DbConnection,
    log: Log,
    subscriptions: Subscriptions,
    wanted: Wanted,
    person: Person,
) -> int:
    """Let whoever runs the component feed this history; return the replay's number.

    Raises `UsageError` where it cannot be; then nothing was started.
    """

    def act() -> int:
        _refuse(store, connection, subscriptions, wanted)
        live = {stream: state.cursor.number for stream, state in store.cursors(connection).items()}
        since = None if wanted.from_time is None else wanted.from_time.timestamp()
        replay = Replay(
            0, wanted.handlers, wanted.again, wanted.publishes, wanted.rate, since, "running", "", 0, person.at
        )
        number = store.start_replay(connection, replay, _starts(log, subscriptions, live, wanted))
        _note_down(store, connection, person, "start replay", f"{number} {' '.join(wanted.handlers)}")
        return number

    return in_transaction(store, connection, act)


def change(store: Store, connection: DbConnection, replay_id: int, what: str, person: Person) -> None:
    """Pause, resume or cancel a replay; raises `UsageError` if it is over."""

    def act() -> None:
        if what == "cancel":
            done = store.cancel_replay(connection, replay_id)
        else:
            done = store.set_replay_state(connection, replay_id, {"pause": "paused", "resume": "running"}[what], "")
        if not done:
            raise UsageError(f"There is no replay {replay_id} that runs or is paused; nothing was changed.")
        _note_down(store, connection, person, f"{what} replay", str(replay_id))

    in_transaction(store, connection, act)


def _refuse(store: Store, connection: DbConnection, subscriptions: Subscriptions, wanted: Wanted) -> None:
    """Say what stands against a replay."""
    name = subscriptions.component.name
    if not store.cursors(connection):
        raise UsageError(f"{name} has read nothing yet; once it runs it begins with the earliest event by itself.")
    started = {handler for handler, _ in store.handler_starts(connection)}
    new = [handler for handler in wanted.handlers if handler not in started]
    if new:
        raise UsageError(f"{name}.{new[0]} was never in force; run the program that declares it first.")
    for replay in store.replays(connection, active=True):
        both = sorted(set(replay.handlers) & set(wanted.handlers))
        if both:
            raise UsageError(f"{name}.{both[0]} is being fed by replay {replay.id} already; cancel that first.")
    sagas = [h.name for h in subscriptions.component.handlers if h.saga is not None and h.name in wanted.handlers]
    if wanted.again and sagas:
        raise UsageError(f"{name}.{sagas[0]} belongs to a saga, whose state counts what it has seen; it cannot again.")


def _starts(log: Log, subscriptions: Subscriptions, live: Mapping[Stream, int], wanted: Wanted) -> dict[Stream, Cursor]:
    publishers = {
        s.publisher
        for s in subscriptions.by_wire_name.values()
        if any(bound.name in wanted.handlers for bound in s.handlers)
    }
    found: dict[Stream, Cursor] = {}
    for stream, number in live.items():
        if stream.publisher in publishers:
            first = max(wanted.from_number, log.first_number(stream))
            found[stream] = Cursor(min(first - 1, number), b"", 0)
    return found


def _handlers_by_type(subscriptions: Subscriptions, handlers: Sequence[str]) -> dict[str | None, list[str]]:
    return {
        wire_name: [bound.name for bound in subscription.handlers if bound.name in handlers]
        for wire_name, subscription in subscriptions.by_wire_name.items()
    }


def _type_since(body: bytes, since: datetime | None) -> str | None:
    """The type of a message, if it is readable and not before this time."""
    try:
        envelope = envelopes.from_bytes(body)
    except Undecodable:
        return None
    return envelope.type if since is None or envelope.time >= since else None


def _note_down(store: Store, connection: DbConnection, person: Person, did: str, to: str) -> None:
    store.add_audit(connection, AuditLine(person.at, person.name, did, to, person.reason, "", ""))
