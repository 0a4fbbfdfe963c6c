"""What a handler gets that takes a SQLAlchemy session: one of its own for each call, in the batch's transaction.

So a handler finds in its session nothing that an earlier one has loaded, changed or set, as if its event had a
transaction to itself. Its rows are written when it returns, as a commit would write them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session
from sqlalchemy.orm import SessionTransaction as SqlalchemyTransaction

from preterite.errors import HandlerEndedTransaction
from preterite.publishing.transaction import SESSION_CONTEXT, SessionContext

FLUSHES_MAX = 100
"""Flushes at the end of a call, where hooks add more and more; SQLAlchemy's own limit at a commit."""


class HandlerSession(Session):
    """The session of one call of a handler. It cannot end the transaction, and is of no use after the call.

    `guard` is the connection that refuses to end the transaction: a flush that fails must be able to roll it back, as
    SQLAlchemy does, or its own error is lost.
    """

    def __init__(self, batch: Connection, guard: Any, context: SessionContext) -> None:
        # A connection of its own too, so that options and savepoints end with the call; it only looks new.
        self._own = Connection(batch.engine, batch.connection)
        self._began = self._own.begin()
        super().__init__(
            self._own,
            expire_on_commit=False,
            info={SESSION_CONTEXT: context},
            join_transaction_mode="rollback_only",
            close_resets_only=False,
        )
        self._guard = guard
        self._runs = True
        self.rolled_back: list[SqlalchemyTransaction] = []
        """The savepoints that were rolled back."""
        self._joined = self.begin()

    @property
    def wants_to_know(self) -> bool:
        """Whether a hook waits for the end of the transaction."""
        return bool(self.dispatch.after_commit or self.dispatch.after_rollback)

    def tell(self, *, committed: bool) -> None:
        """Run the hooks that wait for the end of the transaction, which has ended."""
        (self.dispatch.after_commit if committed else self.dispatch.after_rollback)(self)

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        """Write what waits, as every session does."""
        self._guard.flushing = True
        super().flush(objects)
        self._guard.flushing = False

    def commit(self) -> None:
        """Refused: the transaction belongs to the batch."""
        self._refuse("commit its session")
        super().commit()

    def rollback(self) -> None:
        """Refused: the transaction belongs to the batch."""
        self._refuse("roll back its session")
        super().rollback()

    def close(self) -> None:
        """Refused, also `with session:`: what it has added would be lost."""
        self._refuse("close its session")
        super().close()

    def reset(self) -> None:
        """Refused, as `close` is."""
        self._refuse("reset its session")
        super().reset()

    def invalidate(self) -> None:
        """Refused: the connection belongs to the batch."""
        self._refuse("invalidate its session")
        super().invalidate()

    def finish(self) -> None:
        """Write all that it holds, as a commit would, and close it: the handler has returned."""
        self._require_open()
        self.dispatch.before_commit(self)
        while (savepoint := self.get_nested_transaction()) is not None:
            savepoint.commit()
        for _ in range(FLUSHES_MAX):
            if not (self.new or self.deleted or self.dirty):
                break
            self.flush()
        while (left := self._own.get_nested_transaction()) is not None and left.is_active:
            left.commit()
        self._require_open()
        self._runs = False
        self.close()

    def _require_open(self) -> None:
        """Raise `HandlerEndedTransaction` if it, or its connection, is no longer in the transaction that it began."""
        if self.get_transaction() is not self._joined or self._own.get_transaction() is not self._began:
            raise HandlerEndedTransaction.refused("end its session's transaction, and went on when that was refused")

    def _refuse(self, what: str) -> None:
        if self._runs:
            raise HandlerEndedTransaction.refused(what)


def _note_rolled_back(session: HandlerSession, transaction: SqlalchemyTransaction) -> None:
    session.rolled_back.append(transaction)


event.listen(HandlerSession, "after_soft_rollback", _note_rolled_back)
