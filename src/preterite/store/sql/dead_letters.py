"""Dead letters: what operators see of failures and decide about them."""

from __future__ import annotations

from collections.abc import Sequence

from preterite.store.dialect import Dialect
from preterite.store.rows import AuditLine, DbConnection, FailureGroup, Fingerprint, Note, Parked, ParkedState
from preterite.store.sql.parking import parked_of


class DeadLetterStore(Dialect):
    """Dead letters, notes and audit. Methods write and run in a transaction, unless stated otherwise."""

    def list_parked(self, connection: DbConnection, states: Sequence[ParkedState], limit: int) -> Sequence[Parked]:
        """Rows in these states, oldest first. Reads only."""
        marks = self.sql.marks(len(states))
        return [
            parked_of(row)
            for row in connection.cursor()
            .execute(self.sql.LIST_PARKED.format(states=marks), (*states, limit))
            .fetchall()
        ]

    def get_parked(self, connection: DbConnection, parked_id: int) -> Parked | None:
        """One row. Reads only."""
        row = connection.cursor().execute(self.sql.GET_PARKED, (parked_id,)).fetchone()
        return None if row is None else parked_of(row)

    def redrive(self, connection: DbConnection, parked_id: int) -> bool:
        """Make a dead row due now with its attempts set to 0; false if it is not dead, or its handler is retired."""
        cursor = connection.cursor()
        cursor.execute(self.sql.REDRIVE, (parked_id,))
        return cursor.rowcount == 1

    def discard(self, connection: DbConnection, parked_id: int, reason: str, by: str, now: float) -> bool:
        """Move a dead row to the discarded ones, with the reason; false if it is not dead."""
        cursor = connection.cursor()
        cursor.execute(self.sql.DISCARD, (reason, by, now, parked_id))
        if cursor.rowcount != 1:
            return False
        cursor.execute(self.sql.REMOVE_PARKED, (parked_id,))
        return True

    def failure_groups(self, connection: DbConnection, limit: int) -> Sequence[FailureGroup]:
        """Dead letters by fingerprint, the newest failure first. Reads only."""
        rows = connection.cursor().execute(self.sql.FAILURE_GROUPS, (limit,)).fetchall()
        return [
            FailureGroup(
                Fingerprint(*row[:3]), *row[3:7], note=None if row[7] is None else Note(row[7], row[8], row[9])
            )
            for row in rows
        ]

    def dead_letters_of(self, connection: DbConnection, fingerprint: Fingerprint | None, limit: int) -> Sequence[int]:
        """The numbers of dead letters of one fingerprint, or of all, oldest first. Reads only."""
        cursor = connection.cursor()
        if fingerprint is None:
            return [row[0] for row in cursor.execute(self.sql.DEAD_LETTERS, (limit,)).fetchall()]
        return [row[0] for row in cursor.execute(self.sql.DEAD_LETTERS_OF, (*fingerprint, limit)).fetchall()]

    def followers(self, connection: DbConnection, parked_id: int) -> int:
        """How many rows wait behind this one in its lane. Reads only."""
        return connection.cursor().execute(self.sql.FOLLOWERS, (parked_id,)).fetchone()[0]

    def edit_parked(self, connection: DbConnection, parked_id: int, envelope: bytes) -> bool:
        """Change the envelope of a dead row and keep the original beside it; false if it is not dead."""
        cursor = connection.cursor()
        cursor.execute(self.sql.EDIT_PARKED, (envelope, parked_id))
        return cursor.rowcount == 1

    def keep_note(self, connection: DbConnection, fingerprint: Fingerprint, note: Note) -> None:
        """Store an operator's note on failures of this kind, in place of the one before."""
        connection.cursor().execute(self.sql.SET_NOTE, (*fingerprint, *note))

    def add_audit(self, connection: DbConnection, line: AuditLine) -> None:
        """Add a line to what operators did; no line is ever changed."""
        connection.cursor().execute(self.sql.ADD_AUDIT, line)

    def audit(self, connection: DbConnection, limit: int) -> Sequence[AuditLine]:
        """What operators did, newest first. Reads only."""
        return [AuditLine(*row) for row in connection.cursor().execute(self.sql.AUDIT, (limit,)).fetchall()]
