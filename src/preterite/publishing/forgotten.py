"""What a restored database has forgotten and publishes once more: left out, or set aside where it differs. Pure."""

from __future__ import annotations

from uuid import UUID

from preterite import envelope as envelopes
from preterite.log.contract import Record, Stream
from preterite.store.rows import Failure, Parked, Suppressed


def published_otherwise(one: Suppressed, stream: Stream, epoch: int, failed_at: float) -> Parked | None:
    """The dead letter of an event under whose id another one was published; None if it was the same."""
    again, before = envelopes.from_bytes(one.row.envelope), envelopes.from_bytes(one.published)
    if (again.type, bytes(again.data)) == (before.type, bytes(before.data)):
        return None
    reason = f"before this database was restored, another event was published as {UUID(bytes=one.row.event_id)}"
    return Parked(
        handler="",
        lane="",
        record=Record(stream, "event", epoch, -one.outbox_id, one.row.event_id, one.row.envelope),
        key=None,
        type=again.type,
        state="dead",
        failure=Failure("PublishedOtherwise", reason, "", ""),
        failed_at=failed_at,
    )
