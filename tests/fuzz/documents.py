"""Messages, valid ones that are changed and nonsense: what is written reads back, reading raises only our errors."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from random import Random
from typing import Any, Literal
from uuid import UUID

import msgspec

from fuzz.judging import Case
from fuzz.values import NUMBERS, changed, text
from preterite import Component, Event, System, codecs
from preterite import envelope as envelopes
from preterite.contracts import EVENT_BYTES_MAX, Checked
from preterite.envelope import Envelope
from preterite.errors import InvalidEvent, Undecodable
from preterite.handling.delivery import decode
from preterite.log.contract import Record, Stream

MADE = UUID(int=42)


class Size(Enum):
    """A choice by texts."""

    SMALL = "s"
    LARGE = "large & <wide>"


class Grade(IntEnum):
    """A choice by numbers."""

    GOOD = 1
    BAD = -2


class EverythingHappened(Event, key="key"):
    """A field of every kind."""

    key: str
    size: Size
    at: datetime
    on: date
    took: timedelta
    weight: Decimal
    ratio: float
    count: int
    code: bytes
    grade: Grade
    fragile: bool
    kind: Literal["a", "b"]
    note: str | None = None
    others: tuple[int, ...] = ()
    more: Any = None


writer = Component("writer", publishes=[EverythingHappened])
reader = Component("reader")


@reader.handles(EverythingHappened)
def take(event: EverythingHappened) -> None:
    """Take it."""


TYPES: dict[str, type[Event]] = {"writer.EverythingHappened": EverythingHappened}


def event(chance: Random) -> EverythingHappened:
    """A valid event, or one that cannot be written; with odd values in either case."""
    zone = timezone(timedelta(minutes=chance.randrange(-1_439, 1_440)))
    return EverythingHappened(
        key=text(chance),
        size=chance.choice(list(Size)),
        at=datetime(chance.choice((1, 1970, 2024, 9999)), 12, 31, 23, 59, 59, 999_999, chance.choice((UTC, zone))),
        on=date(chance.choice((1, 9999)), 2, 28),
        took=timedelta(microseconds=chance.randrange(10 ** chance.randrange(1, 18))),
        weight=Decimal(chance.randrange(10**20)).scaleb(chance.randrange(-120, 120)),
        ratio=chance.choice((float(chance.choice(NUMBERS)), chance.random(), float("inf"))),
        count=chance.choice(NUMBERS[:8]),  # pyright: ignore[reportArgumentType] - the first are whole
        code=chance.randbytes(chance.randrange(20)),
        grade=chance.choice(list(Grade)),
        fragile=chance.random() < 0.5,
        kind=chance.choice(("a", "b")),
        note=chance.choice((None, text(chance))),
        others=chance.choice(((), (1, 2))),
        more=chance.choice((None, text(chance), _nested(chance.choice((3, 64, 65, 2_000))))),
    )


@contextmanager
def ready() -> Generator[Case]:
    """What tries one document in every codec."""
    subscriptions = System("fuzzed", [writer, reader]).verify().subscriptions["reader"]
    checked = Checked(EverythingHappened)

    def tried(chance: Random) -> list[str]:
        given = event(chance)
        found: list[str] = []
        plain = msgspec.structs.replace(given, more=None, others=())
        xml = _written(lambda: codecs.write_xml([plain]))
        if xml is not None:
            found += _reads_back(codecs.read_xml, xml, plain)
            found += _only_ours(codecs.read_xml, changed(xml, chance))
        body = _written(lambda: checked.encode(given))
        if body is None:
            body = msgspec.json.encode(SAMPLE)
        else:
            found += [] if checked.decode(body) == given else ["an event does not read back from JSON"]
            found += _reads_back(codecs.read_json, _message(body), given)
        found += _only_ours(codecs.read_json, changed(_message(body), chance))
        found += _only_ours(chance.choice((codecs.read_json, codecs.read_xml)), changed(b"", chance))
        found += _envelopes(body, chance, subscriptions)
        return found

    yield tried


def _envelopes(body: bytes, chance: Random, subscriptions: Any) -> list[str]:
    """An envelope reads back; whatever bytes a record has, opening it returns."""
    whole = Envelope(
        id=MADE,
        source="writer",
        type=chance.choice(("writer.EverythingHappened", text(chance).encode(errors="replace").decode())),
        time=datetime(2024, 1, 1, tzinfo=UTC),
        data=msgspec.Raw(body),
        version=chance.choice((1, 2, 2**40)),
        subject=chance.choice((None, "key")),
    )
    written = envelopes.to_bytes(whole)
    found = [] if envelopes.to_bytes(envelopes.from_bytes(written)) == written else ["an envelope does not read back"]
    stream = Stream(chance.choice(("writer", "reader")), 0)
    for document in (written, changed(written, chance)):
        for kind in ("event", "command", "void"):
            delivery = decode(subscriptions, Record(stream, kind, 1, 1, MADE.bytes, document[:EVENT_BYTES_MAX]))
            if delivery.fault is not None:
                (delivery.fault.text + delivery.fault.error).encode()
                found += [f"a failure holds NUL: {delivery.fault.text!r:.100}"] if "\0" in delivery.fault.text else []
    return found


def _written(write: Any) -> bytes | None:
    try:
        return write()
    except InvalidEvent:
        return None


def _reads_back(read: Any, document: bytes, given: EverythingHappened) -> list[str]:
    expected = [given]
    if read is codecs.read_xml:
        # XML knows one end of a line, and fields are read without the space around them.
        texts = {name: _as_in_xml(value) for name in ("key", "note") if isinstance(value := getattr(given, name), str)}
        expected = [msgspec.structs.replace(given, **texts)]
    return [] if read(document, TYPES, lambda: MADE) == expected else [f"{read.__name__}: {document!r:.200} is another"]


def _as_in_xml(value: str) -> str:
    return value.replace("\r\n", "\n").replace("\r", "\n").strip()


def _only_ours(read: Any, document: bytes) -> list[str]:
    """Whatever is read raises an error of ours that can be printed, or gives events that can be written."""
    try:
        events = read(document, TYPES, lambda: MADE)
    except Undecodable as error:
        return [] if len(str(error)) < 2_000 else [f"an error of {len(str(error)):,} characters"]
    checked = Checked(EverythingHappened)
    for one in events:
        _written(lambda one=one: checked.encode(one))
        _written(lambda one=one: checked.key_of(one))
    return []


def _message(body: bytes) -> bytes:
    return b'{"type": "writer.EverythingHappened", "data": ' + body + b"}"


def _nested(depth: int) -> Any:
    found: Any = 1
    for _ in range(depth):
        found = [found]
    return found


SAMPLE = EverythingHappened(
    key="k",
    size=Size.SMALL,
    at=datetime(2024, 1, 1, tzinfo=UTC),
    on=date(2024, 1, 1),
    took=timedelta(seconds=1),
    weight=Decimal("1.5"),
    ratio=0.5,
    count=1,
    code=b"x",
    grade=Grade.GOOD,
    fragile=True,
    kind="a",
)
