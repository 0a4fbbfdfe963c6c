"""The status of components, read without changing anything: what waits, for how long, and what cannot be read."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.any_store import sql
from support.shop import declare, publish, purchased

from preterite import OpenSystem, Recoverability
from preterite.errors import StoreUnavailable
from preterite.log.contract import Log
from preterite.log.deferred import open_or_defer
from preterite.operations.status import NO_PROGRESS_SECONDS, verdict
from preterite.operations.status_reader import StatusReader
from preterite.store.contract import Database
from preterite.store.rows import RunningHandler
from preterite.testing import StartedSystem, started

LONG_AGO = 2 * NO_PROGRESS_SECONDS


def test_a_published_event_is_in_the_outbox_then_lag_then_handled() -> None:
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b", "ben"))
        committed = opened.status()
        relay = opened.runtime.relay("sales")
        relay.step()
        sent = opened.status()
        relay.close()
        opened.settle()
        done = opened.status()

    assert (committed["sales"].outbox, committed["finance"].lag) == (2, 0)
    assert (sent["sales"].outbox, sent["finance"].lag) == (0, 2)
    assert (done["sales"].is_quiet, done["finance"].is_quiet) == (True, True)
    assert (done["sales"].numbered, done["finance"].numbered) == (2, 2)
    assert not done["sales"].subscribes


def test_the_short_reading_is_not_quiet_while_a_relay_is_halted_or_a_stream_is_stalled() -> None:
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle()
        reader = StatusReader(opened.topology, opened.databases, opened.log, opened.clock)
        quiet = [reader.is_quiet()]
        for name, mark in (("sales", _halt), ("finance", _stall)):
            for reason in ("it must be looked at", None):
                mark(opened.databases[name], reason)
                quiet.append(reader.is_quiet())
        reader.close()

    assert quiet == [True, False, True, False, True]


def _halt(database: Database, reason: str | None) -> None:
    with closing(database.connect()) as connection:
        database.store.set_relay_halt(connection, reason)


def _stall(database: Database, reason: str | None) -> None:
    with closing(database.connect()) as connection:
        database.store.set_stream_stall(connection, next(iter(database.store.cursors(connection))), reason)


def test_a_component_runs_while_a_worker_holds_its_leases() -> None:
    shop = declare()
    with started(shop.system) as opened:
        before = opened.status()["sales"].state
        relay = opened.runtime.relay("sales")
        relay.step()
        running = opened.status()["sales"].state
        relay.close()

        assert (before, running, opened.status()["sales"].state) == ("off", "running", "off")


def test_a_component_is_quiet_while_a_retry_waits_for_its_time() -> None:
    shop = declare(fails=lambda _purchase: True, recoverability=Recoverability(immediate_retries=0))
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")

        assert opened.status()["finance"].is_quiet
        assert opened.status()["finance"].counts.next_due_at is not None


def set_back(opened: OpenSystem, component: str, *columns: str) -> None:
    """Let the times in these columns of a component's database be long past."""
    with closing(opened.databases[component].connect()) as connection:
        for column in columns:
            table, name = column.split(".")
            connection.execute(sql(f"update preterite_{table} set {name} = {name} - {LONG_AGO}"))


def problems(opened: OpenSystem) -> list[str]:
    return [problem for status in opened.status().values() for problem in status.problems]


@contextmanager
def working(opened: StartedSystem, *kinds: str) -> Generator[None]:
    """Relays or receivers that hold their leases, as those of a component that runs do."""
    loops = [getattr(opened.runtime, kind)(name) for kind in kinds for name in opened.components]
    for loop in loops:
        loop.step()
    try:
        yield
    finally:
        for loop in loops:
            loop.close()


def test_what_has_just_come_is_no_problem_however_long_nothing_came_before() -> None:
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle()
        set_back(opened, "sales", "stream.confirmed_at", "journal.numbered_at")
        set_back(opened, "finance", "cursor.moved_at")
        publish(opened, shop.sales, purchased("b"))
        oldest = opened.status()["sales"].oldest_seconds

        assert oldest is not None
        assert oldest < NO_PROGRESS_SECONDS
        assert not any("no progress" in problem for problem in problems(opened))


def test_an_outbox_from_which_nothing_is_taken_is_a_problem_with_its_age() -> None:
    shop = declare()
    with started(shop.system) as opened, working(opened, "relay"):
        publish(opened, shop.sales, purchased("a"), purchased("b"))
        set_back(opened, "sales", "outbox.added_at")
        found = opened.status()

        assert found["sales"].state == "running"
        assert found["sales"].no_progress_seconds == pytest.approx(LONG_AGO, abs=NO_PROGRESS_SECONDS / 2)
        assert "although 2 events wait in its outbox" in problems(opened)[0]
        assert verdict(found.values()) == "DEGRADED"


