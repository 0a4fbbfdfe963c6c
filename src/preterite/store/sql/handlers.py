"""Which handlers are active, and from which number of each stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from itertools import chain, count

from preterite.log.contract import Stream
from preterite.store.rows import SCHEDULED, DbConnection, HandlerRegistration, tick_name
from preterite.store.sql.scheduled import ScheduledStore


class HandlerStore(ScheduledStore):
    """The handlers of a component. Methods write and run in a transaction, unless stated otherwise."""

    def register_handlers(
        self, connection: DbConnection, handlers: Sequence[HandlerRegistration], renamed: Mapping[str, str], now: float
    ) -> None:
        """Add the handlers that are not registered yet; rename those that had another name; move changed lanes.

        `renamed` maps former names to present ones. What is registered and not given stays registered.
        From which numbers a new one is active is stored by `start_cursors`.
        """
        cursor = connection.cursor()
        changed = 0
        for former, present in renamed.items():
            cursor.execute(self.sql.RENAME_HANDLER, (present, former, present))
            changed += cursor.rowcount
            if cursor.rowcount:
                cursor.execute(self.sql.RENAME_STARTS, (present, former))
                cursor.execute(self.sql.RENAME_PARKED, (present, former))
                cursor.execute(self.sql.RENAME_REPLAYED, (former, present))
        taken = set(self.first_names(connection).values())
        for handler in handlers:
            first_name = _unused(handler.name, taken)
            taken.add(first_name)
            values = (handler.name, handler.event_type, first_name, handler.lane, now)
            cursor.execute(self.sql.REGISTER_HANDLER, values)
            changed += cursor.rowcount
            cursor.execute(self.sql.SET_HANDLER_LANE, (handler.lane, handler.name, handler.lane))
            if cursor.rowcount:
                changed += cursor.rowcount
                cursor.execute(self.sql.SET_PARKED_LANE, (handler.lane, handler.name))
        if changed:
            cursor.execute(self.sql.HANDLERS_CHANGED)

    def retire_handler(self, connection: DbConnection, name: str, now: float) -> int:
        """Retire a handler; what is parked or scheduled for it becomes dead. Return how many that are.

        A calendar ends with its handler.
        """
        cursor = connection.cursor()
        cursor.execute(self.sql.RETIRE_HANDLER, (now, name))
        if cursor.rowcount == 0:
            return 0
        cursor.execute(self.sql.HANDLERS_CHANGED)
        cursor.execute(self.sql.ORPHAN_PARKED, (name,))
        orphans = cursor.rowcount
        cursor.execute(self.sql.REMOVE_CALENDAR, (name,))
        if cursor.rowcount == 1:
            self.drop_ticks(connection, tick_name(name))
            return orphans
        cursor.execute(self.sql.ORPHAN_SCHEDULED, (SCHEDULED, now, name))
        orphans += cursor.rowcount
        cursor.execute(self.sql.REMOVE_SCHEDULED, (name,))
        return orphans

    def handlers(self, connection: DbConnection) -> tuple[int, Sequence[HandlerRegistration]]:
        """The version of the set of active handlers, and all there are, retired ones too. Reads only."""
        cursor = connection.cursor()
        version = cursor.execute(self.sql.HANDLERS_VERSION).fetchone()[0]
        rows = cursor.execute(self.sql.HANDLERS).fetchall()
        return version, [HandlerRegistration(name, event, lane, bool(retired)) for name, event, lane, retired in rows]

    def first_names(self, connection: DbConnection) -> Mapping[str, str]:
        """Of each handler the name that it was registered under first, which no other has. Reads only."""
        return dict(connection.cursor().execute(self.sql.FIRST_NAMES).fetchall())

    def handler_starts(self, connection: DbConnection) -> Mapping[tuple[str, Stream], int]:
        """From which number of each stream each handler has been active. Reads only."""
        rows = connection.cursor().execute(self.sql.HANDLER_STARTS).fetchall()
        return {(handler, Stream(publisher, partition)): number for handler, publisher, partition, number in rows}


def _unused(name: str, taken: Set[str]) -> str:
    """The name itself, or with a number where a handler that was renamed has had it before."""
    numbered = (f"{name} {number}" for number in count(2))
    return next(one for one in chain([name], numbered) if one not in taken)
