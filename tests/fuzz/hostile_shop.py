"""The system that hostile command lines work on: two components, one of which publishes what the other cannot take."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fuzz.values import TEXTS
from preterite import Component, Event, Justified, OpenSystem, Recoverability, System
from preterite.errors import UsageError


class NoteTaken(Event, key="who"):
    """A note of one who writes notes."""

    who: Annotated[str, Justified("whose note it is")]
    text: Annotated[str, Justified("what it says")]
    at: datetime


alpha = Component("alpha", publishes=[NoteTaken], tables="create table n (id text primary key)")
beta = Component(
    "beta", recoverability=Recoverability(unrecoverable=(ValueError,)), tables="create table m (id text primary key)"
)


@beta.handles(NoteTaken)
def take(event: NoteTaken, connection: sqlite3.Connection) -> None:
    """Fail, with a text of others."""
    raise ValueError(f"cannot take {event.text}\nFORGED {event.who}")


system = System("hostile", [alpha, beta])


def fill(folder: Path, texts: Sequence[str] = TEXTS) -> None:
    """Make its databases in a folder, with dead letters whose texts are odd."""
    urls = {name: f"sqlite:///{folder}/{name}.sqlite" for name in ("alpha", "beta")}
    with system.open(databases=urls, log=f"sqlite:///{folder}/log.sqlite", create_tables=True) as opened:
        for text in texts:
            _publish(opened, text)
        opened.settle(failures="park")


def _publish(opened: OpenSystem, text: str) -> None:
    try:
        with opened.connection(alpha) as connection, alpha.unit_of_work(connection) as unit:
            unit.publish(NoteTaken(who=text, text=text, at=datetime.now(UTC)))
    except UsageError:
        # What cannot be a key cannot be published, which is as it should be.
        return
