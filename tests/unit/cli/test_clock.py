"""`preterite clock`: a demo's business clock, moved manually, for every process of the system."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.command_line import Run, runner

MODULE = """
from preterite import Command, Component, System
finance = Component("finance")
system = System("clocked", [finance], demo=True)
plain = System("plain", [finance])
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    (tmp_path / "clocked_shop.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "clocked_shop", raising=False)

    command = runner(capsys)

    def clock(app: str, *words: str) -> tuple[int, str, str]:
        return command("-A", app, "clock", *words)

    return clock


def start() -> None:
    from clocked_shop import system  # pyright: ignore[reportMissingImports, reportUnknownVariableType]

    system.open(create_tables=True).close()  # pyright: ignore[reportUnknownMemberType]


def test_it_is_frozen_moved_and_let_go_on(run: Run) -> None:
    run("clocked_shop:system", "show")
    start()
    frozen = run("clocked_shop:system", "freeze")
    moved = run("clocked_shop:system", "to", "2113-04-01")
    advanced = run("clocked_shop:system", "advance", "1d", "2h", "30m", "10s")
    shown = run("clocked_shop:system", "show")
    going_on = run("clocked_shop:system", "run")

    assert frozen[0] == 0
    assert "frozen" in frozen[1]
    assert moved[:2] == (0, "2113-04-01T00:00:00+00:00 (frozen)\n")
    assert advanced[:2] == shown[:2] == (0, "2113-04-02T02:30:10+00:00 (frozen)\n")
    assert going_on[1].startswith("2113-04-02T02:30:1")
    assert "running" in going_on[1]


def test_what_does_not_fit_is_one_sentence_and_exit_code_2(run: Run) -> None:
    never = run("clocked_shop:system", "show")
    start()
    run("clocked_shop:system", "freeze")
    refusals = [
        run("clocked_shop:plain", "show"),
        run("clocked_shop:system", "jump"),
        run("clocked_shop:system", "advance", "soon"),
        run("clocked_shop:system", "to", "yesterday"),
    ]
    back = run("clocked_shop:system", "to", "2001-01-01")
    beyond = [run("clocked_shop:system", "advance", *["999999999d"] * times) for times in (1, 2)]

    assert never[0] == 2
    assert "was never started" in never[2]
    assert [code for code, _, _ in refusals] == [2, 2, 2, 2]
    assert "is not a demo, so its clock is the system clock" in refusals[0][2]
    assert "invalid choice: 'jump' (choose from" in refusals[1][2]
    assert "'soon' is not a time" in refusals[2][2]
    assert "'yesterday' is not an instant" in refusals[3][2]
    assert back[0] == 1
    assert "cannot go back" in back[2]
    assert [code for code, _, _ in beyond] == [1, 1]
    assert all("later is beyond the year 9999" in err for _, _, err in beyond)
    assert "10s; see" in refusals[2][2], "one sentence, with one end"
    assert all(len(err.splitlines()) == 1 for _, _, err in [*refusals, never, back, *beyond])
