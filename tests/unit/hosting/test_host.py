"""The host: loops in threads that are woken, go on after trouble, and stop when they are told."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.processes import until
from support.shop import ItemPurchased, Shop, bills, declare, insert_bill, publish, purchased, texts

from preterite import OpenSystem
from preterite.errors import StoreUnavailable
from preterite.hosting import changes, host
from preterite.hosting.host import Host, LoopThread
from preterite.hosting.runtime import WakeUps
from preterite.loop import Loop, Progress


@pytest.fixture
def shop() -> Shop:
    return declare()


def open_files(shop: Shop, folder: Path) -> OpenSystem:
    databases = {name: f"sqlite:///{folder}/{name}.sqlite" for name in ("sales", "finance")}
    return shop.system.open(databases=databases, log=f"sqlite:///{folder}/log.sqlite", create_tables=True)


@pytest.fixture
def opened(shop: Shop, tmp_path: Path) -> Iterator[OpenSystem]:
    with open_files(shop, tmp_path) as opened:
        yield opened


def test_what_is_committed_is_handled_while_the_host_runs(opened: OpenSystem, shop: Shop) -> None:
    with Host(opened.runtime):
        publish(opened, shop.sales, purchased("a"))
        opened.wait_settled()

        assert bills(opened, shop.finance) == texts("a")


def test_a_commit_in_this_process_wakes_the_loops_without_waiting_for_a_poll(
    opened: OpenSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "IDLE_SECONDS", 3600.0)
    monkeypatch.setattr(changes, "WATCH_SECONDS", 3600.0)
    with Host(opened.runtime):
        until(lambda: opened.status()["finance"].state == "running", "the loops run")
        for name in "abc":
            publish(opened, shop.sales, purchased(name))
            opened.wait_settled()

        assert bills(opened, shop.finance) == texts("a", "b", "c")


def test_a_host_whose_process_is_replaced_ends_after_many_faults_in_a_row(opened: OpenSystem) -> None:
    running = Host(opened.runtime, faults_max=2)
    made: list[str] = []

    def fail(*_arguments: object) -> Loop:
        made.append("made")
        raise RecursionError

    opened.runtime.relay = fail  # pyright: ignore[reportAttributeAccessIssue] - as where the process is broken
    running.start()

    assert running.serve(lambda: True)
    assert len(made) >= 2


def test_polling_alone_is_enough(opened: OpenSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "WATCH_SECONDS", 3600.0)
    monkeypatch.setattr(host, "IDLE_SECONDS", 0.05)
    with Host(opened.runtime):
        until(lambda: opened.status()["finance"].state == "running", "the loops run")
        opened.runtime.wake_ups = WakeUps()
        publish(opened, shop.sales, purchased("a"))
        until(lambda: bills(opened, shop.finance) == texts("a"), "it is handled")


def test_stopping_gives_everything_back_and_the_next_host_goes_on(opened: OpenSystem, shop: Shop) -> None:
    first = Host(opened.runtime)
    first.start()
    publish(opened, shop.sales, purchased("a"))
    opened.wait_settled()

    assert first.stop()
    assert [opened.status()[name].state for name in ("sales", "finance")] == ["off", "off"]
    with Host(opened.runtime):
        publish(opened, shop.sales, purchased("b"))
        opened.wait_settled()
    assert bills(opened, shop.finance) == texts("a", "b")


def test_a_loop_that_breaks_starts_again_and_nothing_is_lost(
    opened: OpenSystem, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    make = opened.runtime.receiver
    broken = threading.Event()

    def break_once(component: str, owner: str) -> object:
        receiver = make(component, owner)
        step = receiver.step

        def breaking() -> Progress:
            if not broken.is_set():
                broken.set()
                raise ValueError("a bug")
            return step()

        receiver.step = breaking  # pyright: ignore[reportAttributeAccessIssue] - the bug of this test
        return receiver

    opened.runtime.receiver = break_once  # pyright: ignore[reportAttributeAccessIssue]
    with Host(opened.runtime):
        publish(opened, shop.sales, purchased("a"))
        until(lambda: bills(opened, shop.finance) == texts("a"), "it is handled")

    assert "finance receiver failed; it starts again with new connections" in caplog.text
    assert "a bug" in caplog.text


def test_a_loop_that_cannot_read_what_is_due_goes_on(
    opened: OpenSystem, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    make = opened.runtime.receiver
    asked = threading.Event()

    def out_of_reach_once(component: str, owner: str) -> object:
        receiver = make(component, owner)
        seconds_to_next = receiver.seconds_to_next

        def failing() -> float | None:
            if not asked.is_set():
                asked.set()
                raise StoreUnavailable("no answer just now")
            return seconds_to_next()

        receiver.seconds_to_next = failing  # pyright: ignore[reportAttributeAccessIssue] - the trouble of this test
        return receiver

    opened.runtime.receiver = out_of_reach_once  # pyright: ignore[reportAttributeAccessIssue]
    with Host(opened.runtime):
        until(asked.is_set, "it was asked")
        publish(opened, shop.sales, purchased("a"))
        until(lambda: bills(opened, shop.finance) == texts("a"), "it is handled")

    assert "no answer just now" in caplog.text


def test_a_database_out_of_reach_is_said_once_and_waited_for(
    opened: OpenSystem, shop: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preterite.drivers.sqlite.BUSY_TIMEOUT_MS", 20)
    monkeypatch.setattr("preterite.leases.RENEW_SECONDS", 0.05)
    publish(opened, shop.sales, purchased("a"))
    blocking = sqlite3.connect(opened.databases["finance"].url.removeprefix("sqlite:///"), isolation_level=None)
    blocking.execute("begin immediate")
    caplog.set_level("INFO", "preterite")
    with Host(opened.runtime):
        until(lambda: "finance receiver: " in caplog.text, "the trouble is said")
        until(lambda: opened.log.version() != 0, "others go on")
        blocking.execute("rollback")
        until(lambda: bills(opened, shop.finance) == texts("a"), "it is handled")
        until(lambda: "finance receiver works again" in caplog.text, "and that it is over")
    blocking.close()

    said = [record for record in caplog.records if record.levelname == "ERROR" and "finance receiver" in record.message]
    assert len(said) == 1


def test_a_handler_that_does_not_return_is_reported_and_does_not_delay_the_stop(tmp_path: Path) -> None:
    shop = declare(bills=False)
    entered, released = threading.Event(), threading.Event()

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: sqlite3.Connection) -> None:
        insert_bill(connection, event)
        entered.set()
        released.wait()

    with open_files(shop, tmp_path) as opened:
        running = Host(opened.runtime)
        running.start()
        publish(opened, shop.sales, purchased("a"))
        entered.wait()
        told = running.running()

        assert told["finance receiver"].handler == "bill"
        assert not running.stop(seconds=0.1)
        released.set()
        assert running.stop()
        assert running.running() == {}
        assert bills(opened, shop.finance) == texts("a")


def test_serving_ends_when_it_is_stopped_or_its_beat_returns_false(opened: OpenSystem) -> None:
    beats: list[int] = []

    def listen_twice() -> bool:
        beats.append(1)
        return len(beats) < 2

    first = Host(opened.runtime)
    first.start()
    assert first.serve(listen_twice)
    second = Host(opened.runtime)
    second.start()
    stop: Callable[[], bool] = lambda: second.stop_soon() is None  # noqa: E731
    assert second.serve(stop)
    assert len(beats) == 2


def test_every_thread_has_its_callbacks_before_it_starts(
    opened: OpenSystem, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first step of a loop may already commit, append or publish; what follows from it is not lost."""
    waiting: dict[str, bool] = {}
    start = LoopThread.start

    def start_noting(thread: LoopThread) -> None:
        registered = [one.wake for one in opened.runtime.wake_ups.waiting]
        waiting[thread.name] = thread.wake.set in registered and thread.on_progress is not None
        start(thread)

    monkeypatch.setattr(LoopThread, "start", start_noting)
    with Host(opened.runtime):
        pass

    assert waiting == {
        "sales relay": True,
        "finance relay": True,
        "finance receiver": True,
        "watcher": False,
        "heartbeat": False,
    }


def test_a_host_that_has_stopped_is_woken_no_more(opened: OpenSystem) -> None:
    with Host(opened.runtime):
        pass

    assert opened.runtime.wake_ups.waiting == ()
