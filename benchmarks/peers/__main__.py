"""Runs one peer, or all, in turns: a backlog drained, and purchases billed while they are made.

Started by `make bench BENCH=peers` in an environment of its own; prints a line of JSON for each run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

PEERS = ("celery", "dramatiq", "faststream", "procrastinate", "pgqueuer", "dbos", "eventsourcing")
ADMIN_URL = os.environ.get("PRETERITE_ADMIN_URL", "postgresql://postgres:preterite@127.0.0.1:54321/postgres")
DRAINED = 1_500
LIVE = 500
WARM_SHARE = 0.2
LOOK_SECONDS = 0.02
RUN_SECONDS_MAX = 180.0


def main() -> None:
    """Run what is asked for; a line for each run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("peers", nargs="*", default=PEERS)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--drained", type=int, default=DRAINED)
    parser.add_argument("--live", type=int, default=LIVE)
    options = parser.parse_args()
    # Consumers end with the process that started them.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for _ in range(options.rounds):
        for peer in options.peers:
            with _databases() as urls:
                os.environ.update(urls)
                rates = _run(peer, options.drained, options.live)
            print(json.dumps({"peer": peer, **rates}), flush=True)


def _run(peer: str, drained: int, live: int) -> dict[str, float]:
    """Events per second of both kinds."""
    _call(peer, "prepare")
    _call(peer, f"publish({drained}, 0)")
    with _consumers(peer):
        drain = _rate_until(peer, drained)
        began = _publish_live(peer, live, drained)
        _wait_for(peer, drained + live)
        return {"drain": drain, "live": live / (time.monotonic() - began)}


def _publish_live(peer: str, count: int, first: int) -> float:
    """Publish from another process, and return when it began; how long that takes to start is left out."""
    code = f"from benchmarks.peers import with_{peer} as peer; print(flush=True); peer.publish({count}, {first})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None, "it is a pipe"
    process.stdout.readline()
    began = time.monotonic()
    if process.wait() != 0:
        raise SystemExit(f"{peer} has not published")
    return began


def _call(peer: str, what: str) -> None:
    """Call one of the peer's functions in a process of its own, as a web application would be one."""
    name, _, arguments = what.partition("(")
    found = f"getattr(peer, {name!r}, lambda: None)"
    code = f"from benchmarks.peers import with_{peer} as peer; {found}({arguments or ')'}"
    subprocess.run([sys.executable, "-c", code], check=True)


def _rate_until(peer: str, count: int) -> float:
    """The rate from a fifth on: how long workers take to start is left out."""
    first = _wait_for(peer, int(count * WARM_SHARE))
    last = _wait_for(peer, count)
    return (last[0] - first[0]) / (last[1] - first[1])


def _wait_for(peer: str, count: int) -> tuple[int, float]:
    """How many are billed once it is so many, and when that was seen."""
    statement: Any = getattr(importlib.import_module(f"benchmarks.peers.with_{peer}"), "EFFECTS", None)
    until = time.monotonic() + RUN_SECONDS_MAX
    with psycopg.connect(os.environ["PEER_FINANCE_URL"], autocommit=True) as connection:
        while True:
            row = connection.execute(statement or "SELECT count(*) FROM billable").fetchone()
            now = time.monotonic()
            if row is not None and row[0] >= count:
                return row[0], now
            if now > until:
                raise SystemExit(f"{peer} has billed {row} of {count} in {RUN_SECONDS_MAX:.0f} s")
            time.sleep(LOOK_SECONDS)


@contextmanager
def _consumers(peer: str) -> Generator[None]:
    commands = importlib.import_module(f"benchmarks.peers.with_{peer}").CONSUMERS
    said = None if "PEERS_SAY" in os.environ else subprocess.DEVNULL
    processes = [
        subprocess.Popen([sys.executable, *one], start_new_session=True, stdout=said, stderr=said) for one in commands
    ]
    try:
        yield
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def _databases() -> Generator[dict[str, str]]:
    """Two databases with their tables and prices, removed at the end."""
    names = {name: f"peer_{name}_{uuid4().hex[:8]}" for name in ("sales", "finance")}
    base = ADMIN_URL.rpartition("/")[0]
    with psycopg.connect(ADMIN_URL, autocommit=True) as admin:
        for name in names.values():
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        urls = {f"PEER_{name.upper()}_URL": f"{base}/{made}" for name, made in names.items()}
        try:
            _make_tables(urls)
            yield urls
        finally:
            for name in names.values():
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _make_tables(urls: dict[str, str]) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.orm import Session

    from benchmarks.peers import work

    for url in urls.values():
        engine = create_engine(work.driver_url(url))
        work.Base.metadata.create_all(engine)
        with Session(engine) as session:
            session.add_all([work.Price(product=name, pence=100) for name in work.PRODUCTS])
            session.commit()
        engine.dispose()


if __name__ == "__main__":
    main()
