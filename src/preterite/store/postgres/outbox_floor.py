"""Up to which id the outbox holds nothing and never will: where the relay begins to read.

Rows that the relay has moved stay in the table, dead, until it is vacuumed; a transaction left open keeps
all of them. Without a floor every query would read them again. "Beyond the last id seen" would be wrong: ids are
taken before the commit, and become visible out of order (rule R5). The floor is an id that no transaction can still
commit below: a transaction that has taken an id holds a lock on the table until its rows are visible. So once all that
held one when the id was read have ended, and no row below is visible, none ever will be.
"""

from __future__ import annotations

from typing import Any, NamedTuple

RECHECK_SECONDS = 60.0
"""How often the outbox is read from its first row again."""

_LAST_ID = """
SELECT CASE WHEN is_called THEN last_value ELSE 0 END, extract(epoch FROM clock_timestamp())::double precision
FROM preterite.outbox_id_seq
"""
_WRITERS = """
SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND relation = 'preterite.outbox'::regclass
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND mode = 'RowExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid()
"""
_LOWEST = "SELECT id FROM preterite.outbox WHERE id > %s ORDER BY id LIMIT 1"


class Floor(NamedTuple):
    """The floor, and the next one with the transactions that must end before it holds."""

    id: int = 0
    next_id: int = 0
    writers: frozenset[str] | None = None
    """`None` where no next one was chosen."""
    checked_at: float = 0.0


def raised(floor: Floor, connection: Any) -> Floor:
    """The floor from now on; to be called from time to time, outside of transactions.

    Every minute it is determined anew from 0, so that even a row inserted manually is found. So it is if the ids
    have begun anew.
    """
    last_id, now = connection.execute(_LAST_ID).fetchone()
    if last_id < floor.id or now - floor.checked_at >= RECHECK_SECONDS:
        floor = Floor(checked_at=now)
    # Read after the id: every transaction that has taken an id up to it is among them, or has ended.
    writing = frozenset(row[0] for row in connection.execute(_WRITERS).fetchall())
    if floor.writers is None:
        floor = floor._replace(next_id=last_id, writers=writing)
    waited_for = (floor.writers or frozenset()) & writing
    if waited_for:
        return floor._replace(writers=waited_for)
    lowest = connection.execute(_LOWEST, (floor.id,)).fetchone()
    risen = floor.next_id if lowest is None else min(floor.next_id, lowest[0] - 1)
    return floor._replace(id=risen, writers=None)
