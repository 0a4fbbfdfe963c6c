"""Foreign text on a terminal and in a log: whatever it holds, it is text."""

from __future__ import annotations

import io
import json
import logging
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preterite.printing.logger import logger
from preterite.printing.text import CHARACTERS_MAX, PrintableStream, clause, printable

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.characters(categories=["Cc", "Cf", "Cs", "Co", "Zl", "Zp"]),
        st.sampled_from("\x1b\x9b\x07\r\n\t\x08\x7f\x00\u202e\u2066\u2028\ud800\U000e0041"),
    )
)
FORBIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@settings(max_examples=500)
@given(HOSTILE)
def test_nothing_that_commands_a_terminal_or_ends_a_line_is_left(text: str) -> None:
    shown = printable(text)

    assert not {unicodedata.category(character) for character in shown} & FORBIDDEN
    assert len(shown.splitlines()) <= 1


@settings(max_examples=500)
@given(HOSTILE)
def test_a_stream_lets_through_printed_characters_and_line_feeds_in_any_encoding(text: str) -> None:
    for encoding in ("utf-8", "ascii", "latin-1"):
        written = io.BytesIO()
        stream = io.TextIOWrapper(written, encoding, newline="")
        PrintableStream(stream).write(text)
        stream.flush()
        shown = written.getvalue().decode(encoding)
        assert not {unicodedata.category(character) for character in shown if character != "\n"} & FORBIDDEN


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_a_document_of_json_remains_the_same_document(content: object) -> None:
    document = json.dumps(content, indent=1, ensure_ascii=False)

    assert json.loads(printable(document, lines=True)) == json.loads(document)


def test_a_long_text_is_cut_and_the_rest_is_counted() -> None:
    assert printable("a" * 10, limit=4) == "aaaa… (6 more characters)"


@pytest.mark.parametrize(
    "said", ["no such file", "no such file.", "no such file. ", "no such file\n", "no such file..."]
)
def test_what_an_error_says_ends_as_the_sentence_does_that_it_stands_in(said: str) -> None:
    assert f"It cannot be opened: {clause(OSError(said))}. Nothing was written." == (
        "It cannot be opened: no such file. Nothing was written."
    )


@given(HOSTILE, HOSTILE)
def test_a_log_message_is_one_line_and_a_traceback_is_behind_a_mark(key: str, raised: str) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("LINE %(message)s"))
    logging.getLogger("preterite.hostile").addHandler(handler)
    try:
        try:
            raise ValueError(raised)
        except ValueError as error:
            logger("preterite.hostile").error("%s failed: %s", key, error, exc_info=True)
    finally:
        logging.getLogger("preterite.hostile").removeHandler(handler)
    first, *rest = written.getvalue().removesuffix("\n").split("\n")

    assert first.startswith("LINE ")
    assert all(line.startswith("  | ") for line in rest)
    assert not {unicodedata.category(character) for character in "".join([first, *rest])} & FORBIDDEN


def test_a_log_message_names_the_place_that_logged_it_and_keeps_its_template(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger().warning("%s waits for %s", "a" * (CHARACTERS_MAX + 1), 7)

    record = caplog.records[0]
    assert (record.filename, record.msg, record.args[1]) == ("test_text.py", "%s waits for %s", 7)  # pyright: ignore[reportOptionalSubscript, reportArgumentType]
    assert record.getMessage().endswith("… (1 more characters) waits for 7")
