"""Promises 2, 4 and 9 with several workers: partitions are shared, handed and taken over, and nothing is doubled."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from support.any_store import servers_only, sql
from support.process_shop import finance
from support.processes import RunningShop, running_shop, until
from support.shop import letters

CUSTOMERS = [UUID(int=number) for number in range(24)]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[RunningShop]:
    with running_shop(tmp_path) as shop:
        yield shop


def shares(shop: RunningShop) -> list[int]:
    """How many partitions of Finance each process handles, most first."""
    workers = shop.opened.status()["finance"].workers
    counts = Counter(holder for name, holder in workers.items() if name.startswith("partition/"))
    return sorted(counts.values(), reverse=True)


def epochs(shop: RunningShop) -> list[tuple[str, int]]:
    """How often each partition of Finance has changed hands."""
    with shop.opened.connection(finance) as connection:
        return connection.execute(
            sql("select name, epoch from preterite_lease where name <> 'relay' order by 1")
        ).fetchall()


def everything_is_billed_once(shop: RunningShop, published: list[str]) -> None:
    until(lambda: len(shop.billed()) >= len(published), "all is billed")
    assert sorted(shop.billed()) == sorted(published)
    assert letters(shop.opened, finance) == []


def test_two_workers_share_the_partitions_and_a_third_gets_its_share(shop: RunningShop) -> None:
    shop.run("--workers", "2")
    until(lambda: shares(shop) == [4, 4], "two share")
    published = [str(shop.publish("is slow", customer)) for customer in CUSTOMERS]
    third = shop.run_another("--only", "finance")
    until(lambda: shares(shop) == [3, 3, 2], "three share")
    published += [str(shop.publish("is slow", customer)) for customer in CUSTOMERS]
    third.send_signal(signal.SIGTERM)
    until(lambda: shares(shop) == [4, 4], "two share again")

    everything_is_billed_once(shop, published)


def test_a_host_that_is_gone_is_overtaken_when_its_leases_expire(shop: RunningShop) -> None:
    shop.run("--only", "finance", "sales")
    other = shop.run_another("--only", "finance")
    until(lambda: shares(shop) == [4, 4], "two share")
    shop.pause(other)
    published = [str(shop.publish(customer=customer)) for customer in CUSTOMERS]
    until(lambda: len(shop.billed()) == len(published), "the other host bills everything")
    until(lambda: shares(shop) == [8], "it holds all partitions")
    os.killpg(other.pid, signal.SIGKILL)

    everything_is_billed_once(shop, published)


@servers_only
def test_a_handler_that_takes_longer_than_a_lease_runs_once_however_many_workers_there_are(shop: RunningShop) -> None:
    shop.run("--only", "finance", "sales", "--workers", "2")
    until(lambda: shares(shop) == [4, 4], "two share")
    before = epochs(shop)
    published = [str(shop.publish("takes longer than a lease"))]
    until(lambda: shop.billed() == published, "it is billed")

    assert epochs(shop) == before, "nobody took over what was being handled"


@servers_only
def test_a_worker_that_wakes_after_its_lease_changes_nothing(shop: RunningShop) -> None:
    """It was paused in the middle of handling; others have handled the same meanwhile."""
    shop.run("--only", "finance", "sales")
    other = shop.run_another("--only", "finance")
    until(lambda: shares(shop) == [4, 4], "two share")
    published = [str(shop.publish("is slow", uuid4())) for _ in range(200)]
    until(lambda: len(shop.billed()) > 0, "it has begun")
    shop.pause(other)
    until(lambda: len(shop.billed()) == len(published), "the other host bills everything")
    os.killpg(other.pid, signal.SIGCONT)
    published += [str(shop.publish(customer=customer)) for customer in CUSTOMERS]

    everything_is_billed_once(shop, published)


def test_threads_of_one_process_share_the_partitions(shop: RunningShop) -> None:
    shop.run("--threads", "2")
    published = [str(shop.publish("is slow", customer)) for customer in CUSTOMERS * 3]

    everything_is_billed_once(shop, published)
    until(lambda: shares(shop) == [8], "they are one process")
