"""What a handler gets that takes a SQLAlchemy session: one of its own for each call, in the batch's transaction.

So a handler finds in its session nothing that an earlier one has loaded, changed or set, as if its event had a
transaction to itself. Its rows are written when it returns, as a commit would write them; or they wait, where that
makes no difference (`waiting.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, Engine, PoolProxiedConnection, event
from sqlalchemy.exc import ResourceClosedError
from sqlalchemy.orm import Session
from sqlalchemy.orm import SessionTransaction as SqlalchemyTransaction

from preterite.errors import HandlerEndedTransaction, UnitOfWorkBroken
from preterite.handling.waiting import WaitingRows
from preterite.publishing.transaction import SESSION_CONTEXT, SessionContext

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from preterite.handling.transaction import SessionBatch

FLUSHES_MAX = 100
"""Flushes at the end of a call, where hooks add more and more; SQLAlchemy's own limit at a commit."""
_CALL = "preterite_call"
_MAY_BE_SAVEPOINT = re.compile(r"\s*(?:savepoint|--|/\*)", re.IGNORECASE)


class LentConnection:
    """The driver's connection as its pool has lent it to the batch; a handler cannot give it back or take it away.

    Everything else is that connection's, until the call has ended: a handler that keeps it finds it closed, whether the
    next event is in the same batch or not. Where SQLAlchemy itself finds it lost, it passes the exception that says so.
    """

    __slots__ = ("_lent",)

    def __init__(self, lent: PoolProxiedConnection) -> None:
        self._lent: PoolProxiedConnection | None = lent

    def __getattr__(self, name: str) -> Any:
        if self._lent is None:
            raise ResourceClosedError("This Connection is closed")
        return getattr(self._lent, name)

    def end(self) -> None:
        """Close it, also where a handler has kept it."""
        self._lent = None

    def invalidate(self, e: BaseException | None = None, soft: bool = False) -> None:
        """Refused, unless it is known to be lost."""
        if e is None:
            raise HandlerEndedTransaction.refused("invalidate its session's connection")
        if self._lent is not None:
            self._lent.invalidate(e, soft)

    def detach(self) -> None:
        """Refused: the batch goes on with it."""
        raise HandlerEndedTransaction.refused("detach its session's connection")

    def close(self) -> None:
        """Refused: the batch goes on with it."""
        raise HandlerEndedTransaction.refused("close its session's connection")


class HandlerConnection(Connection):
    """The batch's connection as one call of a handler has it: new to look at, so that options end with the call.

    Savepoints do, too: the first one is set inside a savepoint of the core's, whose release removes all of them.
    Rows that wait are written before any statement, and before the driver's connection is handed out.
    """

    def __init__(self, batch: Connection, waiting: WaitingRows) -> None:
        self.waiting: WaitingRows | None = None
        self._lent = LentConnection(batch.connection)
        super().__init__(batch.engine, cast(Any, self._lent))
        self._has_savepoints = False
        self._began = self.begin()
        self.waiting = waiting
        self.sees_none_waiting = False
        """Whether the next statement certainly sees no row that waits."""

    @property
    def connection(self) -> PoolProxiedConnection:
        """The driver's connection, on which anything may be done unseen."""
        if self.waiting is not None:
            self.waiting.write()
            self._expect_savepoints()
        return super().connection

    def close(self) -> None:
        """Refused: the batch goes on with it."""
        raise HandlerEndedTransaction.refused("close its session's connection")

    def detach(self) -> None:
        """Refused, too."""
        raise HandlerEndedTransaction.refused("detach its session's connection")

    def invalidate(self, exception: BaseException | None = None) -> None:
        """Refused, unless SQLAlchemy has found that it is lost."""
        if exception is None:
            raise HandlerEndedTransaction.refused("invalidate its session's connection")
        super().invalidate(exception)

    def before_statement(self, statement: str) -> None:
        """Write what waits, unless the statement certainly does not see it."""
        if self.waiting is None:
            return
        if not self.sees_none_waiting:
            self.waiting.write()
        self.sees_none_waiting = False
        if _MAY_BE_SAVEPOINT.match(statement):
            self._expect_savepoints()

    def _expect_savepoints(self) -> None:
        if not self._has_savepoints:
            self._has_savepoints = True
            self.exec_driver_sql(f"SAVEPOINT {_CALL}")

    def finish(self) -> None:
        """Remove the savepoints of the call; what was done in them stays."""
        if self._has_savepoints:
            self.exec_driver_sql(f"RELEASE SAVEPOINT {_CALL}")

    def end(self) -> None:
        """Close it, also where the handler has kept it: the call has ended."""
        self._lent.end()

    @property
    def is_as_it_began(self) -> bool:
        """Whether its transaction is the one that it began."""
        return self.get_transaction() is self._began and self._began.is_active


