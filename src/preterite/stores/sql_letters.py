"""The part of every SQL store with which people decide about what failed."""

from __future__ import annotations

from collections.abc import Sequence

from preterite.rows import AuditLine, DbConnection, Fingerprint, LetterGroup, Note, Parked, ParkedState
from preterite.stores.sql_parking import parked_of
from preterite.stores.statements import Statements


class SqlLetters:
    """Dead letters in groups, notes on them, and what people did."""

    sql: Statements

    def list_parked(self, connection: DbConnection, states: Sequence[ParkedState], limit: int) -> Sequence[Parked]:
        marks = self.sql.marks(len(states))
        return [
            parked_of(row)
            for row in connection.cursor()
            .execute(self.sql.LIST_PARKED.format(states=marks), (*states, limit))
            .fetchall()
        ]

    def get_parked(self, connection: DbConnection, parked_id: int) -> Parked | None:
        row = connection.cursor().execute(self.sql.GET_PARKED, (parked_id,)).fetchone()
        return None if row is None else parked_of(row)

    def redrive(self, connection: DbConnection, parked_id: int) -> bool:
        cursor = connection.cursor()
        cursor.execute(self.sql.REDRIVE, (parked_id,))
        return cursor.rowcount == 1

    def discard(self, connection: DbConnection, parked_id: int, reason: str, by: str, now: float) -> bool:
        cursor = connection.cursor()
        cursor.execute(self.sql.DISCARD, (reason, by, now, parked_id))
        if cursor.rowcount != 1:
            return False
        cursor.execute(self.sql.REMOVE_PARKED, (parked_id,))
        return True

    def letter_groups(self, connection: DbConnection, limit: int) -> Sequence[LetterGroup]:
        rows = connection.cursor().execute(self.sql.LETTER_GROUPS, (limit,)).fetchall()
        return [
            LetterGroup(Fingerprint(*row[:3]), *row[3:7], note=None if row[7] is None else Note(row[7], row[8], row[9]))
            for row in rows
        ]

    def letters_of(self, connection: DbConnection, fingerprint: Fingerprint | None, limit: int) -> Sequence[int]:
        cursor = connection.cursor()
        if fingerprint is None:
            return [row[0] for row in cursor.execute(self.sql.ALL_LETTERS, (limit,)).fetchall()]
        return [row[0] for row in cursor.execute(self.sql.LETTERS_OF, (*fingerprint, limit)).fetchall()]

    def followers(self, connection: DbConnection, parked_id: int) -> int:
        return connection.cursor().execute(self.sql.FOLLOWERS, (parked_id,)).fetchone()[0]

    def edit_parked(self, connection: DbConnection, parked_id: int, envelope: bytes) -> bool:
        cursor = connection.cursor()
        cursor.execute(self.sql.EDIT_PARKED, (envelope, parked_id))
        return cursor.rowcount == 1

    def keep_note(self, connection: DbConnection, fingerprint: Fingerprint, note: Note) -> None:
        connection.cursor().execute(self.sql.KEEP_NOTE, (*fingerprint, *note))

    def add_audit(self, connection: DbConnection, line: AuditLine) -> None:
        connection.cursor().execute(self.sql.ADD_AUDIT, line)

    def audit(self, connection: DbConnection, limit: int) -> Sequence[AuditLine]:
        return [AuditLine(*row) for row in connection.cursor().execute(self.sql.AUDIT, (limit,)).fetchall()]
