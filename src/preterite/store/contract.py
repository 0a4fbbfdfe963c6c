"""What the core asks of a component's own database.

Everything that correctness depends on is kept here and changes in the component's own transactions: outbox,
journal, cursors, leases, parked events. The statements run on the user's own connection, so that
Preterite's rows and business rows commit together or not at all.

A `Database` is one component's database, named by URL. Its `Store` has no state: it is the statements, shared by all
kinds of databases; a `Dialect` is what each kind supplies.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from preterite.errors import StoreUnavailable, TransactionConflict
from preterite.printing.text import clause
from preterite.store.dialect import Dialect, run_in_transaction
from preterite.store.rows import DbConnection, RunningHandler
from preterite.store.sql.store import Store

__all__ = [
    "Database",
    "Dialect",
    "Store",
    "TableChange",
    "connected",
    "run_in_transaction",
    "translating_errors",
]


@contextmanager
def translating_errors(store: Dialect, component: str) -> Generator[None]:
    """Raise `StoreUnavailable` where a component's database is out of reach; other errors pass through.

    `TransactionConflict` is a kind of it: the transaction may be run again.
    """
    try:
        yield
    except Exception as error:
        if store.is_conflict(error):
            raise TransactionConflict(
                f"Another transaction has changed the same rows of {component!r}: {clause(error)}."
            ) from error
        if store.is_locked(error):
            raise StoreUnavailable(
                f"The database of {component!r} is locked by another session, for too long: {clause(error)}. The "
                "transaction was rolled back. End that session, or try again when it has ended."
            ) from error
        if store.is_unavailable(error):
            raise StoreUnavailable(f"The database of {component!r} is not available: {clause(error)}.") from error
        raise


@contextmanager
def connected(database: Database) -> Generator[Any]:
    """A connection for a command or a start, closed at the end: no statement on it waits for a lock without an end."""
    with closing(database.connect()) as connection:
        database.store.bound_waits(connection)
        yield connection


class TableChange(NamedTuple):
    """How many rows were added to a table, and how many removed."""

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
        """What `connect` returns."""
        ...

    def exists(self) -> bool:
        """Whether there is a database; creates none."""
        ...

    def answers(self) -> bool:
        """Whether it certainly can be reached and written now, on a new connection; a file in use cannot be asked."""
        ...

    def connect(self) -> Any:
        """A new connection, set up as the promises need it; inside its `guarding()` it refuses to end a transaction."""
        ...

    def engine(self, context: Any, *, batch: bool | None = None) -> Any:
        """A SQLAlchemy engine on this database, whose sessions carry the context.

        `batch`: its transactions begin as `Store.begin_batch` does, isolated or not.
        """
        ...

    def async_engine(self, context: Any, *, batch: bool | None = None) -> Any:
        """The same for asyncio."""
        ...

    def reading_engine(self, context: Any) -> Any:
        """A SQLAlchemy engine whose transactions begin as `Store.begin_reading` does."""
        ...

    def create_tables(self, tables: str) -> None:
        """Run these CREATE statements in one transaction; what exists stays as it is."""
        ...

    def copy(self, path: Path) -> Database:
        """A copy of its present state, under this path; the component works on meanwhile."""
        ...

    def differences(self, other: Database) -> Mapping[str, TableChange]:
        """The component's own tables in which another copy differs from this one, with the number of rows."""
        ...

    def promise(self) -> str:
        """The promise that holds under the settings found, in one sentence; raises `NotDurable` if none does."""
        ...

    def version(self, *, elsewhere: bool = False) -> int:
        """A number that changes when another connection has committed; a hint to wake up.

        With `elsewhere` it need not change on a `notify` of this object: its caller has woken the loops already.
        """
        ...

    def notify(self) -> None:
        """Notify other processes that something was committed, where the database does not do so itself."""
        ...

    def fileno(self) -> int | None:
        """What becomes readable when `version` may have changed; `None` where `version` has to be polled."""
        ...

    def close(self) -> None:
        """Close what `version` and `notify` hold open."""
        ...

    def maintain(self, connection: DbConnection) -> None:
        """Do the database's periodic work, under the relay's lease: checkpoints, vacuum."""
        ...

    def note_running(self, running: RunningHandler, wall: float, valid_seconds: float) -> None:
        """Note for the status which handler a worker runs, on a connection of its own; it counts for so long.

        Where several workers write at a time this is the worker's heartbeat, too. `wall` is this machine's time.
        """
        ...

    def forget_running(self, owner: str) -> None:
        """Forget it, where the worker's next heartbeat does not."""
        ...

    def running(self, connection: DbConnection, wall: float) -> Sequence[RunningHandler]:
        """The handlers that workers have noted and that still count. Reads only."""
        ...

    def wal_bytes(self) -> int:
        """Size of the write-ahead log that readers may hold back beside a file; 0 where there is none."""
        ...
