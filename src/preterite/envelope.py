"""What travels: an event with its id, type, time and causes, as CloudEvents 1.0 attributes.

Stored as one JSON document. Attributes that follow from others are left out of it:
`correlationid` where it is the event's own id, `partitionkey` because it is the subject,
`sequence` because the record in the log carries the number.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from preterite.errors import Undecodable
from preterite.printing.text import clause


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One message with everything needed to route, order and trace it."""

    id: UUID
    source: str
    type: str
    time: datetime
    data: msgspec.Raw
    specversion: str = "1.0"
    version: int = 1
    subject: str | None = None
    datacontenttype: str = "application/json"
    correlationid: UUID | None = None
    causationid: UUID | None = None
    traceparent: str | None = None
    saga: int | None = None
    """Of a command only, which never leaves its component: the instance of a saga that asked for it."""

    @property
    def key(self) -> str | None:
        """The text that orders and partitions this message; nothing where its type has no key."""
        return self.subject

    @property
    def correlation(self) -> UUID:
        """The id of the message that started this conversation."""
        return self.correlationid or self.id


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Envelope).decode


def to_bytes(envelope: Envelope) -> bytes:
    """The envelope as one JSON document."""
    return _encode(envelope)


def from_bytes(document: bytes) -> Envelope:
    """The envelope in these bytes; raises Undecodable where they are not one, or are nested too deep to be read."""
    try:
        return _decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"This is not an envelope: {clause(error)}.") from None
