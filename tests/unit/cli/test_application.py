"""What commands ask of all components: one whose database cannot be read hides nothing of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.any_store import sqlite_only
from support.command_line import Run
from support.processes import RunningShop

APP = "support.process_shop:system"
LEFT_OUT = "finance is left out: "
REASON = "is no SQLite database that can be read"
pytestmark = sqlite_only


@pytest.fixture
def damaged(shop: RunningShop, monkeypatch: pytest.MonkeyPatch) -> RunningShop:
    """A shop in which Shipping has a dead letter, and the database of Finance is damaged."""
    monkeypatch.setattr("support.process_shop.insert", fail)
    shop.publish()
    shop.opened.settle(failures="park")
    with shop.opened.connection(shop.opened.components["shipping"]) as connection:
        connection.execute("update preterite_parked set state = 'dead'")
    other = Path(f"{shop.urls['finance'].removeprefix('sqlite:///')}-damaged")
    other.write_bytes(b"damaged" * 1000)
    monkeypatch.setenv("PRETERITE_FINANCE_URL", f"sqlite:///{other}")
    return shop


def fail(*_: object) -> None:
    raise RuntimeError("no price")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["dead-letters", "list"], "shipping/1"),
        (["dead-letters", "groups"], "shipping.ship"),
        (["dead-letters", "audit"], "no decisions in the components that can be read"),
        (["dead-letters", "plan", "--all"], "shipping: 1 dead letter would run again"),
        (["dead-letters", "redrive", "--all", "--at-once"], "shipping: 1 redriven"),
        (["dead-letters", "discard", "--all", "--reason", "test"], "shipping: 1 discarded"),
        (["replay", "status"], "no replays in the components that can be read"),
        (["migrate", "status"], "shipping"),
        (["migrate", "up"], "shipping"),
        (["recover", "plan"], ""),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_command_leaves_out_a_component_that_cannot_be_read_and_says_so(
    run: Run, damaged: RunningShop, words: list[str], shown: str
) -> None:
    code, out, said = run(*words, "-A", APP)

    assert code == 6
    assert shown in out
    assert LEFT_OUT in said
    assert REASON in said


def test_a_group_is_found_beside_a_component_that_cannot_be_read(run: Run, damaged: RunningShop) -> None:
    _, groups, _ = run("dead-letters", "groups", "-A", APP, "--json")
    noted, _, _ = run("dead-letters", "note", json.loads(groups)[0]["group"], "add the price", "-A", APP)

    assert noted == 0


def test_a_plan_of_a_recovery_does_not_say_that_all_is_well_where_a_component_was_left_out(
    run: Run, damaged: RunningShop
) -> None:
    _, out, _ = run("recover", "plan", "-A", APP)

    assert "nothing is gone" not in out


def test_a_component_that_was_asked_for_is_not_left_out(run: Run, damaged: RunningShop) -> None:
    code, _, said = run("dead-letters", "list", "-A", APP, "--component", "finance")

    assert code not in (0, 6)
    assert said.startswith("preterite: ")
    assert REASON in said
