"""Numbers and times of a command line are what every database can hold, or are refused in a sentence."""

from __future__ import annotations

import argparse
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fuzz import hostile_shop
from fuzz.command_lines import APP, arguments_of, commands
from fuzz.judging import wrong_in
from hypothesis import given
from hypothesis import strategies as some
from support.command_line import Run

from preterite.cli.exit_codes import EXIT_CODES
from preterite.cli.words import NUMBER_DIGITS_MAX, instant, number_from, whole_number

NUMBERED = ("N", "N/s", "SEED", "TIME", "INSTANT", "start|TIME|NUMBER", "DEAD_LETTER", "REPLAY")
FORMS = {"DEAD_LETTER": "beta/{}", "REPLAY": "beta/{}", "TIME": "{}s", "N/s": "{}/s"}
ODD = ("²", "٣", "9" * 30, "9" * 5_000, "-1", "1_0", "1e5", "+1", " 1", "", "0x1", "9999-12-31T23:59-23:59", "nan")


@given(some.one_of(some.text(max_size=20), some.from_regex(r"\A\d+\Z"), some.integers().map(str)))
def test_a_word_is_a_number_only_if_it_is_written_in_ascii_digits_and_fits_a_column(word: str) -> None:
    found = whole_number(word)

    assert (found is not None) == (word.isascii() and word.isdigit() and len(word) <= NUMBER_DIGITS_MAX)
    assert found is None or 0 <= found < 2**63


@given(some.one_of(some.text(max_size=20), some.datetimes(timezones=some.timezones()).map(datetime.isoformat)))
def test_a_time_is_one_in_utc_or_none(word: str) -> None:
    found = instant(word)

    assert found is None or found.tzinfo is UTC


def test_a_number_outside_of_its_bounds_is_refused() -> None:
    assert [number_from(1, 64)(word) for word in ("1", "64")] == [1, 64]
    for word in ("0", "65", "²", ""):
        with pytest.raises(ArgumentTypeError, match="not a number from 1 to 64"):
            number_from(1, 64)(word)


def test_no_number_or_time_on_a_command_line_ends_in_a_traceback(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("alpha", "beta", "log"):
        monkeypatch.setenv(f"PRETERITE_{name.upper()}_URL", f"sqlite:///{tmp_path}/{name}.sqlite")
    hostile_shop.fill(tmp_path, texts=["x"])
    wrong: list[str] = []
    tried = 0
    for names, parser in commands():
        for action in arguments_of(parser):
            metavar = str(action.metavar)
            for odd in (ODD[0], ODD[2], ODD[-2]) if metavar in NUMBERED else ():
                tried += 1
                words = [*names, *_required(parser, action.dest), FORMS.get(metavar, "{}").format(odd)]
                words = [*words[:-1], f"{action.option_strings[-1]}={words[-1]}"] if action.option_strings else words
                code, out, err = run(*words, "-A", APP)
                wrong += [f"{words}: {one}" for one in wrong_in(out + err)]
                wrong += [] if code in EXIT_CODES else [f"{words}: {code}"]

    assert wrong == []
    assert tried > 60


def _required(parser: argparse.ArgumentParser, but: str) -> list[str]:
    """Something for whatever else is required."""
    fitting = {"to": "--to=beta.take", "reason": "--reason=x", "use": "--use=x:y", "changes": "text=x", "text": "x"}
    fitting |= {
        "dead_letter": "beta/1",
        "dead_letters": "beta/1",
        "replay": "beta/1",
        "component": "beta",
        "group": "g",
    }
    fitting |= {"instant": "2011-04-01", "times": "1d"}
    needed = [one for one in arguments_of(parser) if one.required and one.dest != but]
    return [fitting[one.dest] for one in needed]
