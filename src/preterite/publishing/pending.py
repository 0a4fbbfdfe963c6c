"""What one unit of work or one handler has published and scheduled, until it is written with the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from preterite.errors import UnitOfWorkSealed
from preterite.publishing.transaction import Transaction
from preterite.store.contract import Store
from preterite.store.rows import DbConnection, OutboxRow

Deferred = Callable[[Store, DbConnection], object]
Kept = TypeVar("Kept")


class PendingMessages:
    """What one unit of work has published: refused once sealed, written to the outbox last. A quiet one drops it."""

    def __init__(self, transaction: Transaction, *, quiet: bool = False) -> None:
        self.transaction = transaction
        self._quiet = quiet
        self.sealed = False
        self.is_committing = False
        self.places: list[int] = []
        """Where in the outbox the rows stand that were written at once."""
        self._write: Callable[[OutboxRow], int] | None = None
        self._waiting: list[tuple[object, OutboxRow]] = []
        self._deferred: list[tuple[object, Deferred]] = []
        self._sealing = threading.RLock()  # the collector may end a unit, or SQLite call the user, while it is held
        """Another thread of the user's may publish while this one seals: either its row is taken, or it is refused."""

    def add(self, row: OutboxRow, what: str) -> None:
        """Keep a row for the end of the transaction, or write it at once.

        Raises `UnitOfWorkSealed` with `what` was done too late, or `UnitOfWorkBroken`; then it is not kept.
        """
        self._take(self._waiting, row, self._write_at_once, what)

    def defer(self, act: Deferred, what: str) -> None:
        """Change the scheduled commands: likewise last, or at once."""
        self._take(self._deferred, act, self._act_at_once, what)

    def _take(self, kept: list[tuple[object, Kept]], one: Kept, at_once: Callable[[Kept], None], what: str) -> None:
        with self._sealing:
            self.require_open(what)
            self.transaction.require_unbroken()
            if self._quiet:
                return
            if self.transaction.buffers:
                kept.append((self.transaction.savepoint(), one))
            else:
                with self.transaction.writing_own_tables():
                    at_once(one)

    def _write_at_once(self, row: OutboxRow) -> None:
        if self._write is None:
            self._write = self.transaction.store.outbox_writer(self.transaction.connection)
        self.places.append(self._write(row))

    def _act_at_once(self, act: Deferred) -> None:
        act(self.transaction.store, self.transaction.connection)

    def require_open(self, what: str) -> None:
        """Raise `UnitOfWorkSealed` once no more is taken."""
        if self.sealed:
            raise UnitOfWorkSealed(f"{what} {self.when()}")

    def when(self) -> str:
        """When it was, that something came too late."""
        transaction = self.transaction
        if not self.is_committing:
            return "after its unit of work had ended; nothing was written. Stay in the 'with'."
        if transaction.store.in_transaction(transaction.connection):
            return "while its unit of work committed; all of it is rolled back. Publish before the 'with' ends."
        return "after its unit of work had committed; that stands, only this is lost. Publish before the 'with' ends."

    def write_deferred(self) -> None:
        """Make the changes that waited and that no savepoint has taken back."""
        for savepoint, act in self._deferred:
            if self.transaction.is_live(savepoint):
                act(self.transaction.store, self.transaction.connection)

    def refuse_more(self) -> None:
        """Take no more."""
        with self._sealing:
            self.sealed = True

    def seal(self) -> list[OutboxRow]:
        """Take no more; return the rows to be written last, without those that a savepoint has taken back."""
        self.refuse_more()
        return [row for savepoint, row in self._waiting if self.transaction.is_live(savepoint)]
