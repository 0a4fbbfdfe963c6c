"""Output: lines, aligned tables, JSON documents, ages. Everything that a command prints goes through here.

What comes from events, exceptions and other systems cannot command the terminal or forge a line, and no URL is printed
with its password.
"""

from __future__ import annotations

import json
import shutil
import sys
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from preterite.errors import PreteriteError, SystemRefused
from preterite.printing.text import PrintableStream, printable
from preterite.printing.urls import without_secrets


def print_line(text: str = "", *, error: bool = False) -> None:
    """Print one line; a line feed in it is escaped. `error` prints it to stderr."""
    print_block(printable(text), error=error)


def print_block(text: str, *, error: bool = False) -> None:
    """Print lines that were made printable one by one: a table, a document, an indented traceback."""
    print(text, file=sys.stderr if error else sys.stdout)


def refusal(error: PreteriteError) -> None:
    """Print why a command was refused: in one line, or in one for each fault of a declaration."""
    if isinstance(error, SystemRefused):
        print_line(f"preterite: System {error.system!r} cannot start, nothing was opened:", error=True)
        for fault in error.faults:
            print_line(f"  - {fault}", error=True)
        return
    print_line(f"preterite: {error}", error=True)


@contextmanager
def printable_output() -> Generator[None]:
    """Let nothing through to stdout and stderr but printed characters and line feeds, and no secrets of URLs.

    An exception that nothing has caught ends the process here with its traceback: Python would print it as it is.
    """
    with (
        redirect_stdout(PrintableStream(sys.stdout, without_secrets)),
        redirect_stderr(PrintableStream(sys.stderr, without_secrets)),
    ):
        try:
            yield
        except Exception:
            print_line("preterite: an unexpected error:", error=True)
            print_block(indented(traceback.format_exc()), error=True)
            raise SystemExit(1) from None


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> str:
    """Rows under a header, in columns as wide as their widest cell; those in `right` are numbers."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else printable(str(cell)) for cell in row] for row in rows]
    texts = [list(header), *cells]
    widths = [max(len(row[column]) for row in texts) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in texts
    ]
    return "\n".join(lines)


def table_or_blocks(header: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> str:
    """A table; on a terminal that is too narrow for it, a block for each row, with a line for each column.

    The first column is the block's title. Where the width is not known, as in a pipe, nothing is too narrow.
    """
    wide = table(header, rows, right=right)
    width = shutil.get_terminal_size((0, 0)).columns
    if width == 0 or max(map(len, wide.split("\n"))) <= width:
        return wide
    return "\n".join(_block(header, row) for row in rows)


def _block(header: Sequence[str], row: Sequence[object]) -> str:
    title, *cells = row
    lines = table(["", ""], list(zip(header[1:], cells, strict=True)), right=(1,)).split("\n")[1:]
    return "\n".join([printable(str(title)), *(f"  {line}" for line in lines)])


def indented(text: str) -> str:
    """Foreign text of several lines, each behind a mark, so that none can pass for a line of the command's own."""
    return "\n".join(f"  | {one}" for one in printable(text.rstrip(), lines=True).split("\n"))


def document(content: Any) -> str:
    """One JSON document."""
    return json.dumps(content, indent=2, default=str)


def ago(seconds: float) -> str:
    """How long ago, in one short word."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def number_of(count: int, singular: str, plural: str | None = None) -> str:
    """A count with its noun in the right number: `1 event`, `2 events`."""
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"
