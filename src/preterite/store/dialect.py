"""What a kind of database must supply so that the statements in `preterite.store.sql` run on it.

A store for another kind of database is a subclass of `preterite.store.sql.store.Store` that supplies these members and
its statements. It may override any method of `Store` where its database does the same in fewer statements. The suite in
`preterite.testing.conformance` verifies the result.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from preterite.store.rows import DbConnection
from preterite.store.sql.statements import Statements

Result = TypeVar("Result")


class Dialect(Protocol):
    """The seam between the shared statements and one kind of database. The caller owns connection and transaction."""

    name: str
    """The folder below `preterite/store` that holds its migrations."""
    sql: Statements
    """The statements in this dialect."""
    writes_at_once: bool
    """Whether several transactions may write at the same time."""

    # errors

    @abstractmethod
    def is_unavailable(self, error: BaseException) -> bool:
        """Whether the database is locked, full, read-only or unreachable: not a fault of the caller."""

    @abstractmethod
    def may_have_raised(self, connection: DbConnection, error: BaseException) -> bool:
        """Whether this connection may have raised it, and not one to another database."""

    @abstractmethod
    def is_conflict(self, error: BaseException) -> bool:
        """Whether two transactions conflicted: this one wrote nothing, and may be run again."""

    @abstractmethod
    def is_locked(self, error: BaseException) -> bool:
        """Whether it is unavailable because another session did not give back a lock in time."""

    @abstractmethod
    def lacks_tables(self, error: BaseException) -> bool:
        """Whether the database has no tables of Preterite."""

    @abstractmethod
    def table_names(self, connection: DbConnection) -> frozenset[str]:
        """The names of all tables and views that are not the database's own, without their schemas."""

    # connections and transactions

    @abstractmethod
    def prepare(self, connection: DbConnection) -> None:
        """Set and verify what the promises need on this connection, outside a transaction."""

    @abstractmethod
    def plain_cursor(self, connection: DbConnection) -> Any:
        """A cursor whose rows are tuples, whatever a user has set on the connection."""

    @abstractmethod
    def place(self, connection: DbConnection) -> str:
        """Where the database is that a connection is open on, as it may be shown."""

    @abstractmethod
    def is_open(self, connection: DbConnection) -> bool:
        """Whether the connection may still be used; a connection to a server may have broken."""

    def may_write(self, connection: DbConnection) -> bool:
        """Whether its session may write; one that began while the server only read may not, ever."""
        return True

    @abstractmethod
    def require_current(self, connection: DbConnection) -> None:
        """Raise `StoreUnavailable` if what it is open on is no longer what its URL names, or only reads. Cheap."""

    @abstractmethod
    def server_time(self, connection: DbConnection, wall: float) -> float:
        """The time by the database's clock, in seconds since 1970; `wall` is this machine's."""

    @abstractmethod
    def in_transaction(self, connection: DbConnection) -> bool:
        """Whether a transaction is open."""

    @abstractmethod
    def begin(self, connection: DbConnection) -> None:
        """Open a transaction that will write; each statement sees what was committed before it."""

    @abstractmethod
    def begin_batch(self, connection: DbConnection, *, isolated: bool) -> None:
        """Open a transaction for handlers. `isolated`: it sees one moment, and conflicts are noticed (rule 10)."""

    @abstractmethod
    def begin_reading(self, connection: DbConnection) -> None:
        """Open a transaction that sees one moment, blocks no other, and refuses to write."""

    @abstractmethod
    def is_in_batch(self, connection: DbConnection) -> bool:
        """Whether the open transaction is still the one that `begin_batch` opened (protocol rule 9)."""

    @abstractmethod
    def can_commit(self, connection: DbConnection) -> bool:
        """Whether a transaction is open, and a commit would keep what was written in it."""

    @abstractmethod
    def mark(self, connection: DbConnection) -> None:
        """Mark the open transaction of a connection that a user has brought; the mark ends with it."""

    @abstractmethod
    def take_mark(self, connection: DbConnection) -> bool:
        """Take the mark from the open transaction; false if it has none: then it is not the one that was marked."""

    def is_damaged(self, error: BaseException) -> bool:
        """Whether the database's file is damaged, so that only a backup helps."""
        return False

    def refuses_rights(self, error: BaseException) -> bool:
        """Whether the connection's role lacks a right."""
        return False

    def bound_waits(self, connection: DbConnection) -> None:
        """Let no statement on this connection, which is no user's, wait for a lock without an end."""

    def upkeep(self, connection: DbConnection) -> Callable[[], None] | None:
        """What the database needs after a commit on a connection that a user has brought, if anything; raises nothing.

        Inside the transaction.
        """
        return None

    @abstractmethod
    def terminate_sessions(self, connection: DbConnection, owner: str) -> None:
        """End the open transactions of a worker that lost its lease: they block the worker that takes over.

        Only idle ones; none of them could commit any more. Outside a transaction.
        """

    # migrations

    @abstractmethod
    def lock_migrations(self, connection: DbConnection) -> None:
        """Let one transaction at a time run migrations, until it ends."""

    @abstractmethod
    def run_script(self, connection: DbConnection, script: str) -> None:
        """Run all statements of a script in the open transaction."""


def run_in_transaction(dialect: Dialect, connection: DbConnection, act: Callable[[], Result]) -> Result:
    """Run `act` in a transaction of its own, which commits after it; an exception rolls back and passes through."""
    dialect.begin(connection)
    try:
        result = act()
        connection.commit()
    except BaseException:
        if dialect.in_transaction(connection):
            connection.rollback()
        raise
    return result
