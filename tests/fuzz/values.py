"""Texts, bytes, numbers and documents that break what is careless, drawn by a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

MARK = "<script>mark</script>"
"""Written into texts; it stands in no page as it is."""
TEXTS = (
    "",
    " ",
    "0",
    "-1",
    "1",
    "²",
    "٣",
    "9" * 30,
    "9" * 5_000,
    "1e400",
    "1E+999999999",
    "0.01E+99999999999999999999",
    "NaN",
    "-Infinity",
    "true",
    "null",
    "9999-12-31",
    "9999-12-31T23:59:59.999999+00:00",
    "0001-01-01T00:00:00+23:59",
    "2011-10-30T01:30:00",
    "0" * 32,
    "00000000-0000-0000-0000-000000000000",
    "\x00",
    "a\x00b",
    "\x1b]0;title\x07\x1b[2J\x9b31m",
    "\r\nSet-Cookie: forged=1\r\n\r\n",
    "\u202e\u2028\u2029\u200b",
    "\ud800",
    "\U0001f4a9",
    "İı",
    "%",
    "%00",
    "%ff%fe",
    "%s%n{0}{id}${jndi:x}",
    "'; drop table n; --",
    '"',
    "..",
    "../../../../x",
    "//elsewhere.example/",
    "\\elsewhere.example",
    "/",
    ".",
    "-",
    "--",
    "-x",
    "=",
    ":",
    "a:b",
    "a.b:c.d",
    "alpha/1",
    "beta/²",
    "beta/99999999999999999999",
    "beta/-1",
    MARK,
    "javascript:alert(1)",
    "a" * 5_000,
    "[" * 3_000,
    "&lt;&#0;&#x110000;",
)
NUMBERS = (0, 1, -1, 2**31, 2**63 - 1, -(2**63), 2**63, 10**30, 0.1, -0.0, 1e308)
PIECES = (
    b"",
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"[" * 2_000,
    b'{"a":' * 2_000,
    b"]" * 50,
    b"}",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"9" * 400,
    b"-0",
    b"1e999",
    b"NaN",
    b"<!DOCTYPE m [<!ENTITY a 'ha'>]>",
    b"<!DOCTYPE m SYSTEM 'http://127.0.0.1:1/x.dtd'>",
    b"&a;",
    b"&#0;",
    b"&#55296;",
    b"<![CDATA[",
    b"]]>",
    b"<?pi ?>",
    b"<a xmlns:x='y' x:b='c'/>",
    b'<?xml version="1.0" encoding="utf-7"?>',
    b'<?xml version="1.0" encoding="utf-16"?>',
    b"<" + b"a" * 3_000 + b"/>",
    b"<a>" * 2_000,
    b"9999-12-31T23:59:59.999999-23:59",
    b"0001-01-01T00:00:00+23:59",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"\r\n\r\n",
    b"\x1b[31m",
    b"= [[",
)


def text(chance: Random) -> str:
    """A text of the list, two of them, or random characters."""
    kind = chance.random()
    if kind < 0.7:
        return chance.choice(TEXTS)
    if kind < 0.8:
        return chance.choice(TEXTS) + chance.choice(TEXTS)
    return "".join(
        chr(chance.choice((chance.randrange(128), chance.randrange(0x3000)))) for _ in range(chance.randrange(12))
    )


def changed(document: bytes, chance: Random, pieces: Sequence[bytes] = PIECES) -> bytes:
    """A document with a few changes: pieces put in, parts taken out, doubled or moved, bits turned; or no document."""
    if chance.random() < 0.05:
        return chance.randbytes(chance.randrange(200))
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        place, end = sorted((chance.randrange(len(document) + 1), chance.randrange(len(document) + 1)))
        end = min(end, place + chance.choice((1, 4, 40, 4_000)))
        part = document[place:end]
        document = chance.choice(_CHANGES)(document[:place], part, document[end:], chance.choice(pieces))
    return document


_CHANGES: tuple[Callable[[bytes, bytes, bytes, bytes], bytes], ...] = (
    lambda before, part, after, piece: before + piece + part + after,
    lambda before, part, after, piece: before + piece + after,
    lambda before, part, after, _piece: before + part * 2 + after,
    lambda before, _part, after, _piece: before + after,
    lambda before, part, after, _piece: before + bytes(255 - one for one in part[:1]) + part[1:] + after,
    lambda before, part, after, _piece: after + part + before,
    lambda before, part, _after, _piece: before + part,
)
