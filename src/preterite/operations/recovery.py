"""Recovery after a restore: what a component forgot, and what operators do about it (protocol rules 3, 14).

As a subscriber, a component restored from a backup catches up: its cursors went back with its data. As a publisher, it
publishes nothing while the log holds events that its journal lacks. `forgotten` lists them; `accept` takes them into
the journal, so that new events follow them and none is published twice. A subscriber whose publisher's streams went
back is stalled; `reset` moves its cursors to where those streams end now.

What neither the log nor its publisher's journal holds is gone. Its publisher goes on, and a subscriber that has not
read it is stalled. `dropped` lists what retention has dropped before a subscriber had read it, and `accept_loss` lets
that subscriber go on after it; `holes` lists what the log has lost, and `fill` puts voids in its place (rule 17).

`new_log` puts a log in the place of one that was lost whole. The publishers send it what their journals hold.
`new_database` lets a component begin anew whose database was lost: the log knows one of each (rule 22).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from preterite.errors import UsageError
from preterite.log.contract import NO_EVENT, Cursor, Log, LogIdentity, Record, Stream, journal_start
from preterite.operations.dead_letters import Operator
from preterite.operations.startup import identity_of
from preterite.store.contract import Database, Store, connected, run_in_transaction
from preterite.store.rows import AuditLine, DbConnection, Move, StoreIdentity

__all__ = [
    "Forgotten",
    "Gone",
    "accept",
    "accept_loss",
    "dropped",
    "fill",
    "forgotten",
    "gone_back",
    "holes",
    "is_second",
    "new_database",
    "new_log",
    "read_forgotten",
    "reset",
]

READ_RECORDS = 1000
"""Records that recovery reads from the log, or voids that it appends, at a time."""
LOST = "neither the log nor its publisher's journal holds it"


ACCEPT = "accept forgotten events"
RESET = "reset to a publisher that went back"
ACCEPT_LOSS = "accept the loss of events"
FILL = "fill lost numbers with voids"
NEW_DATABASE = "a new database in place of one that was lost"
NEW_LOG = "a new log in place of one that was lost"


class Forgotten(NamedTuple):
    """A stream whose log is ahead of its publisher: the last number known, and the last number in the log."""

    stream: Stream
    known: int
    end: int


class Kept(NamedTuple):
    """A stream whose log was lost: from which number to which its publisher's journal can send it again."""

    stream: Stream
    numbers: range


class Gone(NamedTuple):
    """Numbers of a stream that neither the log nor its publisher's journal holds any more."""

    stream: Stream
    numbers: range

    def __str__(self) -> str:
        return f"{self.stream} {self.numbers[0]} to {self.numbers[-1]}"


def forgotten(store: Store, connection: DbConnection, log: Log, component: str) -> list[Forgotten]:
    """The streams whose log is ahead of their publisher; changes nothing."""
    own = {Stream(component, row.partition): row.last_number for row in store.stream_numbers(connection)}
    ends = log.ends(list(own))
    return [
        Forgotten(stream, known, ends[stream].number) for stream, known in own.items() if ends[stream].number > known
    ]


def read_forgotten(log: Log, one: Forgotten) -> Iterator[Record]:
    """Its records in the order of their numbers; a void stands for a number that the log lost, too."""
    number = one.known
    while number < one.end:
        for record in _in_a_row(log, one.stream, number, one.end):
            yield record
            number = record.number
        for missing in log.holes(one.stream, number, one.end)[:1]:
            for number in missing:
                yield Record(one.stream, "void", 0, number, NO_EVENT, LOST.encode())


def accept(store: Store, connection: DbConnection, log: Log, component: str, operator: Operator, now: float) -> int:
    """Take forgotten events into the journal, and continue after them; return how many numbers that are.

    It may be interrupted and run again: the decision is on record before anything is taken, and the relay may go on
    from the transaction in which the last of it is. Raises `UsageError` if nothing is forgotten.
    """
    found = forgotten(store, connection, log, component)
    if not found:
        raise UsageError(f"The log holds nothing that {component!r} does not know; nothing was changed.")
    streams = ", ".join(f"{one.stream} {one.known + 1} to {one.end}" for one in found)
    _decide(store, connection, lambda: None, operator, ACCEPT, streams)
    taken = 0
    for one in found:
        chunk: list[Record] = []
        for record in read_forgotten(log, one):
            chunk.append(record)
            if len(chunk) == READ_RECORDS or record.number == one.end:
                is_last = one is found[-1] and record.number == one.end
                run_in_transaction(store, connection, partial(_adopt, store, connection, chunk, now, is_last=is_last))
                taken += len(chunk)
                chunk = []
    return taken


