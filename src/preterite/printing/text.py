"""Foreign text made printable: what comes from events, keys, exceptions and other systems, on terminals and in logs.

A control character in such text could forge a line, hide one, or command the terminal. Here it becomes its escape.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TextIO

CHARACTERS_MAX = 2_000
"""Characters of one foreign text in a log message or a table; the rest is counted."""
_ENDS_LINE = "\n"
_ENDS_SENTENCE = ". \t\r\n"
_SPACES = re.compile(r"[^\S\x00-\x1f\x7f\x85\u2028\u2029]")


def printable(text: str, *, lines: bool = False, limit: int | None = None) -> str:
    r"""The text with every character escaped that is not printed: controls, escapes, marks of direction, surrogates.

    A line feed is escaped, too (`\n`), unless `lines` keeps it; beyond `limit` characters the rest is only counted.
    """
    cut = ""
    if limit is not None and len(text) > limit:
        cut, text = f"… ({len(text) - limit:,} more characters)", text[:limit]
    if not text.isprintable():
        text = "".join(character if _is_printed(character, lines) else _escaped(character) for character in text)
    return text + cut


def clause(said: object) -> str:
    """What an error or another program says, as a part of a sentence of one's own: without a period at its end."""
    return str(said).rstrip(_ENDS_SENTENCE)


def _is_printed(character: str, lines: bool) -> bool:
    return character.isprintable() or (lines and character == _ENDS_LINE) or bool(_SPACES.match(character))


def _escaped(character: str) -> str:
    """As in JSON, so that an escaped document of JSON is still the same document."""
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if named is not None:
        return named
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))


class PrintableStream(io.TextIOBase):
    """A stream that writes to another one, and lets through only what is printed, and line feeds.

    `net` changes each text before that. Characters that the other stream cannot encode are escaped.
    """

    def __init__(self, stream: TextIO, net: Callable[[str], str] = str) -> None:
        self._stream = stream
        self._net = net
        self._encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write the text, made printable; returns the length of the text as it was given."""
        shown = printable(self._net(text), lines=True)
        self._stream.write(shown.encode(self._encoding, "backslashreplace").decode(self._encoding))
        return len(text)

    def writable(self) -> bool:
        """It is."""
        return True

    def flush(self) -> None:
        """Flush the other stream, unless it is closed: Python flushes this one when it drops it."""
        if not self._stream.closed:
            self._stream.flush()

    def fileno(self) -> int:
        """The descriptor of the other stream."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether the other stream is a terminal."""
        return self._stream.isatty()
