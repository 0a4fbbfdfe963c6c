"""A rehearsal: a replay runs on copies of the component's database, and tells what it would change.

Twice, on two copies, so that one sees whether the handlers give the same result twice. Nothing of the component's own
is touched; what handlers do outside its database (a mail, a call) they do in a rehearsal, too.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preterite import envelope as envelopes
from preterite.clock import Clock, Randomness
from preterite.errors import Fenced, UsageError
from preterite.handling import Handling
from preterite.history import Wanted, start
from preterite.inbox import Inbox
from preterite.leases import Leases
from preterite.letters import Person
from preterite.log import Log
from preterite.owners import new_owner
from preterite.parking import Parking
from preterite.recoverability import RetryBudget
from preterite.replay import Replayer
from preterite.rows import Fence, StoreIdentity
from preterite.sessions import Binding
from preterite.store import Database, TableChange
from preterite.topology import Subscriptions
from preterite.workplace import workplace_for

PARKED_LOOKED_AT = 100_000
IDLE_ROUNDS = 2
"""The first round without work may only have caught up; after the second nothing more will come."""


@dataclass(frozen=True)
class Rehearsed:
    """What a replay would have changed."""

    fed: int
    seconds: float
    tables: Mapping[str, TableChange]
    """Rows of the component's own tables that would be there, or be gone; a changed row is one of each."""
    published: Mapping[str, int]
    """Events that would be published, by type."""
    failures: Mapping[tuple[str, str], int]
    """Events that would be parked, by handler and error; "" for those that would wait behind a failed one."""
    same_twice: bool


@dataclass(frozen=True)
class Stage:
    """What a rehearsal needs of the system."""

    database: Database
    log: Log
    identity: StoreIdentity
    subscriptions: Subscriptions
    clock: Clock
    randomness: Randomness


def rehearse(stage: Stage, wanted: Wanted, progress: Callable[[int], None] = lambda _fed: None) -> Rehearsed:
    """Feed the history on two copies and compare; `progress` is told how many events were fed.

    Raises `UsageError` where the replay could not be started, or would not come to its end.
    """
    with tempfile.TemporaryDirectory(prefix="preterite-rehearsal-") as folder:
        before = stage.database.copy(Path(folder) / "before")
        began = stage.clock.monotonic()
        first, second = before.copy(Path(folder) / "first"), before.copy(Path(folder) / "second")
        fed = _run(stage, first, wanted, progress)
        seconds = stage.clock.monotonic() - began
        _run(stage, second, wanted, progress)
        published, again = (_published(copy, before) for copy in (first, second))
        return Rehearsed(
            fed,
            seconds,
            before.differences(first),
            Counter(kind for kind, _, _ in published),
            _failures(first, before),
            same_twice=not first.differences(second) and published == again,
        )


def _run(stage: Stage, copy: Database, wanted: Wanted, progress: Callable[[int], None]) -> int:
    """Feed the history on one copy; return how many events that were."""
    store, connection = copy.store, copy.connect()
    workplace = workplace_for(stage.subscriptions.given, copy, Binding(stage.clock, stage.randomness))
    handling = Handling(stage.subscriptions, store, stage.identity, stage.clock)
    inbox = Inbox(stage.subscriptions, store, workplace, handling, stage.clock, stage.randomness)
    names = {f"partition/{number}": number for number in range(stage.identity.partitions)}
    leases = Leases(store, stage.clock, new_owner(stage.randomness), list(names), is_gone=lambda _owner: True)
    replayer = Replayer(store, connection, stage.log, inbox, stage.clock)
    parking = Parking(
        stage.subscriptions, store, connection, workplace, handling, stage.clock, stage.randomness, _NoRetries()
    )
    fed = 0
    try:
        rehearsing = wanted._replace(rate=None)
        start(store, connection, stage.log, stage.subscriptions, rehearsing, Person("rehearsal", "", 0.0))
        leases.keep(connection)
        fence = Fence({names[name]: lease for name, lease in leases.held.items()}, store.handlers(connection)[0])
        live = {stream: state.cursor for stream, state in store.cursors(connection).items()}
        replayer.take_over(fence)
        # A pause, where the log holds another history, fences whoever goes on: then it is over here.
        with suppress(Fenced):
            idle = 0
            while idle < IDLE_ROUNDS:
                leases.keep(connection)
                step = replayer.step(fence, live, leases.renewal)
                parking.look_again()
                run = parking.run_due(fence, leases.renewal, others_wait=True)
                fed += step
                idle = 0 if step or run else idle + 1
                progress(fed)
        unfinished = store.replays(connection, active=True)
        if unfinished:
            why = unfinished[0].reason or "the log no longer holds all that was read"
            raise UsageError(f"The replay would not come to its end: {why}. Nothing was touched.")
    finally:
        replayer.close()
        workplace.close()
        connection.close()
    return fed


class _NoRetries(RetryBudget):
    """What has failed once in a rehearsal has failed."""

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