def write_what_waits_first(engine: Engine) -> None:
    """Have the handlers' connections of this engine write what waits before their statements."""
    event.listen(engine, "before_cursor_execute", _before_statement)


def _before_statement(connection: Connection, _cursor: object, statement: str, *_others: object) -> None:
    if isinstance(connection, HandlerConnection):
        connection.before_statement(statement)


class HandlerSession(Session):
    """The session of one call of a handler. It cannot end the transaction, and is of no use after the call.

    `guard` is the connection that refuses to end the transaction: a flush that fails must be able to roll it back, as
    SQLAlchemy does, or its own error is lost.
    """

    def __init__(self, batch: Connection, guard: Any, waiting: WaitingRows, context: SessionContext) -> None:
        self._batch = batch
        self._guard = guard
        self._waiting = waiting
        self._own: HandlerConnection | None = None
        self._runs = True
        self._binds_apart = False
        self.rolled_back: list[SqlalchemyTransaction] = []
        """The savepoints that were rolled back. One in which nothing was run is no statement's savepoint."""
        super().__init__(
            expire_on_commit=False,
            info={SESSION_CONTEXT: context},
            join_transaction_mode="rollback_only",
            close_resets_only=False,
        )
        self._joined = self.begin()

    @property
    def bind(self) -> HandlerConnection:  # pyright: ignore[reportIncompatibleVariableOverride] - made when asked for
        """Its connection, which many a call does not need."""
        if self._own is None:
            self._own = HandlerConnection(self._batch, self._waiting)
        return self._own

    @bind.setter
    def bind(self, _none: object) -> None:  # pyright: ignore[reportIncompatibleVariableOverride] - see above
        """SQLAlchemy sets what the session was given."""

    def bind_mapper(self, mapper: Any, bind: Any) -> None:
        """Bind a class, as every session does; then it is not certain where rows belong."""
        self._binds_apart = True
        super().bind_mapper(mapper, bind)

    def bind_table(self, table: Any, bind: Any) -> None:
        """Bind a table, likewise."""
        self._binds_apart = True
        super().bind_table(table, bind)

    @property
    def has_end_hooks(self) -> bool:
        """Whether a hook waits for the end of the transaction."""
        return bool(self.dispatch.after_commit or self.dispatch.after_rollback)

    def run_end_hooks(self, *, committed: bool) -> None:
        """Run the hooks that wait for the end of the transaction, which has ended."""
        (self.dispatch.after_commit if committed else self.dispatch.after_rollback)(self)

    def execute(self, statement: Any, *arguments: Any, **options: Any) -> Any:
        """Run a statement."""
        return self._run(super().execute, statement, arguments, options)

    def scalars(self, statement: Any, *arguments: Any, **options: Any) -> Any:
        """Run a statement and return its scalars."""
        return self._run(super().scalars, statement, arguments, options)

    def scalar(self, statement: Any, *arguments: Any, **options: Any) -> Any:
        """Run a statement and return one scalar."""
        return self._run(super().scalar, statement, arguments, options)

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        """Write what it holds, as every session does."""
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
        """Write all that it holds, as a commit would, or let it wait, and close it: the handler has returned."""
        self._require_open()
        self.dispatch.before_commit(self)
        while (savepoint := self.get_nested_transaction()) is not None:
            savepoint.commit()
        if not (self._is_as_made() and self._waiting.take(self)):
            self._flush_all()
        self._require_open()
        if self._own is not None:
            self._own.finish()
        self._runs = False
        self.close()
        self._end_connection()

    def abandon(self) -> None:
        """Let go of all that it holds: the handler has failed, and the batch is rolled back."""
        self.expunge_all()
        self._end_connection()

    def _end_connection(self) -> None:
        if self._own is not None:
            self._own.end()

    def _is_as_made(self) -> bool:
        """Whether its rows go where, and as, those of all handlers go."""
        options = None if self._own is None else self._own.get_execution_options()
        own = options is not None and options != self._batch.get_execution_options()
        return not (self._binds_apart or own or getattr(self, "execution_options", None))

    def _flush_all(self) -> None:
        for _ in range(FLUSHES_MAX):
            if not (self.new or self.deleted or self.dirty):
                break
            self.flush()

    def _run(self, run: Callable[..., Any], statement: Any, arguments: Any, options: Any) -> Any:
        """Run a statement; if it certainly sees no row that waits, let them wait on."""
        if not self._waiting or not self._reads_only(statement):
            return run(statement, *arguments, **options)
        connection = self.bind
        connection.sees_none_waiting = True
        try:
            return run(statement, *arguments, **options)
        finally:
            connection.sees_none_waiting = False

    def _reads_only(self, statement: Any) -> bool:
        """Whether a statement does nothing but read, and no row that waits."""
        writes_first = self.new or self.deleted or self.dirty or self.dispatch.do_orm_execute
        return not writes_first and self._waiting.are_certainly_not_read(statement)

    def _require_open(self) -> None:
        """Raise `HandlerEndedTransaction` if it, or its connection, is no longer in the transaction that it began."""
        open_still = self._own is None or self._own.is_as_it_began
        if self.get_transaction() is not self._joined or not open_still:
            raise HandlerEndedTransaction.refused("end its session's transaction, and went on when that was refused")

    def _refuse(self, what: str) -> None:
        if self._runs:
            raise HandlerEndedTransaction.refused(what)


