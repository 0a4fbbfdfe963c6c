"""Promises 2, 5 and 9: whatever kills or blocks a process, each effect happens once.

The rest flows, and nothing vanishes.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from support.any_store import sql
from support.process_shop import finance
from support.processes import PATIENCE_SECONDS, RunningShop, running_shop, until
from support.shop import letters


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[RunningShop]:
    with running_shop(tmp_path) as shop:
        yield shop


def test_an_event_that_kills_the_process_is_set_aside_and_everything_else_is_handled(shop: RunningShop) -> None:
    customer = uuid4()
    deadly = shop.publish("kills the process", customer)
    behind = shop.publish(customer=customer)
    others = [str(shop.publish()) for _ in range(5)]
    shop.run()
    until(lambda: len(letters(shop.opened, finance)) == 1, "the deadly event is a dead letter")
    until(lambda: set(others) <= set(shop.billed()), "the others are billed")

    letter = letters(shop.opened, finance)[0]
    assert letter.failure is not None
    assert (letter.failure.error, letter.attempts) == ("ProcessDied", 2)
    assert sorted(shop.billed()) == sorted(others)
    assert set(shop.shipped()) == {str(deadly), str(behind), *others}, "other components know nothing of it"


def ignored_by(pid: int) -> set[int]:
    """The numbers of the signals that a process ignores."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


@pytest.fixture
def working(shop: RunningShop) -> Generator[Callable[[signal.Handlers], UUID]]:
    """Runs the shop until it has billed a purchase, with this at a hangup, wherever the tests were started."""
    before = signal.getsignal(signal.SIGHUP)

    def run(at_hangup: signal.Handlers) -> UUID:
        signal.signal(signal.SIGHUP, at_hangup)
        purchase = shop.publish()
        shop.run()
        until(lambda: shop.billed() == shop.shipped() == [str(purchase)], "the workers work")
        return purchase

    yield run
    signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_hangs_up_stops_it_in_order(
    shop: RunningShop, working: Callable[[signal.Handlers], UUID]
) -> None:
    working(signal.SIG_DFL)
    assert shop.process is not None
    os.killpg(shop.process.pid, signal.SIGHUP)

    assert shop.process.wait(PATIENCE_SECONDS) == 0
    assert "stopped; the next run handles what is left" in shop.errors()
    assert "its process has ended" not in shop.errors()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what a process ignores stands in /proc")
def test_a_terminal_that_hangs_up_stops_nothing_that_nohup_has_started(
    shop: RunningShop, working: Callable[[signal.Handlers], UUID]
) -> None:
    first = working(signal.SIG_IGN)
    assert shop.process is not None
    # What would end in order might still bill the next one.
    assert signal.SIGHUP in ignored_by(shop.process.pid)
    os.killpg(shop.process.pid, signal.SIGHUP)
    second = shop.publish()
    until(lambda: set(shop.billed()) == {str(first), str(second)}, "they go on")

    assert shop.stop() == 0
    assert "its process has ended" not in shop.errors()


@pytest.mark.rule(20)
def test_a_handler_that_never_returns_has_its_process_replaced_and_others_flow(shop: RunningShop) -> None:
    shop.time_limit_seconds = 1.0
    hanging = shop.publish("sleeps for ever")
    shop.run()
    until(lambda: str(hanging) in shop.shipped(), "Shipping goes on")
    until(lambda: len(letters(shop.opened, finance)) == 1, "the hanging event is a dead letter")
    later = shop.publish()
    until(lambda: shop.billed() == [str(later)], "Finance goes on")

    assert letters(shop.opened, finance)[0].failure is not None
    assert "handler bill has run for" in shop.errors()
    assert "its time limit is 1 s" in shop.errors()


def test_workers_killed_at_random_moments_apply_every_event_once(shop: RunningShop) -> None:
    chance = random.Random(20130730)
    shop.run()
    published = [str(shop.publish("is slow")) for _ in range(20)]
    for _ in range(4):
        until(lambda: len(shop.workers()) == 3, "all workers run")
        published += [str(shop.publish("is slow")) for _ in range(chance.randrange(5, 40))]
        victim = chance.choice(shop.workers())
        os.kill(victim, signal.SIGKILL)
    until(lambda: len(shop.billed()) >= len(published) and len(shop.shipped()) >= len(published), "all is handled")

    assert sorted(shop.billed()) == sorted(published)
    assert sorted(shop.shipped()) == sorted(published)
    assert letters(shop.opened, finance) == []


def test_one_that_is_asked_to_stop_finishes_and_spends_no_attempt(shop: RunningShop) -> None:
    published = [str(shop.publish("is slow")) for _ in range(200)]
    shop.run()
    until(lambda: len(shop.billed()) > 0, "Finance has begun")
    code = shop.stop()
    done = shop.billed()
    with shop.opened.connection(finance) as connection:
        leases = connection.execute(sql("select count(*) from preterite_lease where owner is not null")).fetchone()[0]
        parked = connection.execute(sql("select count(*) from preterite_parked")).fetchone()[0]

    assert code == 0
    assert len(done) == len(set(done)) <= len(published)
    assert (leases, parked) == (0, 0)
    assert "stopped; the next run handles what is left" in shop.errors()

    shop.run()
    until(lambda: len(shop.billed()) >= len(published), "the next run goes on")
    assert sorted(shop.billed()) == sorted(published)


def test_workers_stop_when_their_supervisor_is_killed(shop: RunningShop) -> None:
    process = shop.run()
    until(lambda: len(shop.workers()) == 3, "all workers run")
    workers = shop.workers()
    process.kill()
    process.wait()

    until(lambda: not any(is_running(worker) for worker in workers), "the workers are gone")


def is_running(pid: int) -> bool:
    try:
        return "preterite" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def test_what_one_process_commits_another_one_handles_soon(shop: RunningShop) -> None:
    """No other signal than the files themselves; a file that SQLite has open is never opened beside it."""
    shop.run()
    until(lambda: len(shop.workers()) == 3, "all workers run")
    for _ in range(5):
        purchase = str(shop.publish())
        until(lambda purchase=purchase: purchase in shop.billed(), "it is billed")
