"""Logs, by URL; one file per kind, each passing the same suite."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from preterite.clock import Clock
from preterite.drivers.extras import needing
from preterite.errors import ConfigurationError
from preterite.log.contract import ANY_SYSTEM, Log, LogIdentity, no_log
from preterite.printing.urls import EXAMPLE, shown

__all__ = ["connect", "find"]


def connect(url: str, identity: LogIdentity, clock: Clock, retention: timedelta | None = None) -> Log:
    """Open the log that a URL names, made for this system if it is new."""
    kind = url.partition(":")[0].partition("+")[0]
    if kind == "sqlite":
        from preterite.log.sqlite.log import SqliteLog

        return SqliteLog(url, identity, clock, retention)
    if kind in ("postgresql", "postgres"):
        with needing(f"The log {shown(url)}"):
            from preterite.log.postgres.log import PostgresLog

        return PostgresLog(url, identity, clock, retention)
    if kind == "memory":
        from preterite.log.memory import MemoryLog

        return MemoryLog(identity, clock, retention)
    raise ConfigurationError(
        f"{shown(url)} names no kind of log known here; known: sqlite:///path, {EXAMPLE}, memory:."
    )


def find(url: str, identity: LogIdentity, clock: Clock, retention: timedelta | None = None) -> Log:
    """The log that a URL names; makes none. Raises `NoLog` where there is none."""
    if url.startswith("sqlite"):
        from preterite.drivers.sqlite import exists, path_of

        if not exists(path_of(url)):
            raise no_log(shown(url))
    return connect(url, replace(identity, system_id=ANY_SYSTEM), clock, retention)
