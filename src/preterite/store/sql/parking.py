"""Parked events: waiting for a retry, or behind one in their lane."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from preterite.log.contract import Record, Stream
from preterite.store.dialect import Dialect
from preterite.store.rows import DbConnection, Failure, Parked, ReplayMode


class ParkedStore(Dialect):
    """Parked rows and their attempts. Methods write and run in a transaction, unless stated otherwise."""

    def park(self, connection: DbConnection, rows: Sequence[Parked]) -> None:
        """Park events, each for one handler."""
        connection.cursor().executemany(self.sql.PARK, [_parked_values(row) for row in rows])

    def parked_lanes(
        self, connection: DbConnection, publisher_keys: Iterable[tuple[str, str]]
    ) -> set[tuple[str, str, str]]:
        """The lanes (lane, publisher, key) among these publishers and keys in which rows are parked. Reads only."""
        cursor = connection.cursor()
        lanes: set[tuple[str, str, str]] = set()
        for publisher, key in set(publisher_keys):
            lanes.update(
                (row[0], publisher, key) for row in cursor.execute(self.sql.PARKED_LANES, (publisher, key)).fetchall()
            )
        return lanes

    def parked_in_lane(self, connection: DbConnection, lane: str, publisher: str, key: str) -> int:
        """How many rows are parked in one lane. Reads only."""
        return connection.cursor().execute(self.sql.PARKED_IN_LANE, (publisher, key, lane)).fetchone()[0]

    def parked_count(self, connection: DbConnection) -> int:
        """How many rows are parked, dead ones included. Reads only."""
        return connection.cursor().execute(self.sql.PARKED_COUNT).fetchone()[0]

    def due_heads(
        self, connection: DbConnection, partitions: Sequence[int], now: float, limit: int
    ) -> Sequence[Parked]:
        """Due rows that are the head of their lane, or have none, in these partitions. Reads only."""
        cursor = connection.cursor()
        if cursor.execute(self.sql.ANY_PARKED).fetchone() is None:
            return []
        marks = self.sql.marks(len(partitions))
        return [
            parked_of(row)
            for row in cursor.execute(self.sql.DUE_HEADS.format(partitions=marks), (now, *partitions, limit)).fetchall()
        ]

    def lane_head(self, connection: DbConnection, lane: str, publisher: str, key: str) -> Parked | None:
        """The head of a lane, whatever its state. Reads only."""
        row = connection.cursor().execute(self.sql.LANE_HEAD, (publisher, key, lane)).fetchone()
        return None if row is None else parked_of(row)

    def start_attempt(self, connection: DbConnection, row: Parked) -> bool:
        """Count an attempt before the handler starts; false if the row is no longer as it was read."""
        cursor = connection.cursor()
        cursor.execute(self.sql.START_ATTEMPT, (row.id, row.attempts))
        return cursor.rowcount == 1

    def take_parked(self, connection: DbConnection, row: Parked) -> bool:
        """Delete a row whose attempt has been started, as the first statement of running it."""
        cursor = connection.cursor()
        cursor.execute(self.sql.TAKE_PARKED, (row.id, row.attempts))
        return cursor.rowcount == 1

    def settle_attempt(self, connection: DbConnection, row: Parked, attempts: int) -> None:
        """Write state, attempts, due time and failure of a row that has `attempts`, once an attempt has ended."""
        connection.cursor().execute(
            self.sql.SETTLE_ATTEMPT, (row.state, row.due_at, row.attempts, *_failure_values(row), row.id, attempts)
        )

    def interrupted(self, connection: DbConnection, partitions: Sequence[int]) -> Sequence[Parked]:
        """Rows whose attempt was started by a process that is gone. Reads only."""
        marks = self.sql.marks(len(partitions))
        return [
            parked_of(row)
            for row in connection.cursor()
            .execute(self.sql.INTERRUPTED.format(partitions=marks), tuple(partitions))
            .fetchall()
        ]

    def retry_undecodable(self, connection: DbConnection, fingerprint: str) -> int:
        """If the set of contracts has changed, make what could not be decoded due; return how many."""
        cursor = connection.cursor()
        cursor.execute(self.sql.SET_CONTRACTS, (fingerprint, fingerprint))
        if cursor.rowcount == 0:
            return 0
        cursor.execute(self.sql.RETRY_UNDECODABLE)
        return cursor.rowcount


def _failure_values(row: Parked) -> tuple[Any, ...]:
    failure = row.failure
    shown = (None,) * 4 if failure is None else (failure.error, failure.text, failure.place, failure.trace)
    return (*shown, row.failed_at)


def _parked_values(row: Parked) -> tuple[Any, ...]:
    record = row.record
    return (
        row.handler, row.lane, *record.stream, record.number, record.epoch, record.kind, record.event_id,
        row.key, row.type, record.body, row.state, row.attempts, int(row.running), row.due_at, *_failure_values(row),
        row.saga, None if row.replay is None else json.dumps(row.replay), row.original,
    )  # fmt: skip


def parked_of(row: Sequence[Any]) -> Parked:
    """A parked row as it was read."""
    (parked_id, handler, lane, publisher, partition, number, epoch, kind, event_id, key, type_name, envelope,
     state, attempts, running, due_at, error, text, place, trace, failed_at, saga, replay, original) = row  # fmt: skip
    return Parked(
        id=parked_id,
        handler=handler,
        lane=lane,
        record=Record(Stream(publisher, partition), kind, epoch, number, event_id, envelope),
        key=key,
        type=type_name,
        state=state,
        attempts=attempts,
        running=bool(running),
        due_at=due_at,
        failure=None if error is None else Failure(error, text, place, trace),
        failed_at=failed_at,
        saga=saga,
        replay=None if replay is None else ReplayMode(*json.loads(replay)),
        original=original,
    )
