"""One message with everything needed to route, order and trace it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from preterite.envelope import Envelope, from_bytes, to_bytes
from preterite.errors import Undecodable

ENVELOPE = Envelope(
    id=UUID(int=1),
    source="/shop/sales",
    type="sales.ItemPurchased",
    time=datetime(2013, 1, 17, 13, 37, tzinfo=UTC),
    data=msgspec.Raw(b'{"a":1}'),
    subject="anna",
)


def test_its_attributes_are_those_of_cloudevents() -> None:
    assert msgspec.json.decode(to_bytes(ENVELOPE)) == {
        "id": str(UUID(int=1)),
        "source": "/shop/sales",
        "type": "sales.ItemPurchased",
        "time": "2013-01-17T13:37:00Z",
        "data": {"a": 1},
        "subject": "anna",
    }


def test_it_reads_back() -> None:
    read = from_bytes(to_bytes(ENVELOPE))

    assert bytes(read.data) == b'{"a":1}'
    assert (read.id, read.key, read.version, read.specversion) == (UUID(int=1), "anna", 1, "1.0")


def test_a_conversation_is_known_by_the_message_that_started_it() -> None:
    caused = msgspec.structs.replace(ENVELOPE, id=UUID(int=2), correlationid=UUID(int=1), causationid=UUID(int=1))

    assert ENVELOPE.correlation == caused.correlation == UUID(int=1)


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b'{"id": 5}', b"\xff\xff"])
def test_bytes_that_are_no_envelope_are_said_so(document: bytes) -> None:
    with pytest.raises(Undecodable, match="This is not an envelope"):
        from_bytes(document)
