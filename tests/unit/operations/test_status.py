"""The status of components: outbox, lag, parked, dead, stalled; read without changing anything."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from support.small_shop import declare, publish, purchased

from preterite import Recoverability
from preterite.log.contract import Stream
from preterite.operations.status import NOTHING, ComponentStatus, StatusReader, verdict
from preterite.store.contract import Database
from preterite.testing import started


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


def test_every_problem_is_one_sentence() -> None:
    counts = NOTHING._replace(dead=2, voids=1, relay_halt="the log holds more")
    status = ComponentStatus(
        "sales", "running", counts, 7, 0, True, 0, {Stream("finance", 3): "number 5 is missing"}, ("mail",)
    )

    assert status.problems == [
        "sales: number 5 is missing",
        "sales publishes nothing: the log holds more",
        "sales has 2 dead letters",
        "sales has 1 event in its journal that the log refused",
        "sales has active handlers that this program does not declare: mail",
    ]


def test_the_verdict_is_ok_degraded_or_down() -> None:
    running = ComponentStatus("sales", "running", NOTHING, 0, 0, subscribes=True, lag=0, stalled={}, lacking=())
    off = replace(running, component="finance", state="off")
    failing = replace(running, counts=NOTHING._replace(dead=1))
    stalled = replace(running, stalled={Stream("finance", 3): "number 5 is missing"})

    assert verdict([running, running]) == "OK"
    assert verdict([running, replace(running, outbox=7, lag=9)]) == "OK"
    assert verdict([running, off]) == verdict([running, failing]) == verdict([running, stalled]) == "DEGRADED"
    assert verdict([off, off]) == verdict([off, replace(failing, state="off")]) == verdict([]) == "DOWN"


def test_a_component_is_quiet_while_a_retry_waits_for_its_time() -> None:
    shop = declare(fails=lambda _purchase: True, recoverability=Recoverability(immediate_retries=0))
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")

        assert opened.status()["finance"].is_quiet
        assert opened.status()["finance"].counts.next_due_at is not None
