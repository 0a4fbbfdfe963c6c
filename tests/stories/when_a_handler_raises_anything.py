"""Whatever a handler raises: its own event becomes a dead letter with its own reason, and all others are handled."""

from __future__ import annotations

import select
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.any_store import Connection, own_connection, servers_only, sql, started
from support.raised import RAISED, chain, noted, recurse, ring
from support.shop import (
    ItemPurchased,
    bills,
    declare,
    handle_all,
    id_of,
    insert_bill,
    letters,
    publish,
    purchased,
    texts,
)

from preterite import Recoverability
from preterite.hosting.host import Host

NEIGHBOURS = [f"neighbour {number}" for number in range(20)]
ONCE = Recoverability(immediate_retries=0, delayed_retries=0)


def outcome(raising: Callable[[], object], *, by_host: bool) -> tuple[list[str], list[str]]:
    """What is billed, and the failures of the dead letters, where one of 21 purchases meets a handler that fails."""
    shop = declare(bills=False, recoverability=ONCE)

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: Connection) -> None:
        if event.purchase_id == id_of("culprit"):
            raising()
        insert_bill(connection, event)

    with started(shop.system) as opened:
        names = [*NEIGHBOURS[:7], "culprit", *NEIGHBOURS[7:]]
        publish(opened, shop.sales, *(purchased(name, name) for name in names))
        if by_host:
            with Host(opened.runtime):
                opened.wait_settled()
        else:
            opened.settle(failures="park")
        dead = letters(opened, shop.finance)
        return sorted(bills(opened, shop.finance)), [letter.failure.error for letter in dead if letter.failure]


@pytest.mark.parametrize("name", RAISED, ids=lambda name: name[:30])
def test_what_one_handler_raises_holds_up_no_other_event(name: str) -> None:
    def raising() -> None:
        raise RAISED[name]()

    assert outcome(raising, by_host=True) == (sorted(texts(*NEIGHBOURS)), [name])
    if name != "KeyboardInterrupt":
        assert outcome(raising, by_host=False) == (sorted(texts(*NEIGHBOURS)), [name])


def test_ctrl_c_while_a_handler_runs_ends_settle() -> None:
    def raising() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcome(raising, by_host=False)


@pytest.mark.parametrize("error", [chain(5_000), ring(), noted()], ids=["chain", "ring", "noted"])
def test_causes_without_end_are_a_failure_like_others(error: Exception) -> None:
    def raising() -> None:
        raise error

    assert outcome(raising, by_host=False) == (sorted(texts(*NEIGHBOURS)), ["ValueError"])


def test_a_handler_that_recurses_without_end_is_a_failure_like_others() -> None:
    assert outcome(recurse, by_host=False) == (sorted(texts(*NEIGHBOURS)), ["RecursionError"])


def test_another_database_that_is_unavailable_for_many_events_holds_up_no_others(tmp_path: Path) -> None:
    shop = declare(bills=False, recoverability=ONCE)
    culprits = [f"culprit {number}" for number in range(5)]

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: Connection) -> None:
        if event.purchase_id in {id_of(name) for name in culprits}:
            sqlite3.connect(tmp_path / "no folder" / "other.sqlite")
        insert_bill(connection, event)

    with started(shop.system) as opened, Host(opened.runtime):
        names = [name for pair in zip(culprits, NEIGHBOURS, strict=False) for name in pair]
        publish(opened, shop.sales, *(purchased(name, name) for name in [*names, *NEIGHBOURS[len(culprits) :]]))
        opened.wait_settled()

        assert sorted(bills(opened, shop.finance)) == sorted(texts(*NEIGHBOURS))
        assert len(letters(opened, shop.finance)) == len(culprits)


def _waits_for_a_lock(connection: Any) -> None:
    connection.execute("select pg_advisory_xact_lock(5)")


def _is_idle(connection: Any) -> None:
    """Return when the server has ended the session."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    waiting.poll()


def _computes(connection: Any) -> None:
    connection.execute("select pg_sleep(60)")


LIMITS: dict[str, tuple[Callable[[Any], None], str]] = {
    "lock_timeout": (_waits_for_a_lock, "LockNotAvailable"),
    "idle_in_transaction_session_timeout": (_is_idle, "ProcessDied"),
    "statement_timeout": (_computes, "QueryCanceled"),
}
"""Limits that an administrator has set for all sessions of a database, a handler that reaches each, and its failure."""


@servers_only
@pytest.mark.parametrize("by_host", [False, True], ids=["settle", "host"])
@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_of_the_server_that_a_few_handlers_reach_holds_up_no_others(limit: str, by_host: bool) -> None:
    shop = declare(bills=False, recoverability=ONCE)
    culprits = [f"culprit {number}" for number in range(3)]
    reach, failure = LIMITS[limit]

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased, connection: Connection) -> None:
        insert_bill(connection, event)
        if event.purchase_id in {id_of(name) for name in culprits}:
            reach(connection)

    with started(shop.system) as opened, own_connection(opened.databases["finance"]) as administrator:
        administrator.execute(sql("select pg_advisory_xact_lock(5)"))
        with own_connection(opened.databases["finance"]) as one:
            name = one.execute(sql("select current_database()")).fetchone()[0]
            one.execute(sql(f"alter database {name} set {limit} to '300ms'"))
        administrator.execute(sql(f"set {limit} to 0"))
        names = [name for pair in zip(culprits, NEIGHBOURS, strict=False) for name in pair]
        publish(opened, shop.sales, *(purchased(name, name) for name in [*names, *NEIGHBOURS[len(culprits) :]]))
        handle_all(opened, by_host=by_host)
        failures = [one.failure.error for one in letters(opened, shop.finance) if one.failure is not None]

        assert sorted(bills(opened, shop.finance)) == sorted(texts(*NEIGHBOURS))
        assert failures == [failure] * len(culprits)