def test_a_journal_from_which_nothing_is_sent_is_a_problem() -> None:
    """Numbered, and not in the log: as while the log refuses what is appended."""
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        with closing(opened.databases["sales"].connect()) as connection:
            relay = opened.runtime.relay("sales")
            opened.log.append = _refuse  # pyright: ignore[reportAttributeAccessIssue] - the fault of this test
            with pytest.raises(StoreUnavailable):
                relay.step()
            relay.close()
            connection.execute(sql(f"update preterite_journal set numbered_at = numbered_at - {LONG_AGO}"))

        assert opened.status()["sales"].outbox == 1
        assert any("sales: no progress for " in problem for problem in problems(opened))


def _refuse(_records: object) -> None:
    raise StoreUnavailable("the log is full")


def test_a_lag_without_progress_is_a_problem_and_one_that_is_worked_off_is_none() -> None:
    shop = declare()
    with started(shop.system) as opened:
        with working(opened, "receiver"):
            publish(opened, shop.sales, purchased("a"), purchased("b", "ben"))
            relay = opened.runtime.relay("sales")
            relay.step()
            set_back(opened, "sales", "journal.numbered_at")
            busy = opened.status()["finance"]
            set_back(opened, "finance", "cursor.moved_at")
            stuck = opened.status()["finance"]
            relay.close()

    assert busy.oldest_seconds == pytest.approx(LONG_AGO, abs=NO_PROGRESS_SECONDS / 2)
    assert busy.problems == []
    assert "although 2 events wait in the log" in stuck.problems[0]


def test_a_worker_that_takes_nothing_makes_no_progress_however_long_its_handlers_may_take() -> None:
    """Only a handler that it is seen to run explains that events wait."""
    shop = declare()
    shop.finance.time_limit_seconds = 3600.0
    with started(shop.system) as opened, working(opened, "receiver"):
        publish(opened, shop.sales, purchased("a"))
        relay = opened.runtime.relay("sales")
        relay.step()
        set_back(opened, "sales", "journal.numbered_at")
        set_back(opened, "finance", "cursor.moved_at")
        still = opened.status()["finance"]
        with closing(opened.databases["finance"].connect()) as connection:
            leases = opened.databases["finance"].store.leases(connection)
        owner = next(lease.owner for lease in leases if lease.name == "partition/0")
        assert owner is not None
        note = RunningHandler(owner, "bill", LONG_AGO)
        opened.databases["finance"].note_running(note, opened.clock.wall(), 60.0)
        busy = opened.status()["finance"]
        opened.databases["finance"].note_running(note._replace(seconds=3601.0), opened.clock.wall(), 60.0)
        beyond = opened.status()["finance"]
        relay.close()

    assert (still.state, still.notices, verdict([still])) == ("running", [], "DEGRADED")
    assert "finance: no progress for " in still.problems[0]
    assert (busy.problems, verdict([busy]), busy.notices[0].partition(" for ")[0]) == (
        [],
        "OK",
        "finance has been running bill",
    )
    assert (beyond.notices, verdict([beyond])) == ([], "DEGRADED")


def test_what_is_due_and_not_run_is_a_problem() -> None:
    shop = declare(fails=lambda _purchase: True, recoverability=Recoverability(immediate_retries=0))
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")
        with closing(opened.databases["finance"].connect()) as connection:
            connection.execute(
                sql("update preterite_parked set due_at = ?"), [opened.clock.now().timestamp() - LONG_AGO]
            )
        found = opened.status()["finance"]

    assert found.oldest_seconds == LONG_AGO
    assert (
        f"finance: no progress for {LONG_AGO:.0f} s although 1 event waits beyond the time at which to run"
        in found.problems
    )


def test_one_database_that_cannot_be_read_keeps_no_other_from_being_shown(tmp_path: Path) -> None:
    shop = declare()
    places = {name: f"sqlite:///{tmp_path}/{name}" for name in ("sales", "finance")}
    with started(shop.system, databases=places) as opened:
        publish(opened, shop.sales, purchased("a"))
        reader = StatusReader(opened.topology, opened.databases, opened.log, opened.clock)
        for kind in ("", "-wal", "-shm"):
            (tmp_path / f"finance{kind}").unlink(missing_ok=True)
        (tmp_path / "finance").mkdir()
        found = reader.status()
        reader.close()
        (tmp_path / "finance").rmdir()

    assert (found["sales"].state, found["sales"].outbox) == ("off", 1)
    assert (found["finance"].state, found["finance"].is_quiet) == ("unreachable", False)
    assert "unable to open database file" in str(found["finance"].fault)


def test_a_log_that_cannot_be_read_is_a_fault_and_the_outbox_counts_what_it_has_not_confirmed() -> None:
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle()
        publish(opened, shop.sales, purchased("b"))
        log = open_or_defer(_unreachable, opened.clock)
        reader = StatusReader(opened.topology, opened.databases, log, opened.clock)
        found = reader.status()
        with pytest.raises(StoreUnavailable, match="the log is elsewhere"):
            reader.is_quiet()
        reader.close()

    assert {name: (one.outbox, one.log_fault) for name, one in found.items()} == {
        "sales": (1, "the log is elsewhere"),
        "finance": (0, "the log is elsewhere"),
    }
    assert not any(one.is_quiet for one in found.values())
    assert verdict(found.values()) == "DOWN"


def _unreachable() -> Log:
    raise StoreUnavailable("the log is elsewhere")
