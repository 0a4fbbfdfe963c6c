"""Whatever files stand in a package, the check reads what can be read, and reports the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMPONENT = "from preterite import Component\n{0} = Component('{0}')\n"
SYSTEM = "from preterite import System\nfrom trade.sales import sales\nfrom trade.finance import finance\n"
IMPORTS = "trade/finance/reading.py:1: error[imports-internals]"


@pytest.fixture
def trade(tmp_path: Path) -> Path:
    for name in ("sales", "finance"):
        (tmp_path / "trade" / name).mkdir(parents=True)
        (tmp_path / "trade" / name / "__init__.py").write_text(COMPONENT.format(name))
    (tmp_path / "trade" / "__init__.py").write_text("")
    (tmp_path / "trade" / "sales" / "model.py").write_text("x = 1\n")
    (tmp_path / "trade" / "finance" / "reading.py").write_text("import trade.sales.model\n")
    (tmp_path / "system.py").write_text(f"{SYSTEM}system = System('trade', [sales, finance])\n")
    return tmp_path


def findings(folder: Path) -> list[str]:
    """What `preterite check` prints, without what is not a finding."""
    command = [sys.executable, "-m", "preterite", "check", "-A", "system:system", "--format", "concise"]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


def test_a_module_in_any_encoding_and_what_is_no_file_are_read_or_passed_by(trade: Path) -> None:
    sales = trade / "trade" / "sales"
    (sales / "marked.py").write_bytes(b"\xef\xbb\xbfx = 1\n")
    (sales / "latin.py").write_bytes(b'# -*- coding: latin-1 -*-\nx = "\xe9"\n')
    (sales / "folder.py").mkdir()
    (sales / ".#locked.py").symlink_to("nobody@nowhere")
    (sales / "loop").symlink_to(".")

    (found,) = findings(trade)
    assert found.startswith(IMPORTS)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"print 'purchase'\n", "Missing parentheses in call to 'print'"),
        (b"from {{ project_name }} import x\n", "invalid syntax"),
        (b'x = "\xe9"\n', "utf-8"),
        (b"x = " + b"+".join([b"1"] * 5_000), "recursion"),
        (b"x = 1\0\n", "null bytes"),
    ],
)
def test_a_module_of_a_component_that_cannot_be_parsed_is_a_finding(trade: Path, content: bytes, reason: str) -> None:
    (trade / "trade" / "sales" / "templates").mkdir()
    (trade / "trade" / "sales" / "templates" / "odd.py").write_bytes(content)

    imports, unread = sorted(findings(trade))
    assert imports.startswith(IMPORTS)
    assert "error[module-not-understood] trade.sales.templates.odd of sales cannot be parsed: " in unread
    assert reason.casefold() in unread.casefold()


def test_a_module_of_no_component_that_nothing_can_import_is_no_finding(trade: Path) -> None:
    (trade / "trade" / "templates").mkdir()
    (trade / "trade" / "templates" / "odd.py").write_text("print 'purchase'\n")

    (found,) = findings(trade)
    assert found.startswith(IMPORTS)


def test_where_a_module_of_a_package_cannot_be_parsed_the_imports_are_said_to_be_unchecked(trade: Path) -> None:
    (trade / "trade" / "shared.py").write_text("x = 1\nprint 'purchase'\n")

    (found,) = findings(trade)
    assert found.startswith("trade/shared.py:2: error[module-not-understood] The imports of no module are checked")
