"""What failed and what waits behind it: run from its row, alone, in order per lane.

There is one way to run something alone. Its attempt is counted and committed before the handler starts,
so that a handler which kills the process is counted too; the transaction that runs it deletes the row.
The head of a lane is computed, never marked; only the holder of the partition's lease releases.
A dead letter waits for a person: redrive, or discard with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from preterite.clock import Clock, Randomness
from preterite.errors import (
    ConnectionLost,
    Fenced,
    HandlerFailed,
    PreteriteError,
    StoreUnavailable,
    TransactionConflict,
)
from preterite.handling.batch import BatchResult
from preterite.handling.delivery import decode
from preterite.handling.failure import died_while_handling, ends_the_process, failure_of
from preterite.handling.invoker import HandlerInvoker, HandlerRaised
from preterite.handling.transaction import Batch, TransactionRunner
from preterite.leases import Tenure
from preterite.printing.raised import is_a
from preterite.recoverability import DeadLetter, Decision, Recoverability, RetryBudget, RetryLater
from preterite.store.contract import Store
from preterite.store.rows import (
    Activity,
    DbConnection,
    Failure,
    Parked,
    ParkedState,
)
from preterite.topology import Subscriptions

RELEASE_ROWS = 100
"""Parked events that one step reads as due, and runs of one lane in a row."""
NO_RETRIES = Recoverability(immediate_retries=0, delayed_retries=0)
LOOK_SHARE = 0.01
"""Share of the time that looking for due parked events may take."""
LOOK_SECONDS_MAX = 1.0
"""The longest wait between two looks for due parked events."""


class Parking:
    """Runs what is parked for one component. Used by the thread that holds the leases.

    `report` gets what has failed, once it is stored.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        store: Store,
        connection: DbConnection,
        transactions: TransactionRunner,
        invoker: HandlerInvoker,
        clock: Clock,
        randomness: Randomness,
        report: Callable[[Sequence[Parked]], None],
        budget: RetryBudget | None = None,
    ) -> None:
        self._report = report
        self._subscriptions = subscriptions
        self._store = store
        self._connection = connection
        self._transactions = transactions
        self._invoker = invoker
        self._clock = clock
        self._randomness = randomness
        self._unsettled: list[tuple[Parked, int]] = []
        self._look_again_at = float("-inf")
        self._budget = budget or RetryBudget()

    def run_due(
        self, tenure: Tenure, *, handled: int = 0, raising: bool = False, others_wait: bool = False
    ) -> BatchResult:
        """Run the due heads of all lanes in the partitions held.

        While `others_wait`, what has failed before is run again only as far as the retry budget goes; `handled` events
        have earned it since the last call. A failed attempt is settled by recoverability; with `raising` its exception
        passes through afterwards. Raises `Fenced` or `StoreUnavailable`; no attempt is spent on those. A conflict with
        another transaction is an attempt that failed.
        """
        self._budget.earn(handled)
        self._settle_left_over(tenure)
        run = 0
        published = False
        rows = self._due_heads(tenure)
        for row in rows:
            if others_wait and row.attempts > 0 and not self._budget.spend(self._clock.monotonic()):
                continue
            following: Parked | None = row
            while following is not None and run < RELEASE_ROWS:
                result = self._run_alone(following, tenure, raising)
                run += result.records
                published |= result.published
                following = self._next_in_lane(row)
        return BatchResult(run, published, parked=False)

    def look_again(self) -> None:
        """Look at once what is due: something was parked."""
        self._look_again_at = float("-inf")

    def _due_heads(self, tenure: Tenure) -> Sequence[Parked]:
        """What is due and stands first in its lane; looked for only so often that looking takes little of the time.

        With many thousands behind one head a look takes milliseconds, in which nothing else is handled.
        """
        began = self._clock.monotonic()
        if began < self._look_again_at:
            return []
        rows = self._store.due_heads(self._connection, tenure.partitions, self._clock.now().timestamp(), RELEASE_ROWS)
        took = self._clock.monotonic() - began
        self._look_again_at = float("-inf") if rows else began + min(took / LOOK_SHARE, LOOK_SECONDS_MAX)
        return rows

    def _next_in_lane(self, row: Parked) -> Parked | None:
        """What waited behind a row that is done; nothing if the row has failed, or the next one has before."""
        if row.key is None:
            return None
        following = self._store.lane_head(self._connection, row.lane, row.record.stream.publisher, row.key)
        return following if following is not None and following.attempts == 0 and following.state == "parked" else None

    def settle_interrupted(self, tenure: Tenure) -> int:
        """Count what a process was running when it ended; return how many rows that were."""
        self._settle_left_over(tenure)
        rows = self._store.interrupted(self._connection, tenure.partitions)
        for row in rows:
            policy = self._policy(row)
            decision = policy.decide(row.attempts, self._randomness.fraction(), process_died=True)
            self._unsettled.append((self._decided(row, died_while_handling(), decision), row.attempts))
        self._settle_left_over(tenure)
        return len(rows)

    def _run_alone(self, row: Parked, tenure: Tenure, raising: bool) -> BatchResult:
        published = False
        if not self._start(row, tenure):
            return BatchResult(0, published, parked=False)
        started = replace(row, attempts=row.attempts + 1, running=True)
        try:
            with self._invoker.translating():
                published = self._transactions.transact(lambda batch: self._apply(batch, started, tenure))
            self._invoker.committed()
            self._budget.earn(1)
        except BaseException as error:
            if ends_the_process(error):
                raise
            if is_a(error, ConnectionLost):
                # This row was the only one that ran.
                self._unsettled.append((self._after_lost_connection(started, error.__cause__), started.attempts))
                raise
            if is_a(error, (Fenced, StoreUnavailable)) and not is_a(error, TransactionConflict):
                self._unsettled.append((row, started.attempts))
                raise
            cause = error.error if isinstance(error, HandlerRaised) else error
            self._unsettled.append((self._after_failure(started, cause), started.attempts))
            if cause is error:
                self._transactions.renew()
            self._settle_left_over(tenure)
            if raising:
                raise cause from None
        return BatchResult(1, published, parked=False)

    def _start(self, row: Parked, tenure: Tenure) -> bool:
        with tenure.transaction(self._connection):
            return self._store.start_attempt(self._connection, row)

    def _apply(self, batch: Batch, row: Parked, tenure: Tenure) -> bool:
        connection = batch.transaction.connection
        if not self._store.take_parked(connection, row):
            raise Fenced(f"Parked row {row.id} was taken by another worker; nothing was written.")
        delivery = decode(self._subscriptions, row.record)
        bound = self._subscriptions.handler(row.record.kind, row.type, row.handler)
        if delivery.fault is not None:
            raise _Unreadable(delivery.fault)
        if bound is None or delivery.subscription is None:
            raise HandlerFailed(row.handler or "(none)", f"{row.type}: no such handler is declared here")
        self._invoker.call(batch, bound, [delivery], 0, row.replay)
        published = self._invoker.write_outbox(batch)
        tenure.check(connection, Activity(int(self._clock.wall() // 60), 1))
        return published

    def _after_failure(self, row: Parked, error: BaseException) -> Parked:
        if type(error) is _Unreadable:
            # It waits for newer code, which tries it again at its start; running it again before is of no use.
            waiting: ParkedState = "undecodable" if row.handler else "dead"
            return replace(row, state=waiting, running=False, failure=error.fault, failed_at=self._now())
        return self._decided(
            row,
            failure_of(error),
            self._policy(row).decide(row.attempts, self._randomness.fraction(), error=error),
        )

    def _after_lost_connection(self, row: Parked, cause: BaseException | None) -> Parked:
        """What its handler raised is the reason, as of a statement that it has cancelled; without one it is a death."""
        if cause is not None and not (is_a(cause, StoreUnavailable) or self._store.is_unavailable(cause)):
            return self._after_failure(row, cause)
        decision = self._policy(row).decide(row.attempts, self._randomness.fraction(), process_died=True)
        return self._decided(row, died_while_handling(), decision)

    def _policy(self, row: Parked) -> Recoverability:
        """What is to follow the failures of this row's handler; no retry where it is no longer declared."""
        bound = self._subscriptions.handler(row.record.kind, row.type, row.handler)
        return NO_RETRIES if bound is None else bound.recoverability

    def _decided(self, row: Parked, failure: Failure, decision: Decision) -> Parked:
        now = self._now()
        row = replace(row, running=False, failure=failure, failed_at=now)
        if isinstance(decision, DeadLetter):
            return replace(row, state="dead")
        return replace(row, due_at=now + (decision.seconds if isinstance(decision, RetryLater) else 0.0))

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _settle_left_over(self, tenure: Tenure) -> None:
        """Write the ends of attempts that are known and not written yet."""
        if not self._unsettled:
            return

        with tenure.transaction(self._connection):
            for row, attempts in self._unsettled:
                self._store.settle_attempt(self._connection, row, attempts)
        # An attempt that is taken back has not failed.
        failed = [row for row, attempts in self._unsettled if row.attempts == attempts]
        self._unsettled = []
        self._report(failed)

    def forget_unsettled(self) -> None:
        """Leave unfinished rows to the next holder, who finds them interrupted."""
        self._unsettled = []


class _Unreadable(PreteriteError):
    """A parked record cannot be decoded by this program, or holds no event."""

    def __init__(self, fault: Failure) -> None:
        self.fault = fault
        super().__init__(fault.text)
