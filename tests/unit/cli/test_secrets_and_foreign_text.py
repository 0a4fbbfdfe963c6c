"""Whatever a command prints: text of others commands no terminal and forges no line, and no URL shows its password."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fuzz.hostile_shop import NoteTaken, alpha, system
from support.canary_urls import CANARY, SHAPES
from support.command_line import Run

SQL = "'; drop table n; --\" %s ? :x"
HOSTILE = "\x1b]0;PWNED\x07\x1b[2J\x1b[31mred\x9b31m\u202eevil\r\nFORGED line\x7f\u2028FORGED too\x08z" + SQL
APP = "fuzz.hostile_shop:system"
COMMANDS = [
    "status",
    "status --workers",
    "describe --observed",
    "describe --format asyncapi",
    "describe --format html --observed",
    "dead-letters list",
    "dead-letters groups",
    "dead-letters show beta/1",
    "dead-letters show beta/2",
    "dead-letters audit",
    "dead-letters plan --oldest 5 --component beta",
    "dead-letters discard beta/2 --reason HOSTILE",
    "dead-letters audit",
    "replay plan --to beta.take",
    "replay rehearse --to beta.take",
    "recover plan",
    "owner HOSTILE",
    "dead-letters show HOSTILE",
    "publish alpha DOCUMENT",
    "check",
    "HOSTILE",
]


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ALPHA", "BETA", "LOG"):
        monkeypatch.setenv(f"PRETERITE_{name}_URL", f"sqlite:///{tmp_path}/{name.lower()}.sqlite")
    urls = {name: f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("alpha", "beta")}
    with system.open(databases=urls, log=f"sqlite:///{tmp_path}/log.sqlite", create_tables=True) as opened:
        for who in (f"k{HOSTILE}", "ok"):
            with opened.connection(alpha) as connection, alpha.unit_of_work(connection) as unit:
                unit.publish(NoteTaken(who=who, text=HOSTILE, at=datetime.now(UTC)))
        opened.settle(failures="park")
    (tmp_path / "document.json").write_text(f'{{"type": "{HOSTILE!s}", "data": {{}}}}', encoding="utf-8")
    return tmp_path


def test_no_command_prints_what_commands_a_terminal_or_forges_a_line(run: Run, hostile: Path) -> None:
    wrong: list[str] = []
    for command in COMMANDS:
        words = [
            word.replace("HOSTILE", HOSTILE).replace("DOCUMENT", str(hostile / "document.json"))
            for word in command.split()
        ]
        app = [] if words[0] == HOSTILE else ["-A", APP]
        _, out, err = run(*words, *app)
        printed = (out + err).replace("\n", "")
        wrong += [f"{command}: {c!r}" for c in printed if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs")]
        wrong += [f"{command}: {line}" for line in (out + err).splitlines() if re.match(r"\s*FORGED", line)]
        assert out + err, f"{command} printed nothing"

    assert wrong == []


def test_no_text_of_others_becomes_a_part_of_a_statement(run: Run, hostile: Path) -> None:
    for command in COMMANDS:
        words = [
            word.replace("HOSTILE", HOSTILE).replace("DOCUMENT", str(hostile / "document.json"))
            for word in command.split()
        ]
        run(*words, *([] if words[0] == HOSTILE else ["-A", APP]))
    connection = sqlite3.connect(hostile / "beta.sqlite")
    kept = connection.execute("select key, state from preterite_parked where key like 'k%'").fetchall()
    reasons = connection.execute("select reason from preterite_audit").fetchall()
    connection.close()

    assert kept == [(f"k{HOSTILE}", "dead")]
    assert reasons == [(HOSTILE,)]


@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_an_error_that_nothing_has_caught_is_printed_in_the_same_way(
    run: Run, monkeypatch: pytest.MonkeyPatch, debug: list[str]
) -> None:
    def breaks(*_arguments: object) -> None:
        raise RuntimeError(f"{HOSTILE}\nFORGED postgresql://u:{CANARY}@127.0.0.1/db")

    monkeypatch.setattr("preterite.cli.status.find", breaks)
    code, out, err = run(*debug, "status", "-A", APP)

    assert (code, out) == (1, "")
    assert "RuntimeError" in err
    assert CANARY not in err
    assert [c for c in err.replace("\n", "") if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs")] == []
    assert [line for line in err.splitlines() if re.match(r"\s*FORGED", line)] == []


URL_COMMANDS = [
    "status -A APP",
    "status --json -A APP",
    "describe -A APP",
    "describe --json -A APP",
    "describe --observed -A APP",
    "--debug status -A APP",
    "dead-letters list -A APP",
    "migrate status -A APP",
    "migrate up -A APP",
    "publish alpha /dev/null -A APP",
    "recover plan -A APP",
    "clock show -A APP",
    "replay plan --to beta.take -A APP",
    "run -A APP",
    "run --create-tables -A APP",
    "check -A APP",
    "check --rights -A APP",
    "provision --admin URL -A APP",
    "--debug provision --admin URL -A APP",
    "provision URL -A APP",
    "status URL -A APP",
    "status -A URL",
    "URL",
    "-C URL status",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_command_prints_the_password_of_any_shape_of_url(
    run: Run, shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = SHAPES[shape]
    monkeypatch.chdir(tmp_path)
    for name in ("ALPHA", "BETA", "LOG"):
        monkeypatch.setenv(f"PRETERITE_{name}_URL", url)
    monkeypatch.setenv("PRETERITE_ALPHA_OWNER_URL", url)
    wrong: list[str] = []
    for command in URL_COMMANDS:
        words = [word.replace("APP", APP).replace("URL", url) for word in command.split()]
        code, out, err = run(*words)
        printed = out + err + caplog.text
        wrong += [f"{command}: {line}" for line in printed.splitlines() if CANARY in line]
        assert "Traceback" not in printed or "--debug" in words, f"{command}: {printed}"
        assert code != 0 or command.startswith("describe") or "check" in command

    assert wrong == []
