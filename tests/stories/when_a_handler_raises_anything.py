"""Whatever a handler raises: its own event becomes a dead letter with its own reason, and all others are handled."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from support.any_store import Connection, started
from support.small_shop import ItemPurchased, bills, declare, id_of, insert_bill, letters, publish, purchased, texts

from preterite import Recoverability
from preterite.errors import Fenced, LogError, StoreUnavailable, TransactionConflict
from preterite.hosting.host import Host

NEIGHBOURS = [f"neighbour {number}" for number in range(20)]
ONCE = Recoverability(immediate_retries=0, delayed_retries=0)


class Panic(BaseException):
    """As libraries in Rust raise it."""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit("the text of this exception ends the process")


class NoText(Exception):
    def __str__(self) -> str:
        return cast(str, 7)


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1) + 1


def chain(length: int) -> Exception:
    """An exception with so many causes."""
    error: Exception = ValueError("the first")
    for number in range(length):
        following = ValueError(f"number {number}")
        following.__cause__ = error
        error = following
    return error


def ring() -> Exception:
    """An exception that is the cause of its cause."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    return one


RAISED: dict[str, Callable[[], BaseException]] = {
    "GeneratorExit": GeneratorExit,
    "Panic": lambda: Panic("called unwrap on a None value"),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("many", [SystemExit(1), Panic()]),
    "ExceptionGroup": lambda: ExceptionGroup("many", [ValueError(1)]),
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": StopIteration,
    "StopAsyncIteration": StopAsyncIteration,
    "MemoryError": MemoryError,
    "ValueError": lambda: ValueError("bad \x00 byte, file \udcff name"),
    "UnicodeEncodeError": lambda: UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"),
    "OSError": lambda: OSError("x" * 10_000_000),
    "Unprintable": Unprintable,
    "NoText": NoText,
    "N" * 200: type("N" * 100_000, (Exception,), {}),
    "RecursionError": RecursionError,
    "StoreUnavailable": lambda: StoreUnavailable("another database of this program"),
    "HandlerFailed": lambda: TransactionConflict("another unit of work of this program"),
    "Fenced": lambda: Fenced("another lease of this program"),
    "LogError": lambda: LogError("another log of this program"),
}
"""What is raised, by the name that the dead letter gives it."""


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


@pytest.mark.parametrize("error", [chain(5_000), ring()], ids=["chain", "ring"])
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
