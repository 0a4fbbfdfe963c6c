"""The page about PostgreSQL as far as one machine can follow it: databases, roles, tables are made, and workers start.

The shop's components stand in a system of another name, so that no database of a demo is touched.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from support import postgres
from support.documents import agree
from support.processes import PATIENCE_SECONDS

from preterite.operations import provisioning
from retail.system import system as retail

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-postgresql.md"
BLOCK = re.compile(r"```\n(\$ .*?)```", re.DOTALL)
RUN = "preterite run --create-tables"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[str]:
    """The name of a system with the shop's components; its databases and roles are removed at the end."""
    postgres.require()
    name = f"test{uuid4().hex[:8]}"
    (tmp_path / "app.py").write_text(
        "from preterite import System\nfrom retail.system import system as retail\n"
        f"system = System({name!r}, retail.components, demo=True)\n"
    )
    (tmp_path / "pyproject.toml").write_text('[tool.preterite]\napp = "app:system"\n')
    yield name
    places = provisioning.premises_of(name, [component.name for component in retail.components])
    with psycopg.connect(postgres.ADMIN_URL, autocommit=True) as admin:
        for place in places:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(place.database)))
        for role in (role for place in places for role in (place.owner, place.runner)):
            admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of the page up to the chapter about many hosts, with the lines that it is said to print."""
    page = PAGE.read_text(encoding="utf-8").partition("## Run it on many hosts")[0]
    for block in BLOCK.findall(page):
        for part in block.removeprefix("$ ").split("\n$ "):
            command, *lines = part.rstrip("\n").split("\n")
            yield re.split(r"   +", command)[0], lines


@pytest.mark.slow("PostgreSQL")
def test_the_page_makes_databases_roles_and_tables_and_the_shop_runs(shop: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PRETERITE_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    settings: list[str] = []
    ran: list[str] = []
    for command, lines in commands():
        typed = command.replace("retail.system:system", "app:system").replace(".preterite/retail", f".preterite/{shop}")
        typed = typed.replace("postgresql://postgres@db.internal/postgres", postgres.ADMIN_URL)
        if typed.startswith("set "):
            settings.append(typed)
            continue
        script = "\n".join([*settings, f"exec {typed}"])
        process = subprocess.Popen(
            ["sh", "-c", script],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if command == RUN:
            assert process.stderr is not None
            while not (line := process.stderr.readline()).startswith("Ctrl-C stops it"):
                assert line, "it ends before it runs"
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS * 10)
        ran.append(command)

        assert process.returncode == (130 if command == RUN else 0), f"{command}\n{err}{out}"
        assert not lines or agree(lines, out.replace(shop, "retail").splitlines()), f"{command}\n{out}"
    assert [command.split()[1] for command in ran] == ["provision", "provision", "migrate", "migrate", "migrate", "run"]
