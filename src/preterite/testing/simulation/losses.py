"""Worlds in which events get lost for ever: log and journal keep little, a subscriber is away, old records are lost.

Absences are longer than what is kept, and appends are slow, so that readers see what was sent again in part. An
operator accepts what is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random

from preterite.drivers import sqlite as sqlite_file
from preterite.operations import recovery
from preterite.operations.dead_letters import Operator
from preterite.publishing.relay import JOURNAL_SECONDS
from preterite.testing.simulation.machine.marks import HOLE_FILLED, LOSS_ACCEPTED
from preterite.testing.simulation.machine.operators import SimulatedOperator

JOURNAL_SECONDS_DRAWN = (2.0, 20.0)
RETENTION_SECONDS_DRAWN = (2.0, 20.0)
AWAY_FROM_SECONDS = (0.5, 5.0)
AWAY_SECONDS = (5.0, 40.0)
APPEND_RECORDS = (1, 6)
"""Records that a slow log takes at a time."""
WHO = "operator"
# What is pruned is kept for the verdict, in the same transaction.
KEEP_PRUNED = """
CREATE TABLE pruned_journal (partition INTEGER, number INTEGER, event_id BLOB, envelope BLOB);
CREATE TRIGGER keep_pruned AFTER DELETE ON preterite_journal BEGIN
    INSERT INTO pruned_journal VALUES (old.partition, old.number, old.event_id, old.envelope);
END;
"""


@dataclass(frozen=True)
class Losses:
    """How little a world keeps, and who is away for how long."""

    journal_seconds: float = JOURNAL_SECONDS
    retention: timedelta | None = None
    append_records: int | None = None
    """How many records the log takes at a time; all at once where there is no such number."""
    away: str | None = None
    """The component that consumes nothing for a while."""
    away_from: float = 0.0
    away_until: float = 0.0

    def is_away(self, component: str, seconds: float) -> bool:
        """Whether this component consumes nothing at this time."""
        return component == self.away and self.away_from <= seconds < self.away_until


NONE = Losses()


def draw(seed: int) -> Losses:
    """What the seed decides: one of them is missing now and then."""
    chance = Random(f"losses {seed}")
    away_from = chance.uniform(*AWAY_FROM_SECONDS)
    drawn = Losses(
        journal_seconds=chance.uniform(*JOURNAL_SECONDS_DRAWN),
        retention=timedelta(seconds=chance.uniform(*RETENTION_SECONDS_DRAWN)),
        append_records=chance.randint(*APPEND_RECORDS),
        away=chance.choice(("finance", "shipping")),
        away_from=away_from,
        away_until=away_from + chance.uniform(*AWAY_SECONDS),
    )
    without: tuple[Callable[[], Losses], ...] = (
        lambda: replace(drawn, retention=None),
        lambda: replace(drawn, journal_seconds=JOURNAL_SECONDS),
        lambda: replace(drawn, away=None),
        lambda: drawn,
        lambda: drawn,
    )
    return chance.choice(without)()


def keep_pruned(paths: Mapping[str, Path]) -> None:
    """Let every component's database keep what is pruned from its journal."""
    for path in paths.values():
        with closing(sqlite_file.open_file(path)) as connection:
            connection.executescript(KEEP_PRUNED)


class LossOperator(SimulatedOperator):
    """Looks at the plan of recovery, and accepts what is gone."""

    def decide(self, component: str) -> None:
        store, log = self.opened.databases[component].store, self.opened.log
        operator = Operator(WHO, "gone", self.scheduler.clock.wall())
        with self.opened.connection(self.opened.components[component]) as connection:
            for publisher in self.opened.topology.subscriptions[component].publishers:
                if recovery.dropped(store, connection, log, publisher):
                    recovery.accept_loss(store, connection, log, publisher, operator)
                    self.scheduler.history.mark(LOSS_ACCEPTED)
            if recovery.holes(store, connection, log, component):
                recovery.fill(store, connection, log, component, operator)
                self.scheduler.history.mark(HOLE_FILLED)
