"""A rehearsal: a dry run of a replay on copies of the component's database, which reports what would change.

It runs twice, on two copies, to show whether the handlers give the same result both times. The component's database is
not changed; what handlers do outside of it (mails, calls) is refused, unless it is allowed.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preterite import envelope as envelopes
from preterite.clock import Clock, Randomness
from preterite.errors import Fenced, UsageError
from preterite.handling.batch import BatchProcessor
from preterite.handling.invoker import HandlerInvoker
from preterite.handling.sources import StreamProgress
from preterite.handling.transaction import runner_for
from preterite.leases import Leases, Tenure, new_owner, partition_leases
from preterite.log.contract import Log, Stream
from preterite.operations.dead_letters import Operator
from preterite.operations.outside_calls import OutsideCalls
from preterite.operations.replays import Wanted, start
from preterite.printing.text import clause
from preterite.publishing.transaction import SessionContext
from preterite.receiving.parking import Parking
from preterite.receiving.replayer import Replayer
from preterite.recoverability import RetryBudget
from preterite.store.contract import Database, TableChange
from preterite.store.rows import DbConnection, Parked, StoreIdentity
from preterite.topology import Subscriptions

__all__ = [
    "RehearsalResult",
    "Stage",
    "rehearse",
]

PARKED_LOOKED_AT = 100_000
"""Parked and dead events that a rehearsal compares, in the copy and before."""
IDLE_ROUNDS = 2
"""The first round without work may only have caught up; after the second nothing more will come."""


@dataclass(frozen=True)
class RehearsalResult:
    """What a replay would have changed."""

    replayed: int
    """Events that at least one handler got."""
    seconds: float
    tables: Mapping[str, TableChange]
    """Rows added to and removed from the component's tables; a changed row counts as both."""
    published: Mapping[str, int]
    """Events that would be published, by type."""
    failures: Mapping[tuple[str, str], int]
    """Events that would be parked, by handler and error; "" for those that would wait behind a failed event."""
    same_twice: bool
    refused: Mapping[tuple[str, str], int]
    """What handlers tried to do outside of the database, by handler, and how often; it did not happen."""


@dataclass(frozen=True)
class Stage:
    """What a rehearsal needs of the system."""

    database: Database
    log: Log
    identity: StoreIdentity
    subscriptions: Subscriptions
    clock: Clock
    randomness: Randomness


def rehearse(
    stage: Stage,
    wanted: Wanted,
    progress: Callable[[int], None] = lambda _read: None,
    *,
    allow_outside_calls: bool = False,
    is_alone: bool = False,
) -> RehearsalResult:
    """Replay the history on two copies and compare them; `progress` is called with the number of records read.

    Connections, processes and files that handlers open, start or write outside of the copies are refused, where Python
    does it, unless they are allowed: in the handler's thread and in what it awaits; where this process `is_alone` with
    the rehearsal, in all its threads. Raises `UsageError` if the replay could not be started, or would not finish.
    """
    with tempfile.TemporaryDirectory(prefix="preterite-rehearsal-") as folder:
        before = stage.database.copy(Path(folder) / "before")
        began = stage.clock.monotonic()
        first, second = before.copy(Path(folder) / "first"), before.copy(Path(folder) / "second")
        outside = [OutsideCalls(Path(folder)) for _ in range(2)]
        calls = [_allowed if allow_outside_calls else one.refusing for one in outside]
        elsewhere = [
            one.refusing_elsewhere() if is_alone and not allow_outside_calls else nullcontext() for one in outside
        ]
        with elsewhere[0]:
            replayed = _run(stage, first, wanted, progress, calls[0])
        seconds = stage.clock.monotonic() - began
        with elsewhere[1]:
            _run(stage, second, wanted, progress, calls[1])
        published, again = (_published(copy, before) for copy in (first, second))
        return RehearsalResult(
            replayed,
            seconds,
            before.differences(first),
            Counter(kind for kind, _, _ in published),
            _failures(first, before),
            same_twice=not first.differences(second) and published == again,
            refused=outside[0].refused,
        )


