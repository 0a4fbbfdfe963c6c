"""How long a page takes of which one part never answers: its deadline, and what beyond."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from preterite import Component, OpenSystem, System
from preterite.composition import Composer, Page, Parts

ROUNDS = 11
DEADLINE_SECONDS = 0.25
WHOLE = "every part answers"
LATE = "one part never answers"
BEYOND = "beyond its deadline of 250 ms"


def measure(rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Milliseconds of views in turns."""
    one, other = (
        Component("one", tables="create table a (b text)"),
        Component("other", tables="create table c (d text)"),
    )
    held = threading.Event()
    parts = Parts(one)

    @parts.part(fallback="Not now.")
    def quick(connection: sqlite3.Connection) -> int:
        return connection.execute("select count(*) from a").fetchone()[0]

    @Parts(other).part(fallback="Not now.", seconds=DEADLINE_SECONDS)
    def slow() -> None:
        held.wait(60)

    whole, late = Page("whole", parts=[quick]), Page("late", parts=[quick, slow])
    found: dict[str, list[float]] = {WHOLE: [], LATE: []}
    with TemporaryDirectory() as folder, _open(folder, System("two", [one, other])) as shop:
        for _ in range(rounds):
            held.clear()
            # As the shop (retail.web) and the kept figures have it.
            with Composer(shop, [whole, late], inline=True) as composer:
                composer.compose(whole)
                for name, page in ((WHOLE, whole), (LATE, late)):
                    began = time.perf_counter()
                    composer.compose(page)
                    found[name].append((time.perf_counter() - began) * 1000)
                held.set()
    return {**found, BEYOND: [took - DEADLINE_SECONDS * 1000 for took in found[LATE]]}


def _open(folder: str, system: System) -> OpenSystem:
    urls = {component.name: f"sqlite:///{Path(folder) / component.name}.sqlite" for component in system.components}
    return system.open(databases=urls, log="memory:", create_tables=True)
