"""A component's own database as Preterite sees it: the seam that every kind of database fills.

Everything that correctness depends on lives here and changes in the component's own transactions: outbox,
journal, cursors, leases, parked events. The statements run on the user's own connection, so that
Preterite's rows and business rows commit together or not at all.

A `Store` holds no state of its own, and is told in parts; a `Database` is one component's database, named by URL.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from preterite.errors import StoreUnavailable, TransactionConflict
from preterite.log import Cursor, Stream
from preterite.rows import (
    Activity,
    Counts,
    CursorState,
    DbConnection,
    Fence,
    HandlerRegistration,
    Move,
    Parked,
    Renewal,
    Script,
    StoreIdentity,
)
from preterite.store_leases import LeaseStore
from preterite.store_letters import LetterStore
from preterite.store_outbox import OutboxStore
from preterite.store_replay import ReplayStore
from preterite.store_time import TimeStore

Result = TypeVar("Result")


class Store(OutboxStore, LeaseStore, TimeStore, LetterStore, ReplayStore, Protocol):
    """The statements of one kind of database. The caller owns connection and transaction.

    Unless it says otherwise a method writes and must run inside a transaction; it changes nothing
    beyond what its first line says. An error of the database passes through: `is_unavailable` names
    those that are nobody's fault and go away.
    """

    def is_unavailable(self, error: BaseException) -> bool:
        """Whether this is the database being locked, full, read-only or gone, rather than a fault of the caller."""
        ...

    @property
    def writes_at_once(self) -> bool:
        """Whether several transactions may write at the same time."""
        ...

    def is_conflict(self, error: BaseException) -> bool:
        """Whether two transactions were in each other's way: nothing was written, and it may be run again."""
        ...

    def is_open(self, connection: DbConnection) -> bool:
        """Whether the connection may still be of use; one to a server may have broken."""
        ...

    def server_time(self, connection: DbConnection, wall: float) -> float:
        """The time by the database's clock, in seconds since 1970; `wall` is this machine's."""
        ...

    def prepare(self, connection: DbConnection) -> None:
        """Set and verify what the promises need on this connection, outside a transaction."""
        ...

    def in_transaction(self, connection: DbConnection) -> bool:
        """Whether a transaction is open."""
        ...

    def begin(self, connection: DbConnection) -> None:
        """Open a transaction that will write; each statement sees what was committed before it."""
        ...

    def begin_batch(self, connection: DbConnection, *, isolated: bool) -> None:
        """Open a transaction for handlers. `isolated`: it sees one moment, and conflicts are noticed (rule 10)."""
        ...

    def begin_reading(self, connection: DbConnection) -> None:
        """Open a transaction that sees one moment, holds up nobody, and refuses to write."""
        ...

    def is_in_batch(self, connection: DbConnection) -> bool:
        """Whether the open transaction is still the one that `begin_batch` has opened (protocol rule 9)."""
        ...

    def commit_batch(self, connection: DbConnection) -> bool:
        """Commit if it is; otherwise commit nothing, and say false."""
        ...

    # whose database this is
    def migrate(self, connection: DbConnection) -> None:
        """Bring the tables to the newest version, in a transaction of its own each."""
        ...

    def scripts(self) -> Sequence[Script]:
        """The scripts that make the tables, in order."""
        ...

    def newest(self, connection: DbConnection) -> int:
        """The number of the newest script that was run; 0 if none was. Reads only."""
        ...

    def note_of(self, number: int) -> str:
        """The statement that notes a script as run, for whoever runs it by hand."""
        ...

    def is_migrated(self, connection: DbConnection) -> bool:
        """Whether the tables are of the newest version. Reads only."""
        ...

    def identify(self, connection: DbConnection, identity: StoreIdentity) -> None:
        """Write the identity into an empty database; raise `WrongDatabase` if it has another one."""
        ...

    def identity(self, connection: DbConnection) -> StoreIdentity | None:
        """Whose database this is; nothing if Preterite has never used it. Reads only."""
        ...

    # handlers and cursors
    def register_handlers(
        self,
        connection: DbConnection,
        handlers: Sequence[HandlerRegistration],
        renamed: Mapping[str, str],
        now: float,
    ) -> None:
        """Add the handlers that are not registered yet; rename those that had another name; move changed lane groups.

        `renamed` maps former names to present ones. What is registered and not given stays registered.
        From which numbers a new one is in force is noted by `start_cursors`.
        """
        ...

    def retire_handler(self, connection: DbConnection, name: str, now: float) -> int:
        """Take a handler out of force; what is parked or waits for it becomes dead. Return how many that are.

        A calendar ends with its handler.
        """
        ...

    def handlers(self, connection: DbConnection) -> tuple[int, Sequence[HandlerRegistration]]:
        """The version of the set of handlers in force, and all there are, retired ones too. Reads only."""
        ...

    def start_cursors(self, connection: DbConnection, starts: Mapping[Stream, Cursor]) -> None:
        """Store where streams without a cursor begin, all in this transaction (protocol rule 18)."""
        ...

    def handler_starts(self, connection: DbConnection) -> Mapping[tuple[str, Stream], int]:
        """From which number of each stream each handler has been in force. Reads only."""
        ...

    def cursors(self, connection: DbConnection) -> Mapping[Stream, CursorState]:
        """All cursors. Reads only."""
        ...

    def set_cursor(self, connection: DbConnection, stream: Stream, cursor: Cursor) -> None:
        """Go on from elsewhere in a stream, by a person's decision; it no longer stands still."""
        ...

    def move_cursors(
        self,
        connection: DbConnection,
        moves: Sequence[Move],
        fence: Fence,
        expires_at: float | None,
        activity: Activity | None = None,
    ) -> None:
        """The last statements of a batch: move the cursors, check everything, renew the leases if told until when.

        What was handled is added to what was before in the same minute.

        Raises `Fenced` unless every cursor still is where it was read, every lease is held, and the set of
        handlers is the one the worker knows. The caller then rolls back.
        """
        ...

    def verify_fence(self, connection: DbConnection, fence: Fence) -> bool:
        """Raise `Fenced` if a lease is lost or other handlers are registered, before any work is done; return whether
        anything is parked. Reads only.

        A batch begins with it, so that an overtaken worker does not even start; it does not replace the end's check.
        """
        ...

    def check_fence(
        self, connection: DbConnection, fence: Fence, expires_at: float | None, activity: Activity | None = None
    ) -> None:
        """The same check, renewal and count for work that moves no cursor; raises `Fenced`."""
        ...

    def stop_stream(self, connection: DbConnection, stream: Stream, reason: str | None) -> None:
        """Mark a stream as standing still, with the reason; or as moving again."""
        ...

    def count_passed_over(self, connection: DbConnection, publisher: str, what: str, count: int, now: float) -> None:
        """Add to the number of records passed over for a reason: a type that no component declares, an older epoch."""
        ...

    # parking
    def park(self, connection: DbConnection, rows: Sequence[Parked]) -> None:
        """Set events aside, each for one handler."""
        ...

    def parked_lanes(
        self, connection: DbConnection, publisher_keys: Iterable[tuple[str, str]]
    ) -> set[tuple[str, str, str]]:
        """The lanes (group, publisher, key) among these publishers and keys that hold something. Reads only."""
        ...

    def parked_in_lane(self, connection: DbConnection, lane_group: str, publisher: str, key: str) -> int:
        """How many rows are parked in one lane. Reads only."""
        ...

    def parked_count(self, connection: DbConnection) -> int:
        """How many rows are parked, dead ones included. Reads only."""
        ...

    def due_heads(
        self, connection: DbConnection, partitions: Sequence[int], now: float, limit: int
    ) -> Sequence[Parked]:
        """Due rows that stand first in their lane, or have none, in these partitions. Reads only."""
        ...

    def lane_head(self, connection: DbConnection, lane_group: str, publisher: str, key: str) -> Parked | None:
        """The row that stands first in a lane, whatever its state. Reads only."""
        ...

    def start_attempt(self, connection: DbConnection, row: Parked) -> bool:
        """Count an attempt before the handler starts; false if the row is no longer as it was read."""
        ...

    def take_parked(self, connection: DbConnection, row: Parked) -> bool:
        """Delete a row whose attempt has been started, as the first statement of running it."""
        ...

    def settle_attempt(self, connection: DbConnection, row: Parked, attempts: int) -> None:
        """Write state, attempts, due time and failure of a row that stands at `attempts`, once an attempt has ended."""
        ...

    def interrupted(self, connection: DbConnection, partitions: Sequence[int]) -> Sequence[Parked]:
        """Rows whose attempt was started by a process that is gone. Reads only."""
        ...

    def retry_undecodable(self, connection: DbConnection, fingerprint: str) -> int:
        """If the set of contracts is another than last time, make what could not be decoded due; return how many."""
        ...

    def counts(self, connection: DbConnection, now: float, wall: float) -> Counts:
        """What lies before this component. `now` is business time, `wall` machine time. Reads only."""
        ...


