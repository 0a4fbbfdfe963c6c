"""Running one command of `preterite` in this process: its exit code, what it printed, what it said."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from preterite.cli.command_line import main

Run = Callable[..., tuple[int, str, str]]


def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """What runs a command, given as words."""

    def run(*words: str) -> tuple[int, str, str]:
        try:
            code = main(words)
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        out, err = capsys.readouterr()
        return code, out, err

    return run