def gone_back(
    store: Store, connection: DbConnection, log: Log, publisher: str
) -> Mapping[Stream, tuple[Cursor, Cursor]]:
    """Streams of a publisher that end below where they were read here: from which cursor to which `reset` moves."""
    cursors = {s: c.cursor for s, c in store.cursors(connection).items() if s.publisher == publisher}
    ends = log.ends(list(cursors))
    return {
        stream: (cursor, Cursor(*ends[stream]))
        for stream, cursor in cursors.items()
        if ends[stream].number < cursor.number
        or (
            ends[stream].number == cursor.number
            and NO_EVENT not in (cursor.event_id, ends[stream].event_id)
            and ends[stream].event_id != cursor.event_id
        )
    }


def reset(store: Store, connection: DbConnection, log: Log, publisher: str, operator: Operator) -> int:
    """Move the cursors to where a publisher's streams end now; return how many streams that are.

    Numbers that were handled before may carry other events from now on; those are handled. Effects of events that
    the publisher lost remain: compare the two components' data.
    """
    streams = gone_back(store, connection, log, publisher)
    if not streams:
        raise UsageError(f"No stream of {publisher!r} ends before where it was read; nothing was changed.")
    for stream, (was, now) in streams.items():
        to = f"{stream}: from {was.number} to {now.number}"
        _decide(store, connection, _move(store, connection, Move(stream, was, now)), operator, RESET, to)
    return len(streams)


def dropped(store: Store, connection: DbConnection, log: Log, publisher: str) -> list[Gone]:
    """What retention dropped before it was read here, and the publisher cannot send again; changes nothing."""
    return [Gone(stream, numbers) for stream, (_, numbers) in _dropped(store, connection, log, publisher).items()]


def accept_loss(store: Store, connection: DbConnection, log: Log, publisher: str, operator: Operator) -> int:
    """Go on after what retention dropped before it was read; return how many numbers are left out.

    They are counted as skipped, and the audit names them. Raises `UsageError` if there are none.
    """
    gone = _dropped(store, connection, log, publisher)
    if not gone:
        raise UsageError(f"Nothing that {publisher!r} published is gone before it was read; nothing was changed.")
    for stream, (read, numbers) in gone.items():
        act = _move(store, connection, Move(stream, read, Cursor(numbers[-1], NO_EVENT, read.epoch)))

        def leave_out(act: Callable[[], None] = act, count: int = len(numbers)) -> None:
            act()
            store.count_skipped(connection, publisher, LOST, count, operator.at)

        _decide(store, connection, leave_out, operator, ACCEPT_LOSS, str(Gone(stream, numbers)))
    return sum(len(numbers) for _, numbers in gone.values())


def holes(store: Store, connection: DbConnection, log: Log, publisher: str) -> list[Gone]:
    """What the log has lost and the publisher cannot send again: of a stream `HOLES_MAX` runs; changes nothing."""
    found: list[Gone] = []
    for partition, start in store.journal_starts(connection).items():
        stream = Stream(publisher, partition)
        found += [Gone(stream, numbers) for numbers in log.holes(stream, log.first_number(stream) - 1, start - 1)]
    return found


def fill(store: Store, connection: DbConnection, log: Log, publisher: str, operator: Operator) -> int:
    """Put voids in the place of what the log has lost of a publisher; return how many numbers that are.

    Who has read them before passes; who has not gets a dead letter for each. It may be interrupted and run again.
    Raises `UsageError` if nothing is lost.
    """
    reason = f"{LOST}; filled by {operator.name}" + (f": {operator.reason}" if operator.reason else "")
    filled = 0
    while found := holes(store, connection, log, publisher):
        for one in found:
            for first in range(one.numbers.start, one.numbers.stop, READ_RECORDS):
                log.fill(one.stream, range(first, min(first + READ_RECORDS, one.numbers.stop)), reason)
            _decide(store, connection, lambda: None, operator, FILL, str(one))
            filled += len(one.numbers)
    if not filled:
        raise UsageError(f"The log has lost nothing that {publisher!r} cannot send again; nothing was changed.")
    return filled


def new_log(
    databases: Mapping[str, tuple[Store, DbConnection]], make: Callable[[], Log], operator: Operator
) -> list[Kept]:
    """Let a new log take the place of one that was lost whole; return what the publishers' journals will send to it.

    `databases` are those of all components that were ever started. What no journal holds is gone, as if retention had
    dropped it. `make` opens the log, made under an id of its own if there is none: workers that meet it are refused
    until it has taken the lost one's place, in one transaction. Raises `UsageError`, and changes nothing, if the
    components' databases do not belong to one log, or if that log or another one is there and in use.
    """
    identities = {name: store.identity(connection) for name, (store, connection) in databases.items()}
    found = {(one.system, one.system_id, one.partitions) for one in identities.values() if one is not None}
    if not found:
        raise UsageError("No component was ever started, so no log is missing; nothing was changed.")
    if len(found) > 1:
        belong = ", ".join(f"{name} to {one.system_id}" for name, one in sorted(identities.items()) if one is not None)
        raise UsageError(
            f"The components' databases belong to {len(found)} logs ({belong}); nothing was changed. "
            "Correct the URLs of those that belong to another system."
        )
    identity = LogIdentity(*found.pop())
    log = make()
    try:
        kept = [one for name, (store, connection) in databases.items() for one in _kept(store, connection, name)]
        dropped = {one.stream: one.numbers.start - 1 for one in kept}
        _continue(log, identity, dropped)
        for name, one in identities.items():
            if one is not None:
                log.databases.replace(name, one.component_id)
    finally:
        log.close()
    for name, (store, connection) in databases.items():
        began = ", ".join(f"{one.stream} from {one.numbers.start}" for one in kept if one.stream.publisher == name)
        _decide(store, connection, lambda: None, operator, NEW_LOG, began)
    return kept