def in_transaction(store: Store, connection: DbConnection, act: Callable[[], Result]) -> Result:
    """Run `act` in a transaction of its own, which commits after it; an exception rolls back and passes through."""
    store.begin(connection)
    try:
        result = act()
        connection.commit()
    except BaseException:
        if store.in_transaction(connection):
            connection.rollback()
        raise
    return result


def under(store: Store, connection: DbConnection, fence: Fence, renewal: Renewal, act: Callable[[], Result]) -> Result:
    """The same under the leases of a receiver; raises `Fenced`, and writes nothing, where they are somebody else's."""

    def fenced() -> Result:
        store.check_fence(connection, fence, renewal())
        return act()

    return in_transaction(store, connection, fenced)


@contextmanager
def reaching(store: Store, component: str) -> Generator[None]:
    """Say it as `StoreUnavailable` where a component's database is out of reach; other errors pass through.

    `TransactionConflict` is that too: it goes away when it is run again.
    """
    try:
        yield
    except Exception as error:
        if store.is_conflict(error):
            raise TransactionConflict(f"Somebody else has changed the same rows of {component!r}: {error}.") from error
        if store.is_unavailable(error):
            raise StoreUnavailable(f"The database of {component!r} cannot be used just now: {error}.") from error
        raise


class TableChange(NamedTuple):
    """Rows that are there and were not, and rows that were there and are not."""

    added: int
    removed: int