def _note_rolled_back(session: HandlerSession, transaction: SqlalchemyTransaction) -> None:
    session.rolled_back.append(transaction)


event.listen(HandlerSession, "after_soft_rollback", _note_rolled_back)


class CallTransaction:
    """The batch's transaction as one call of a handler has it: with the savepoints of the call's session."""

    buffers = True

    def __init__(self, batch: SessionBatch) -> None:
        self.connection = batch.connection
        self.store = batch.store
        self.context = batch.context
        self._batch = batch
        self._session: HandlerSession | None = None

    @property
    def session(self) -> HandlerSession:
        """The call's session, made when it is first asked for."""
        if self._session is None:
            self._session = self._batch.new_session()
        return self._session

    @property
    def has_end_hooks(self) -> bool:
        """Whether its session has hooks for the end of the transaction."""
        return self._session is not None and self._session.has_end_hooks

    @property
    def async_session(self) -> AsyncSession:
        """The face of the call's session for asyncio."""
        from sqlalchemy.ext.asyncio import AsyncSession

        def made(**_options: Any) -> HandlerSession:
            return self.session

        return AsyncSession(sync_session_class=cast(Any, made))

    def begin(self) -> None:
        """Nothing: the batch has begun."""

    def writing_own_tables(self) -> AbstractContextManager[None]:
        """While the core writes to its own tables, which is refused to user code."""
        return self._batch.writing_own_tables()

    def savepoint(self) -> object:
        """The position in the batch, and the savepoint of the session."""
        return self._batch.savepoint(), None if self._session is None else self._session.get_nested_transaction()

    def is_live(self, savepoint: object) -> bool:
        """Whether neither the session nor a statement has rolled it back."""
        position, transaction = cast("tuple[object, Any]", savepoint)
        while transaction is not None:
            if self._session is not None and any(transaction is gone for gone in self._session.rolled_back):
                return False
            transaction = transaction.parent
        return self._batch.is_live(position)

    @property
    def broken(self) -> UnitOfWorkBroken | None:
        """Nothing: what ends the transaction here breaks the batch."""
        return None

    def require_unbroken(self) -> None:
        """Nothing: the guard of the batch's connection refuses its end."""

    def verify(self) -> None:
        """Nothing: that is verified at the end of the batch."""

    def release(self) -> None:
        """Nothing: the batch follows its connection to its end."""

    def flush(self) -> None:
        """Write what the session holds."""
        if self._session is not None:
            self._session.flush()

    def commit(self) -> None:
        """End the session's part; it is the batch that is committed."""
        if self._session is not None:
            self._session.finish()

    def rollback(self) -> None:
        """Only let go of the session: it is the batch that is rolled back."""
        if self._session is not None:
            self._session.abandon()