def _allowed(_handler: str) -> AbstractContextManager[None]:
    return nullcontext()


def _run(
    stage: Stage,
    copy: Database,
    wanted: Wanted,
    progress: Callable[[int], None],
    calls: Callable[[str], AbstractContextManager[None]],
) -> int:
    """Replay the history on one copy; return the number of events that at least one handler got."""
    store, connection = copy.store, copy.connect()
    transactions = runner_for(stage.subscriptions.given, copy, SessionContext(stage.clock, stage.randomness))
    handling = HandlerInvoker(
        stage.subscriptions, copy, stage.identity, stage.clock, store.first_names(connection), calls
    )
    parts = (transactions, handling, stage.clock, stage.randomness, _not_logged)
    batches = BatchProcessor(stage.subscriptions, store, *parts)
    names = partition_leases(stage.identity.partitions)
    leases = Leases(store, stage.clock, new_owner(stage.randomness), names, is_gone=lambda _owner: True)
    replayer = Replayer(store, connection, stage.log, batches, stage.clock)
    parking = Parking(stage.subscriptions, store, connection, *parts, _NoRetries())
    try:
        rehearsing = wanted._replace(rate=None)
        number = start(store, connection, stage.log, stage.subscriptions, rehearsing, Operator("rehearsal", "", 0.0))
        leases.keep(connection)
        tenure = Tenure(store, leases, store.handlers(connection)[0])
        live = {stream: StreamProgress(state.cursor) for stream, state in store.cursors(connection).items()}
        replayer.take_over(tenure)
        # A pause, where the log holds another history, fences the replay: the rehearsal ends here.
        with suppress(Fenced):
            _run_until_idle(leases, connection, replayer, parking, tenure, live, progress)
        unfinished = store.replays(connection, active=True)
        if unfinished:
            why = unfinished[0].reason or "the log no longer holds all that was read"
            raise UsageError(f"The replay would not finish: {clause(why)}. Nothing was changed.")
        return next(one.replayed for one in store.replays(connection, active=False) if one.id == number)
    finally:
        replayer.close()
        transactions.close()
        connection.close()


def _run_until_idle(
    leases: Leases,
    connection: DbConnection,
    replayer: Replayer,
    parking: Parking,
    tenure: Tenure,
    live: Mapping[Stream, StreamProgress],
    progress: Callable[[int], None],
) -> None:
    read = idle = 0
    while idle < IDLE_ROUNDS:
        leases.keep(connection)
        step = replayer.step(tenure, live).records
        parking.look_again()
        run = parking.run_due(tenure, others_wait=True).records
        read += step
        idle = 0 if step or run else idle + 1
        progress(read)


def _not_logged(_failed: Sequence[Parked]) -> None:
    """What fails on a copy is no dead letter of the component; the result of the rehearsal counts it."""


class _NoRetries(RetryBudget):
    """A rehearsal does not retry."""

    def spend(self, now: float) -> bool:
        return False


def _published(copy: Database, before: Database) -> list[tuple[str, Any, bytes]]:
    """Type, identifier and content of what the copy's outbox has beyond the original's."""
    rows: list[list[bytes]] = []
    for database in (before, copy):
        connection = database.connect()
        rows.append(list(database.store.outbox(connection)))
        connection.close()
    found = [envelopes.from_bytes(row) for row in rows[1][len(rows[0]) :]]
    return [(envelope.type, envelope.id, bytes(envelope.data)) for envelope in found]


def _failures(copy: Database, before: Database) -> Counter[tuple[str, str]]:
    counts: list[Counter[tuple[str, str]]] = []
    for database in (copy, before):
        connection = database.connect()
        rows = database.store.list_parked(connection, ["parked", "dead", "undecodable"], PARKED_LOOKED_AT)
        counts.append(Counter((row.handler, row.failure.error if row.failure else "") for row in rows))
        connection.close()
    return counts[0] - counts[1]