class Database(Protocol):
    """One component's database."""

    @property
    def url(self) -> str:
        """Where it is, without password."""
        ...

    @property
    def store(self) -> Store:
        """Its statements."""
        ...

    @property
    def connection_type(self) -> type:
        """What `connect` gives."""
        ...

    def exists(self) -> bool:
        """Whether there is a database at all; makes none."""
        ...

    def connect(self) -> Any:
        """A new connection, set up as the promises need it; `guarding()` on it refuses to end a transaction."""
        ...

    def engine(self, binding: Any, *, batch: bool | None = None) -> Any:
        """A SQLAlchemy engine on this database, whose sessions carry the binding.

        `batch`: its transactions begin as `Store.begin_batch` does, isolated or not.
        """
        ...

    def async_engine(self, binding: Any, *, batch: bool | None = None) -> Any:
        """The same for asyncio."""
        ...

    def reading_engine(self, binding: Any) -> Any:
        """A SQLAlchemy engine whose transactions begin as `Store.begin_reading` does."""
        ...

    def has_hidden_dependencies(self, connection: DbConnection) -> bool:
        """Whether a view or a trigger makes what one table shows depend on what is written to another."""
        ...

    def create_tables(self, tables: str) -> None:
        """Run these CREATE statements in one transaction; what exists stays as it is."""
        ...

    def copy(self, path: Path) -> Database:
        """A copy of it as it is now, under this path; the component works on meanwhile."""
        ...

    def differences(self, other: Database) -> Mapping[str, TableChange]:
        """By which rows of the component's own tables another copy differs from this one; only tables that differ."""
        ...

    def promise(self) -> str:
        """The promise that holds under the settings found, in one sentence; raises `NotDurable` if none does."""
        ...

    def version(self, *, elsewhere: bool = False) -> int:
        """A number that changes when another connection has committed; a hint for waking up.

        With `elsewhere` it need not change by what was announced here: whoever waits here was woken by that already.
        """
        ...

    def announce(self) -> None:
        """Tell those who look at `version` that something was committed, where the database does not by itself."""
        ...

    def fileno(self) -> int | None:
        """What becomes readable when `version` may have changed; nothing where one has to look."""
        ...

    def close(self) -> None:
        """Give up what `version` and `announce` hold open."""
        ...

    def maintain(self, connection: DbConnection) -> None:
        """Work off what the database needs from time to time, under the relay's lease."""
        ...
