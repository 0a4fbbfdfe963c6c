"""The part of a component's database with which people decide about what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from preterite.rows import AuditLine, DbConnection, Fingerprint, LetterGroup, Note, Parked, ParkedState


class LetterStore(Protocol):
    """Dead letters, as a person sees and decides about them. Methods write and run in a transaction, unless they say
    otherwise.
    """

    def list_parked(self, connection: DbConnection, states: Sequence[ParkedState], limit: int) -> Sequence[Parked]:
        """Rows in these states, oldest first. Reads only."""
        ...

    def get_parked(self, connection: DbConnection, parked_id: int) -> Parked | None:
        """One row. Reads only."""
        ...

    def redrive(self, connection: DbConnection, parked_id: int) -> bool:
        """Make a dead row due now with its attempts forgotten; false if it is not dead."""
        ...

    def discard(self, connection: DbConnection, parked_id: int, reason: str, by: str, now: float) -> bool:
        """Move a dead row to the discarded ones, with the reason; false if it is not dead."""
        ...

    def letter_groups(self, connection: DbConnection, limit: int) -> Sequence[LetterGroup]:
        """Dead letters by what failed in the same way, the newest failure first. Reads only."""
        ...

    def letters_of(self, connection: DbConnection, fingerprint: Fingerprint | None, limit: int) -> Sequence[int]:
        """The numbers of dead letters of one kind, or of all, oldest first. Reads only."""
        ...

    def followers(self, connection: DbConnection, parked_id: int) -> int:
        """How many rows wait behind this one in its lane. Reads only."""
        ...

    def edit_parked(self, connection: DbConnection, parked_id: int, envelope: bytes) -> bool:
        """Change the envelope of a dead row, keeping the one that came beside it; false if it is not dead."""
        ...

    def keep_note(self, connection: DbConnection, fingerprint: Fingerprint, note: Note) -> None:
        """Keep what a person has written about failures of this kind, instead of what was written before."""
        ...

    def add_audit(self, connection: DbConnection, line: AuditLine) -> None:
        """Add a line to what people did; no line is ever changed."""
        ...

    def audit(self, connection: DbConnection, limit: int) -> Sequence[AuditLine]:
        """What people did, newest first. Reads only."""
        ...
