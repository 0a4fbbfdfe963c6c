"""Messages from and for the world outside: the XML of the field, and JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from fuzz.documents import SAMPLE
from hypothesis import given
from hypothesis import strategies as some

from preterite import Event, Justified, OwnKey, codecs
from preterite.codecs import DOCUMENT_BYTES_MAX, FIELDS_MAX, read_json, read_xml, write_xml
from preterite.contracts import DEPTH_MAX
from preterite.errors import InvalidEvent, Undecodable

MADE = UUID(int=42)


class ItemPurchased(Event, key="customer_id"):
    product_id: UUID = msgspec.field(name="productIdentifier")
    customer_id: UUID = msgspec.field(name="customerIdentifier")
    purchased_at: datetime = msgspec.field(name="purchaseDate")
    purchase_id: Annotated[UUID, OwnKey()] = msgspec.field(name="purchaseIdentifier")
    quantity: Annotated[int, Justified("only Sales knows how many")] = 1


class NoteWritten(Event):
    text: str


TYPES: dict[str, type[Event]] = {"sales.ItemPurchased": ItemPurchased, "sales.NoteWritten": NoteWritten}
FROM_THE_FIELD = b"""<?xml version="1.0"?>
<messages>
    <itempurchased>
        <productidentifier>57cbe59c-6881-4e5d-84a5-3264e2252ac2</productidentifier>
        <customeridentifier>2ed3cd8e-b7c2-4557-9442-4f58939c201b</customeridentifier>
        <purchasedate>2013-01-17T13:37:00</purchasedate>
    </itempurchased>
