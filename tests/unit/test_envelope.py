"""One message with everything needed to route, order and trace it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

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


ENVELOPE_AROUND = to_bytes(ENVELOPE).replace(b'{"a":1}', b"%b")


@pytest.mark.parametrize("depth", [64, 900, 1_100, 100_000, 5_000_000])
@pytest.mark.parametrize("pair", [b"[]", b"{}"])
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("around", [ENVELOPE_AROUND, b'{"unknown":%b}', b"%b"])
def test_opening_a_document_of_any_depth_returns_or_says_that_it_is_no_envelope(
    depth: int, pair: bytes, closed: bool, around: bytes
) -> None:
    opening = b"[" if pair == b"[]" else b'{"a":'
    inside = opening * depth + (b"1" + pair[1:] * depth if closed else b"")
    with suppress(Undecodable):
        from_bytes(around.replace(b"%b", inside))


@given(some.binary(max_size=60), some.integers(0, len(ENVELOPE_AROUND)))
def test_opening_any_bytes_returns_or_says_that_they_are_no_envelope(junk: bytes, place: int) -> None:
    document = ENVELOPE_AROUND.replace(b"%b", b"{}")
    for one in (junk, document[:place] + junk + document[place:], ENVELOPE_AROUND.replace(b"%b", junk)):
        with suppress(Undecodable):
            bytes(from_bytes(one).data).decode()
