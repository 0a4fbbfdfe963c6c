"""The part of a component's database that holds what it announces: outbox, journal, streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from preterite.log import Record, Stream
from preterite.rows import DbConnection, Lease, Numbered, OutboxRow, StreamNumbers, Suppressed


class OutboxStore(Protocol):
    """How what was committed is numbered, sent and kept. Methods write and run in a transaction, unless they say
    otherwise.
    """

    def add_to_outbox(self, connection: DbConnection, rows: Sequence[OutboxRow]) -> None:
        """Add events, in this order, to be announced when this transaction commits."""
        ...

    def outbox_writer(self, connection: DbConnection) -> Callable[[OutboxRow], object]:
        """The same for one event at a time: what it returns is called for each, inside the transaction."""
        ...

    def has_outbox(self, connection: DbConnection) -> bool:
        """Whether something waits to be numbered. Reads only."""
        ...

    def outbox(self, connection: DbConnection) -> Sequence[bytes]:
        """The envelopes that wait to be numbered, in order. Reads only."""
        ...

    def number(self, connection: DbConnection, lease: Lease, now: float, limit: int) -> Sequence[Numbered]:
        """Move the next events from the outbox to the journal under the next numbers; return them in that order.

        Raises `Fenced` unless the lease is held. The order within a partition is that of the outbox.
        """
        ...

    def number_alone(self, connection: DbConnection, lease: Lease, now: float, limit: int) -> Sequence[Numbered]:
        """The same in a transaction of its own, outside of any; nothing is locked where the outbox is empty."""
        ...

    def stream_numbers(self, connection: DbConnection) -> Sequence[StreamNumbers]:
        """How far each partition is numbered and confirmed. Reads only."""
        ...

    def journal(self, connection: DbConnection, stream: Stream, after: int, epoch: int, limit: int) -> Sequence[Record]:
        """Journal entries of one partition beyond a number, as records of this epoch. Reads only."""
        ...

    def journal_id(self, connection: DbConnection, partition: int, number: int) -> bytes:
        """The id of the event under a number; empty if the journal does not hold it. Reads only."""
        ...

    def confirm(self, connection: DbConnection, lease: Lease, confirmed: Mapping[int, int]) -> None:
        """Remember what the log has, per partition; raises `Fenced` unless the lease is held."""
        ...

    def set_stream_epoch(self, connection: DbConnection, lease: Lease, epoch: int) -> None:
        """Remember the epoch under which the relay writes; raises `Fenced` unless the lease is held."""
        ...

    def stop_relay(self, connection: DbConnection, reason: str | None) -> None:
        """Say why nothing is announced; or that all is well again."""
        ...

    def void(self, connection: DbConnection, partition: int, number: int, reason: str) -> None:
        """Let a void with a reason travel under an event's number; the journal keeps the event (protocol rule 17)."""
        ...

    def adopt(self, connection: DbConnection, records: Sequence[Record], now: float) -> None:
        """Take into the journal what the log has and this database has forgotten, under its numbers (rule 14).

        Records of one stream follow each other from its last number on. Their events are never announced again.
        """
        ...

    def has_forgotten(self, connection: DbConnection) -> bool:
        """Whether anything was ever adopted. Reads only."""
        ...

    def take_forgotten(self, connection: DbConnection, lease: Lease) -> Sequence[Suppressed]:
        """Take from the outbox what was published before already; raises `Fenced` unless the lease is held."""
        ...

    def prune_journal(self, connection: DbConnection, before: float, limit: int) -> int:
        """Drop entries numbered before this machine time *and* confirmed; return how many (rule 11)."""
        ...