</messages>
"""
EVENT = ItemPurchased(
    product_id=UUID("57cbe59c-6881-4e5d-84a5-3264e2252ac2"),
    customer_id=UUID("2ed3cd8e-b7c2-4557-9442-4f58939c201b"),
    purchased_at=datetime(2013, 1, 17, 13, 37, tzinfo=UTC),
    purchase_id=MADE,
)


def read(document: bytes) -> list[Event]:
    return read_xml(document, TYPES, lambda: MADE)


def test_the_message_of_the_field_is_an_item_purchased() -> None:
    """A time without zone is read as UTC, the missing purchase key is made on entry."""
    assert read(FROM_THE_FIELD) == [EVENT]


def test_it_is_written_as_it_stands_in_the_field_then_the_purchase_and_the_quantity_unless_it_is_1() -> None:
    head = FROM_THE_FIELD.decode().partition("    </itempurchased>")[0]
    purchase = f"        <purchaseidentifier>{MADE}</purchaseidentifier>\n"
    quantity = "        <quantity>3</quantity>\n"
    tail = "    </itempurchased>\n</messages>\n"

    assert write_xml([EVENT]).decode() == head + purchase + tail
    assert write_xml([msgspec.structs.replace(EVENT, quantity=3)]).decode() == head + purchase + quantity + tail


def test_names_match_without_regard_to_case_underscores_and_prefix() -> None:
    document = (
        FROM_THE_FIELD.replace(b"<itempurchased>", b'<s:Item_Purchased xmlns:s="urn:sales">')
        .replace(b"</itempurchased>", b"</s:Item_Purchased>")
        .replace(b"productidentifier", b"Product_Identifier")
    )

    assert read(document) == [EVENT]


def test_one_document_holds_several_messages_of_several_types() -> None:
    document = b"<m><itempurchased>" + FROM_THE_FIELD.partition(b"<itempurchased>")[2].partition(b"</messages>")[0]
    document += b"<notewritten><text>a &lt; b &amp; c</text></notewritten></m>"

    assert read(document) == [EVENT, NoteWritten(text="a < b & c")]


def test_elements_that_the_event_does_not_have_are_skipped() -> None:
    assert read(FROM_THE_FIELD.replace(b"<purchasedate>", b"<colour>red</colour><purchasedate>")) == [EVENT]


@given(some.text(some.characters(exclude_categories=()), max_size=200), some.datetimes(), some.integers(-23, 23))
def test_what_is_written_reads_back(text: str, at: datetime, hours: int) -> None:
    at = at.replace(tzinfo=timezone(timedelta(hours=hours)))
    purchase = msgspec.structs.replace(EVENT, purchased_at=at)
    try:
        document = write_xml([purchase, NoteWritten(text=text)])
    except InvalidEvent:
        return

    assert read(document) == [purchase, NoteWritten(text=text.strip().replace("\r\n", "\n").replace("\r", "\n"))]


BOMB = (
    b"""<!DOCTYPE m [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><m><notewritten><text>&b;</text></notewritten></m>"""
)
EXTERNAL = (
    b"""<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]><m><notewritten><text>&x;</text></notewritten></m>"""
)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (BOMB, "declares a document type"),
        (EXTERNAL, "declares a document type"),
        (b'<!DOCTYPE m SYSTEM "http://127.0.0.1/x.dtd"><m/>', "declares a document type"),
        (b"<m><notewritten><text>&nothing;</text></notewritten></m>", "cannot be read"),
        (b"<m><unknown/></m>", "No event is called 'unknown'; known are itempurchased, notewritten"),
        (b"<m><notewritten/></m>", "missing required field `text`"),
        (b"<m><notewritten><text>a</text><TEXT>b</TEXT></notewritten></m>", "names 'TEXT' twice"),
        (b"<m><notewritten><text><b>a</b></text></notewritten></m>", "stands inside a field"),
        (b"<m><notewritten>", "cannot be read: no element found"),
        (b"\xff\xfe<", "cannot be read"),
        (b"", "cannot be read"),
        (FROM_THE_FIELD.replace(b"2013-01-17", b"yesterday"), "Invalid RFC3339"),
        (b"<m>" + b" " * DOCUMENT_BYTES_MAX + b"</m>", "at most 8,388,608 are read"),
    ],
)
def test_a_document_that_is_not_what_it_claims_is_refused_whole(document: bytes, says: str) -> None:
    with pytest.raises(Undecodable) as refused:
        read(document)
    assert says in str(refused.value)
    assert "Nothing was published" in str(refused.value)


class Size(Enum):
    SMALL = "s"
    LARGE = "large & <wide>"


class Grade(IntEnum):
    GOOD = 1
    BAD = -2


class Everything(Event):
    size: Size
    grade: Grade
    fragile: bool
    weight: Decimal
    ratio: float
    on: date
    took: timedelta
    code: bytes
    count: int
    kind: Literal["a", "b"]
    note: str | None
    others: tuple[int, ...] = ()


WHOLE = some.builds(
    Everything,
    size=some.sampled_from(Size),
    grade=some.sampled_from(Grade),
    fragile=some.booleans(),
    weight=some.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000, places=3),
    ratio=some.floats(allow_nan=False, allow_infinity=False),
    on=some.dates(),
    took=some.timedeltas(min_value=timedelta(0), max_value=timedelta(days=1000)),
    code=some.binary(max_size=20),
    count=some.integers(-(2**63), 2**63 - 1),
    kind=some.sampled_from(["a", "b"]),
    note=some.one_of(some.none(), some.sampled_from(["none", "x"])),
    others=some.sampled_from([(), (1, 2)]),
)


@given(WHOLE)
def test_a_field_of_every_kind_reads_back_or_is_refused(event: Everything) -> None:
    try:
        document = write_xml([event])
    except InvalidEvent:
        assert event.note is None or event.others
        return

    assert read_xml(document, {"everything": Everything}, lambda: MADE) == [event]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"ratio": float("inf")}, "ratio is inf"),
        ({"ratio": float("nan")}, "ratio is nan"),
        ({"weight": Decimal("1E+999")}, "weight is 1E"),
        ({"at": datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=1)))}, "no time in UTC"),
        ({"at": datetime(2024, 1, 1)}, "a time without zone"),
        ({"note": "\ud800"}, "surrogate"),
    ],
    ids=str,
)
def test_a_value_that_would_not_read_back_is_refused_before_it_is_written(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidEvent, match=says):
        write_xml([msgspec.structs.replace(SAMPLE, **changed)])


def test_a_control_character_cannot_travel_as_xml() -> None:
    with pytest.raises(InvalidEvent, match=r"NoteWritten\.text holds a control character"):
        write_xml([NoteWritten(text="\x00")])


# JSON


def in_json(data: bytes, kind: bytes = b"sales.NoteWritten") -> bytes:
    return b'{"type": "' + kind + b'", "data": ' + data + b"}"


def test_json_holds_one_message_or_a_list() -> None:
    one = in_json(b'{"text": "a"}')

    assert read_json(one, TYPES, lambda: MADE) == [NoteWritten(text="a")]
    assert read_json(b"[" + one + b"," + one + b"]", TYPES, lambda: MADE) == [NoteWritten(text="a")] * 2


def test_a_missing_own_key_is_made() -> None:
    fields = b"""{"productIdentifier": "57cbe59c-6881-4e5d-84a5-3264e2252ac2", "purchaseDate": "2013-01-17T13:37:00Z",
                  "customerIdentifier": "2ed3cd8e-b7c2-4557-9442-4f58939c201b"}"""

    assert read_json(in_json(fields, b"sales.ItemPurchased"), TYPES, lambda: MADE) == [EVENT]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"{", "cannot be read"),
        (b'"text"', "cannot be read"),
        (in_json(b'{"text": 5}'), "NoteWritten: Expected `str`, got `int`"),
        (in_json(b"[]"), "cannot be read"),
        (in_json(b"{}", b"sales.Unknown"), "No event is called 'sales.Unknown'"),
        (b"[" * 100_000, "nested deeper than 64"),
        (b" " * (DOCUMENT_BYTES_MAX + 1), "at most 8,388,608 are read"),
    ],
)
def test_json_that_is_not_what_it_claims_is_refused_whole(document: bytes, says: str) -> None:
    with pytest.raises(Undecodable) as refused:
        read_json(document, TYPES, lambda: MADE)
    assert says in str(refused.value)


class PriceSet(Event):
    amount: Decimal | None = None
    weight: float | None = None
    more: Any = None


PRICES: dict[str, type[Event]] = {"sales.PriceSet": PriceSet}
NO_NUMBERS = ["NaN", "nan", "-nan", "sNaN", "Infinity", "-inf", "1E+999999999", "1e400", "9" * 101]


@pytest.mark.parametrize("number", NO_NUMBERS)
@pytest.mark.parametrize("field", ["amount", "weight"])
def test_what_is_no_number_is_refused_in_xml_and_json(number: str, field: str) -> None:
    if field == "weight" and number == "9" * 101:
        return
    documents = [f'{{"type": "sales.PriceSet", "data": {{"{field}": {shape}}}}}' for shape in (number, f'"{number}"')]

    with pytest.raises(Undecodable):
        read_xml(f"<m><priceset><{field}>{number}</{field}></priceset></m>".encode(), PRICES, lambda: MADE)
    for document in documents:
        with pytest.raises(Undecodable):
            read_json(document.encode(), PRICES, lambda: MADE)


@pytest.mark.parametrize(
    "document",
    [
        '{"type": "sales.PriceSet", "data": {"weight": 1, "weight": 2}}',
        '{"type": "sales.PriceSet", "type": "sales.PriceSet", "data": {}}',
        '{"type": "sales.PriceSet", "data": {}, "data": {}}',
        '{"type": "sales.PriceSet", "data": {"more": [{"a": 1, "\\u0061": 2}]}}',
        '[{"type": "sales.PriceSet", "data": {"unknown": {"a": 1, "a": 1}}}]',
    ],
)
def test_a_name_that_comes_twice_is_refused_wherever_it_is(document: str) -> None:
    with pytest.raises(Undecodable, match="twice"):
        read_json(document.encode(), PRICES, lambda: MADE)


@pytest.mark.parametrize("depth", [DEPTH_MAX + 1, 1_000, 100_000, 2_000_000])
@pytest.mark.parametrize("pair", ["[]", "{}"])
def test_a_document_that_is_nested_too_deep_is_refused_whatever_its_depth(depth: int, pair: str) -> None:
    opening = "[" if pair == "[]" else '{"a":'
    inside = f"{opening * depth}1{pair[1] * depth}"
    document = f'{{"type": "sales.PriceSet", "data": {{"more": {inside}}}}}'.encode()

    with pytest.raises(Undecodable):
        read_json(document[:DOCUMENT_BYTES_MAX], PRICES, lambda: MADE)


def test_reading_an_xml_message_compares_no_field_with_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in foldings of names, not in seconds."""
    folded: list[str] = []
    before = codecs._folded  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(codecs, "_folded", lambda name: (folded.append(name), before(name))[1])  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    fields = "".join(f"<x{number}/>" for number in range(FIELDS_MAX - 1))
    read_xml(f"<m><notewritten>{fields}<text>a</text></notewritten></m>".encode(), TYPES, lambda: MADE)

    assert len(folded) < 6 * FIELDS_MAX


def test_a_message_of_more_fields_than_any_event_has_is_refused() -> None:
    fields = "".join(f"<x{number}/>" for number in range(FIELDS_MAX))
    with pytest.raises(Undecodable, match="more than 1,000 fields"):
        read_xml(f"<m><notewritten>{fields}<text>a</text></notewritten></m>".encode(), TYPES, lambda: MADE)


def test_a_foreign_name_is_cut_in_an_error() -> None:
    with pytest.raises(Undecodable) as refused:
        read_xml(f"<m><{'a' * 1_000_000}/></m>".encode(), TYPES, lambda: MADE)

    assert len(str(refused.value)) < 400
