"""Replays of history: planning, starting, pausing, resuming and cancelling them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from preterite import envelope as envelopes
from preterite.errors import Undecodable, UsageError
from preterite.log.contract import Cursor, Log, Stream
from preterite.operations.dead_letters import Operator
from preterite.store.contract import Store, run_in_transaction
from preterite.store.rows import AuditLine, DbConnection, Replay
from preterite.topology import Subscriptions

__all__ = [
    "ReplayPlan",
    "Wanted",
    "change",
    "chosen",
    "plan",
    "start",
]

READ_RECORDS = 5_000
"""Records that the plan of a replay reads from the log at a time."""
RATE_DEFAULT = 500.0
"""Events per second that a replay handles where no rate is given."""


class Wanted(NamedTuple):
    """Which handlers get which history: from the start, from a number of each stream, or from a time."""

    handlers: tuple[str, ...]
    from_number: int = 1
    from_time: datetime | None = None
    again: bool = False
    """Whether events that these handlers have handled before are handled once more."""
    publishes: bool = False
    """With `again`: whether what the handlers publish is published, under new identifiers; otherwise it is dropped."""
    rate: float | None = RATE_DEFAULT
    """Events per second at most; None for no limit."""


@dataclass(frozen=True)
class ReplayPlan:
    """What a replay would do, as the log and the cursors are now."""

    events: Mapping[str, int]
    """The number of events that would be replayed, by handler."""
    handled: Mapping[str, int]
    """The number of events handled before, by handler; they are left out unless `again` is set."""
    starts: Mapping[Stream, Cursor]
    """Where in each stream the replay would start."""
    total: int
    """The number of events that would be replayed, each to one handler or several; a rehearsal counts the same."""


def chosen(subscriptions: Subscriptions, handler: str | None) -> tuple[str, ...]:
    """The chosen handlers: one, or all of a component but for those with `on_replay="skip"`.

    Raises `UsageError` if none of them handles events, or the one skips replays.
    """
    bounds = [bound for subscription in subscriptions.by_wire_name.values() for bound in subscription.handlers]
    names = tuple(bound.name for bound in bounds)
    skipping = {bound.name for bound in bounds if bound.handler.on_replay == "skip"}
    component = subscriptions.component.name
    if handler is None:
        if not names:
            raise UsageError(f"{component} subscribes to no events; there is no history for it.")
        if skipping.issuperset(names):
            raise UsageError(f'{component} has no handler that gets history: all of them have on_replay="skip".')
        return tuple(name for name in names if name not in skipping)
    if handler in skipping:
        raise UsageError(
            f'{component}.{handler} gets no history: it is declared with on_replay="skip". Nothing was replayed.'
        )
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
    """Read the history and count what would be replayed; changes nothing.

    `progress` is called with the number of records read. Raises `UsageError` where it could not be started.
    """
    _refuse(store, connection, subscriptions, wanted)
    by_type = _handlers_by_type(subscriptions, wanted.handlers)
    live = {stream: state.cursor.number for stream, state in store.cursors(connection).items()}
    active = store.handler_starts(connection)
    starts = _starts(log, subscriptions, live, wanted)
    events: Counter[str] = Counter(dict.fromkeys(wanted.handlers, 0))
    handled: Counter[str] = Counter(dict.fromkeys(wanted.handlers, 0))
    reader = log.reader({stream: cursor.number for stream, cursor in starts.items()})
    read = total = 0
    while records := reader.read(READ_RECORDS):
        read += len(records)
        progress(read)
        for record in records:
            if record.kind != "event" or record.number > live[record.stream]:
                continue
            names = by_type.get(_type_since(record.body, wanted.from_time), ())
            before = {name for name in names if record.number >= active.get((name, record.stream), 0)}
            would_get = names if wanted.again else [name for name in names if name not in before]
            handled.update(before)
            events.update(would_get)
            total += bool(would_get)
    reader.close()
    return ReplayPlan(events, handled, starts, total)


def start(
    store: Store,
    connection: DbConnection,
    log: Log,
    subscriptions: Subscriptions,
    wanted: Wanted,
    operator: Operator,
) -> int:
    """Start a replay, which the workers of the component run; return its number.

    Raises `UsageError` if it cannot be started; then nothing was changed.
    """

    def act() -> int:
        _refuse(store, connection, subscriptions, wanted)
        live = {stream: state.cursor.number for stream, state in store.cursors(connection).items()}
        since = None if wanted.from_time is None else wanted.from_time.timestamp()
        replay = Replay(
            0, wanted.handlers, wanted.again, wanted.publishes, wanted.rate, since, "running", "", 0, operator.at
        )
        number = store.start_replay(connection, replay, _starts(log, subscriptions, live, wanted))
        _audit(store, connection, operator, "start replay", f"{number} {' '.join(wanted.handlers)}")
        return number

    return run_in_transaction(store, connection, act)


def change(store: Store, connection: DbConnection, replay_id: int, what: str, operator: Operator) -> None:
    """Change a replay: `what` is "pause", "resume" or "cancel". Raises `UsageError` if the replay is over."""

    def act() -> None:
        if what == "cancel":
            done = store.cancel_replay(connection, replay_id)
        else:
            done = store.set_replay_state(connection, replay_id, {"pause": "paused", "resume": "running"}[what], "")
        if not done:
            raise UsageError(f"There is no replay {replay_id} that runs or is paused; nothing was changed.")
        _audit(store, connection, operator, f"{what} replay", str(replay_id))

    run_in_transaction(store, connection, act)


def _refuse(store: Store, connection: DbConnection, subscriptions: Subscriptions, wanted: Wanted) -> None:
    """Raise `UsageError` where a replay cannot run."""
    name = subscriptions.component.name
    if not store.cursors(connection):
        raise UsageError(f"{name} has read nothing yet; when it runs, it starts with the earliest event.")
    started = {handler for handler, _ in store.handler_starts(connection)}
    new = [handler for handler in wanted.handlers if handler not in started]
    if new:
        raise UsageError(f"{name}.{new[0]} was never active; run the program that declares it first.")
    for replay in store.replays(connection, active=True):
        both = sorted(set(replay.handlers) & set(wanted.handlers))
        if both:
            raise UsageError(f"{name}.{both[0]} is in replay {replay.id} already; cancel that first.")
    sagas = [h.name for h in subscriptions.component.handlers if h.saga is not None and h.name in wanted.handlers]
    if wanted.again and sagas:
        raise UsageError(
            f"{name}.{sagas[0]} belongs to a saga, whose state includes these events; it cannot repeat them."
        )


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


def _audit(store: Store, connection: DbConnection, operator: Operator, did: str, to: str) -> None:
    store.add_audit(connection, AuditLine(operator.at, operator.name, did, to, operator.reason, "", ""))
