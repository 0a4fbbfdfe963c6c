"""How long `preterite check` takes: on the shop, and on a thousand modules with ten thousand statements."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Measured, in_turns
from preterite import Component, System
from preterite.checks import check
from retail.system import system as retail

COMPONENTS, MODULES, STATEMENTS = 10, 1_000, 10_000
ROUNDS = 5


def measure(rounds: int = ROUNDS, modules: int = MODULES, statements: int = STATEMENTS) -> list[Measured]:
    """Seconds for each, in turns."""
    with TemporaryDirectory() as folder:
        name = f"many_{time.time_ns()}"
        many = _write(Path(folder), name, modules, statements)
        try:
            return in_turns(
                {
                    "the shop": lambda: _seconds(retail),
                    f"{modules:,} modules, {statements:,} shapes of statements": lambda: _seconds(many),
                },
                rounds,
            )
        finally:
            sys.path.remove(folder)


def _seconds(system: System) -> float:
    urls = {one.name: f"sqlite:///{one.name}.sqlite" for one in system.components}
    began = time.perf_counter()
    found = check(system, urls)
    took = time.perf_counter() - began
    assert [one.key for one in found if one.definition.severity == "error"] == [], "there are no violations"
    return took


def _write(folder: Path, name: str, modules: int, statements: int) -> System:
    """A package of ten components; every statement has a shape of its own, and touches its component's tables."""
    root = folder / name
    per_component, per_module = modules // COMPONENTS, statements // modules
    sys.path.insert(0, str(folder))
    components: list[Component] = []
    for component in range(COMPONENTS):
        home = root / f"part{component}"
        home.mkdir(parents=True)
        for package in (root, home):
            (package / "__init__.py").write_text("", encoding="utf-8")
        tables = "; ".join(f"create table part{component}_t{number} (id text, a text, b text)" for number in range(20))
        (home / "component.py").write_text(
            f'from preterite import Component\ncomponent = Component("part{component}", tables="{tables}")\n',
            encoding="utf-8",
        )
        for module in range(per_component - 2):
            lines = [f"from {name}.part{component} import module{max(module - 1, 0)}  # its neighbour", ""]
            for number in range(per_module):
                table, other = f"part{component}_t{number % 20}", f"part{component}_t{module % 20}"
                column = f"c{module}_{number}"
                lines.append(
                    f'Q{number} = "SELECT t.a AS {column}, count(*) FROM {table} t LEFT JOIN {other} o ON o.id = t.b '
                    f"WHERE t.a IN (SELECT b FROM {table} WHERE id > 'x') GROUP BY t.a ORDER BY {column}\""
                )
            (home / f"module{module}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
        components.append(importlib.import_module(f"{name}.part{component}.component").component)
    return System("many", components)