def is_second(log: Log, component: str, database: Database) -> bool:
    """Whether the log knows another database of this component than this one; changes nothing, and makes none."""
    known, found = log.databases.of(component), identity_of(database)
    return known is not None and (found is None or found.component_id != known)


def new_database(log: Log, database: Database, wanted: StoreIdentity, operator: Operator) -> None:
    """Let this database, made ready if it is new, take the place of the one that the log knows of its component.

    Its handlers get every event that the log holds, unless they start from the latest; what its component published
    is in the log, and `accept` takes it over. Raises `UsageError`, and changes nothing, if there is nothing to replace,
    and `WrongDatabase` if it belongs to another component or system.
    """
    component, known = wanted.component, log.databases.of(wanted.component)
    if known is None:
        raise UsageError(f"The log knows no database of {component!r}; nothing was changed. Start it: preterite run.")
    if not is_second(log, component, database):
        raise UsageError(f"{database.url} is the database of {component!r} that the log knows; nothing was changed.")
    with connected(database) as connection:
        store = database.store
        store.migrate(connection)
        run_in_transaction(store, connection, lambda: store.bind_identity(connection, wanted))
        found = store.identity(connection)
        assert found is not None, "a database that was identified has an identity"
        replace = partial(log.databases.replace, component, found.component_id)
        _decide(store, connection, replace, operator, NEW_DATABASE, f"{known} by {found.component_id}")


def _kept(store: Store, connection: DbConnection, name: str) -> Iterator[Kept]:
    starts = store.journal_starts(connection)
    for row in store.stream_numbers(connection):
        if row.last_number:
            yield Kept(Stream(name, row.partition), range(starts[row.partition], row.last_number + 1))


def _continue(log: Log, identity: LogIdentity, dropped: Mapping[Stream, int]) -> None:
    if any(end.number or end.epoch for end in log.ends(list(dropped)).values()):
        raise UsageError(
            f"The log {log.identity.system_id} is there and in use; nothing was changed. See: preterite recover plan."
        )
    if not log.continue_lost(identity.system_id, dropped):
        raise UsageError(
            f"The log {log.identity.system_id} is there and holds events; these databases belong to "
            f"{identity.system_id}. Nothing was changed. Check the log's URL."
        )


def _dropped(store: Store, connection: DbConnection, log: Log, publisher: str) -> Mapping[Stream, tuple[Cursor, range]]:
    """Of each stream from which something is gone: the cursor, and what is gone right after it."""
    cursors = {s: c.cursor for s, c in sorted(store.cursors(connection).items()) if s.publisher == publisher}
    found = {stream: (cursor, _dropped_after(log, stream, cursor.number)) for stream, cursor in cursors.items()}
    return {stream: one for stream, one in found.items() if one[1]}


def _dropped_after(log: Log, stream: Stream, read: int) -> range:
    first = log.first_number(stream)
    if read + 1 >= first:
        return range(0)
    reader = log.reader({stream: read})
    try:
        # What comes first in the stream, and its newest head.
        records = [*reader.read(2), *reader.read(2)]
    finally:
        reader.close()
    there = min((record.number for record in records if record.kind != "head"), default=first)
    kept = max((journal_start(record) for record in records if record.kind == "head"), default=0)
    return range(read + 1, min(first, there, kept))


def _move(store: Store, connection: DbConnection, move: Move) -> Callable[[], None]:
    def act() -> None:
        if not store.set_cursor(connection, move):
            raise UsageError(f"{move.stream} was read on meanwhile; nothing was changed. Look at the plan again.")

    return act


def _in_a_row(log: Log, stream: Stream, after: int, last: int) -> Iterator[Record]:
    """The events and voids of a stream after this number, up to the first that is missing."""
    reader = log.reader({stream: after})
    try:
        while after < last and (records := reader.read(READ_RECORDS)):
            for record in records:
                if record.kind in ("event", "void") and record.number == after + 1 <= last:
                    yield record
                    after += 1
    finally:
        reader.close()


def _adopt(store: Store, connection: DbConnection, records: Sequence[Record], now: float, *, is_last: bool) -> None:
    store.adopt(connection, records, now)
    if is_last:
        store.set_relay_halt(connection, None)


def _decide(
    store: Store, connection: DbConnection, act: Callable[[], None], operator: Operator, did: str, to: str
) -> None:
    def decide() -> None:
        act()
        store.add_audit(connection, AuditLine(operator.at, operator.name, did, to, operator.reason, "", ""))

    run_in_transaction(store, connection, decide)
