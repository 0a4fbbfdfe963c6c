"""What failed and what waits behind it: run from its row, alone, in order per lane.

There is one way to run something alone. Its attempt is counted and committed before the handler starts,
so that a handler which kills the process is counted too; the transaction that runs it deletes the row.
The head of a lane is computed, never marked; only the holder of the partition's lease releases.
A dead letter waits for a person: redrive, or discard with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from preterite.clock import Clock, Randomness
from preterite.errors import Fenced, HandlerFailed, PreteriteError, StoreUnavailable
from preterite.failures import died_while_handling, failure_of
from preterite.handling import HandlerRaised, Handling
from preterite.items import opened
from preterite.recoverability import DeadLetter, Decision, Recoverability, RetryBudget, RetryLater
from preterite.rows import (
    Activity,
    DbConnection,
    Failure,
    Fence,
    Parked,
    ParkedState,
    Renewal,
)
from preterite.store import Store, reaching, under
from preterite.topology import Subscriptions
from preterite.workplace import Batch, Workplace

RELEASE_ROWS = 100
LOOK_SHARE = 0.01
LOOK_SECONDS_MAX = 1.0


class Parking:
    """Runs what is parked for one component. Used by the thread that holds the leases."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        store: Store,
        connection: DbConnection,
        workplace: Workplace,
        handling: Handling,
        clock: Clock,
        randomness: Randomness,
        budget: RetryBudget | None = None,
    ) -> None:
        self._subscriptions = subscriptions
        self._store = store
        self._connection = connection
        self._workplace = workplace
        self._handling = handling
        self._clock = clock
        self._randomness = randomness
        self._unsettled: list[tuple[Parked, int]] = []
        self._look_again_at = float("-inf")
        self.budget = budget or RetryBudget()

    def run_due(self, fence: Fence, renewal: Renewal, *, raising: bool = False, others_wait: bool = False) -> int:
        """Run the due heads of all lanes in the partitions held; return how many were run.

        While `others_wait`, what has failed before is run again only as far as the retry budget goes. A failed attempt
        is settled by recoverability; with `raising` its exception passes through afterwards. Raises `Fenced` or
        `StoreUnavailable`; no attempt is spent on those.
        """
        self._settle_left_over(fence, renewal)
        run = 0
        rows = self._due_heads(fence)
        for row in rows:
            if others_wait and row.attempts > 0 and not self.budget.spend(self._clock.monotonic()):
                continue
            following: Parked | None = row
            while following is not None and run < RELEASE_ROWS:
                run += self._run_alone(following, fence, renewal, raising)
                following = self._next_in_lane(row)
        return run

    def look_again(self) -> None:
        """Look at once what is due: something was parked."""
        self._look_again_at = float("-inf")

    def _due_heads(self, fence: Fence) -> Sequence[Parked]:
        """What is due and stands first in its lane; looked for only so often that looking takes little of the time.

        With many thousands behind one head a look takes milliseconds, in which nothing else is handled.
        """
        began = self._clock.monotonic()
        if began < self._look_again_at:
            return []
        rows = self._store.due_heads(
            self._connection, sorted(fence.leases), self._clock.now().timestamp(), RELEASE_ROWS
        )
        took = self._clock.monotonic() - began
        self._look_again_at = float("-inf") if rows else began + min(took / LOOK_SHARE, LOOK_SECONDS_MAX)
        return rows

    def _next_in_lane(self, row: Parked) -> Parked | None:
        """What waited behind a row that is done; nothing if the row has failed, or the next one has before."""
        if row.key is None:
            return None
        following = self._store.lane_head(self._connection, row.lane_group, row.record.stream.publisher, row.key)
        return following if following is not None and following.attempts == 0 and following.state == "parked" else None

    def settle_interrupted(self, fence: Fence, renewal: Renewal) -> int:
        """Count what a process was running when it ended; return how many rows that were."""
        self._settle_left_over(fence, renewal)
        rows = self._store.interrupted(self._connection, sorted(fence.leases))
        for row in rows:
            policy = self._policy(row)
            decision = policy.decide(row.attempts, self._randomness.fraction(), process_died=True)
            self._unsettled.append((self._decided(row, died_while_handling(), decision), row.attempts))
        self._settle_left_over(fence, renewal)
        return len(rows)

    def _run_alone(self, row: Parked, fence: Fence, renewal: Renewal, raising: bool) -> int:
        if not self._start(row, fence, renewal):
            return 0
        started = replace(row, attempts=row.attempts + 1, running=True)
        try:
            with reaching(self._store, self._subscriptions.component.name):
                self._workplace.transact(lambda batch: self._apply(batch, started, fence, renewal))
            self.budget.earn(1)
        except (Fenced, StoreUnavailable):
            self._unsettled.append((row, started.attempts))
            raise
        except Exception as error:
            cause = error.error if isinstance(error, HandlerRaised) else error
            self._unsettled.append((self._after_failure(started, cause), started.attempts))
            self._settle_left_over(fence, renewal)
            if raising:
                raise cause from None
        return 1

    def _start(self, row: Parked, fence: Fence, renewal: Renewal) -> bool:
        store, connection = self._store, self._connection
        return under(store, connection, fence, renewal, lambda: store.start_attempt(connection, row))

    def _apply(self, batch: Batch, row: Parked, fence: Fence, renewal: Renewal) -> None:
        connection = batch.work.connection
        if not self._store.take_parked(connection, row):
            raise Fenced(f"Parked row {row.id} was taken by somebody else; nothing was written.")
        item = opened(self._subscriptions, row.record)
        bound = self._subscriptions.handler(row.record.kind, row.type, row.handler)
        if item.fault is not None:
            raise _Unreadable(item.fault)
        if bound is None or item.subscription is None:
            raise HandlerFailed(row.handler or "(none)", f"{row.type}: no such handler is declared here")
        self._handling.call(batch, bound, [item], 0, row.replay)
        self._handling.write_outbox(batch)
        self._store.check_fence(connection, fence, renewal(), Activity(int(self._clock.wall() // 60), 1))

    def _after_failure(self, row: Parked, error: BaseException) -> Parked:
        if isinstance(error, _Unreadable):
            # It waits for newer code, which tries it again at its start; running it again before is of no use.
            waiting: ParkedState = "undecodable" if row.handler else "dead"
            return replace(row, state=waiting, running=False, failure=error.fault, failed_at=self._now())
        return self._decided(
            row,
            failure_of(error),
            self._policy(row).decide(row.attempts, self._randomness.fraction(), error=error),
        )

    def _policy(self, row: Parked) -> Recoverability:
        """What is to follow the failures of this row's handler; the usual where it is no longer declared."""
        bound = self._subscriptions.handler(row.record.kind, row.type, row.handler)
        return Recoverability() if bound is None else bound.recoverability

    def _decided(self, row: Parked, failure: Failure, decision: Decision) -> Parked:
        now = self._now()
        row = replace(row, running=False, failure=failure, failed_at=now)
        if isinstance(decision, DeadLetter):
            return replace(row, state="dead")
        return replace(row, due_at=now + (decision.seconds if isinstance(decision, RetryLater) else 0.0))

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _settle_left_over(self, fence: Fence, renewal: Renewal) -> None:
        """Write the ends of attempts that are known and not written yet."""
        if not self._unsettled:
            return

        def settle() -> None:
            for row, attempts in self._unsettled:
                self._store.settle_attempt(self._connection, row, attempts)

        under(self._store, self._connection, fence, renewal, settle)
        self._unsettled = []

    def forget_unsettled(self) -> None:
        """Leave unfinished rows to the next holder, who finds them interrupted."""
        self._unsettled = []


class _Unreadable(PreteriteError):
    """A parked record cannot be decoded by this program, or holds no event."""

    def __init__(self, fault: Failure) -> None:
        self.fault = fault
        super().__init__(fault.text)
