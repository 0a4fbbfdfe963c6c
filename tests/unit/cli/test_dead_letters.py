"""`preterite dead-letters` and `preterite replay`: what people see and decide, over a shop whose workers run."""

from __future__ import annotations

import json
import re

import pytest
from support.command_line import Run
from support.process_shop import finance
from support.processes import RunningShop

APP = "support.process_shop:system"


def fail(shop: RunningShop, times: int) -> None:
    for _ in range(times):
        shop.publish("raises always")
    shop.opened.settle(failures="park")
    with shop.opened.connection(finance) as connection:
        connection.execute("update preterite_parked set state = 'dead' where attempts > 0")


def group(run: Run) -> str:
    return json.loads(run("dead-letters", "groups", "-A", APP, "--json")[1])[0]["group"]


def test_groups_show_what_failed_and_the_note_that_was_written(run: Run, shop: RunningShop) -> None:
    none = run("dead-letters", "groups", "-A", APP)
    fail(shop, 3)
    name = group(run)
    noted = run("dead-letters", "note", "-A", APP, name, "add", "the", "price", "--as", "ops")
    shown = run("dead-letters", "groups", "-A", APP)

    assert none[:2] == (0, "no dead letters\n")
    assert noted[:2] == (0, f"noted; the note is shown whenever {name} comes back\n")
    assert re.search(rf"{name} +finance\.bill +RuntimeError +process_shop\.py:\d+ +3 ", shown[1])
    assert "note of ops" in shown[1]
    assert "add the price" in shown[1]


def test_a_plan_says_what_would_happen(run: Run, shop: RunningShop) -> None:
    fail(shop, 7)
    code, out, _ = run("dead-letters", "plan", "-A", APP, "--group", group(run))

    assert code == 0
    assert "finance: 7 dead letters would run again, oldest first" in out
    assert "will run      7 with bill" in out
    assert "steps         1 → 5 → 1" in out
    assert len(json.loads(run("dead-letters", "list", "-A", APP, "--json")[1])) == 7


@pytest.mark.slow("processes")
def test_a_redrive_waits_for_the_workers_and_stops_when_dead_letters_fail_again(run: Run, shop: RunningShop) -> None:
    fail(shop, 3)
    shop.run()
    code, out, err = run("dead-letters", "redrive", "-A", APP, "--group", group(run), "--reason", "let us see")
    audit = run("dead-letters", "audit", "-A", APP)

    assert code == 6
    assert (
        "0 redriven and handled, 1 failed again; stopped, because more than 5 % failed again; 2 were not redriven"
        in out
    )
    assert "0 of 3 handled, 1 failed again" in err
    assert re.search(r"finance +redrive +\d+ +let us see", audit[1])


@pytest.mark.slow("processes")
def test_an_edited_dead_letter_is_redriven_and_handled(run: Run, shop: RunningShop) -> None:
    fail(shop, 2)
    letter = json.loads(run("dead-letters", "list", "-A", APP, "--json")[1])[0]["dead_letter"]
    edited = run("dead-letters", "edit", "-A", APP, letter, "what=", "--reason", "a typing error")
    shown = run("dead-letters", "show", "-A", APP, letter)
    refused = run("dead-letters", "edit", "-A", APP, letter, "price=3", "--reason", "a typing error")
    shop.run()
    redriven = run("dead-letters", "redrive", "-A", APP, letter)

    assert edited[0] == 0
    assert '"what":"raises always"' in shown[1].partition("original")[2]
    assert (refused[0], len(refused[2].splitlines())) == (1, 1)
    assert "has no field 'price'" in refused[2]
    assert redriven[:2] == (0, "finance: 1 redriven and handled\n")
    assert len(shop.billed()) == 1


def test_a_redrive_of_a_component_that_does_not_run_says_so_and_that_it_was_not_run(
    run: Run, shop: RunningShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preterite.cli.dead_letter_decisions.STEP_SECONDS", 0.0)
    fail(shop, 1)
    shop.opened.close()
    code, out, err = run("dead-letters", "redrive", "-A", APP, "--all")

    assert code == 6
    assert err.startswith("finance does not run; start it: preterite run. The redrive waits for it, 0 s\n")
    assert "1 was not run within 0 s" in out


def test_the_oldest_are_chosen_by_their_number(run: Run, shop: RunningShop) -> None:
    fail(shop, 4)
    done = run("dead-letters", "discard", "-A", APP, "--oldest", "3", "--component", "finance", "--reason", "test data")

    assert done[:2] == (0, "finance: 3 discarded\n")
    assert len(json.loads(run("dead-letters", "list", "-A", APP, "--json")[1])) == 1
    assert json.loads(run("dead-letters", "audit", "-A", APP, "--json")[1])[0]["reason"] == "test data"


# replays


def test_history_is_planned_rehearsed_and_fed(run: Run, shop: RunningShop) -> None:
    for _ in range(4):
        shop.publish()
    shop.opened.settle()
    planned = run("replay", "plan", "-A", APP, "--to", "shipping", "--again")
    rehearsed = run("replay", "rehearse", "-A", APP, "--to", "shipping.ship", "--again")
    started = run(
        "replay", "start", "-A", APP, "--to", "shipping.ship", "--again", "--rate", "0", "--reason", "lost rows"
    )
    shop.opened.settle()
    status = run("replay", "status", "-A", APP)
    as_json = json.loads(run("replay", "status", "-A", APP, "--json")[1])

    assert re.search(r"shipping\.ship +4 +4", planned[1])
    assert "4 events, about 0 s at 500 a second" in planned[1]
    assert rehearsed[0] == 0
    assert "4 events replayed" in rehearsed[1]
    assert re.search(r"bill +4 +0", rehearsed[1])
    assert "the same result twice: yes" in rehearsed[1]
    assert started[:2] == (
        0,
        "replay shipping/1 starts when a worker of shipping runs; preterite replay status shows it\n",
    )
    assert re.search(r"shipping/1 +done +ship +4 +0 +-", status[1])
    assert (as_json[0]["state"], as_json[0]["replayed"], as_json[0]["left"]) == ("done", 4, 0)
    assert len(shop.shipped()) == 8


def test_a_replay_is_paused_resumed_and_cancelled(run: Run, shop: RunningShop) -> None:
    for _ in range(4):
        shop.publish()
    shop.opened.settle()
    run("replay", "start", "-A", APP, "--to", "shipping", "--again")
    paused = run("replay", "pause", "-A", APP, "shipping/1")
    shop.opened.settle()
    fed_while_paused = len(shop.shipped())
    said = [run("replay", what, "-A", APP, "shipping/1") for what in ("resume", "cancel")]
    at_once = run("replay", "status", "-A", APP)
    shop.opened.settle()
    status = run("replay", "status", "-A", APP)

    assert paused[:2] == (0, "replay shipping/1 is paused\n")
    assert fed_while_paused == 4
    assert [code for code, _, _ in said] == [0, 0]
    assert "cancelled" in status[1]
    assert re.search(r"shipping/1 +cancelled", at_once[1]), "also before a worker has ended it"
    assert len(shop.shipped()) == 4


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("plan", "-A", APP, "--to", "shipping.fax"), 2, "shipping has no handler 'fax' of an event; it has ship."),
        (("rehearse", "-A", APP, "--to", "shipping"), 1, "shipping has read nothing yet"),
        (("plan", "-A", APP, "--to", "shipping", "--publish"), 2, "--publish needs --again"),
        (("plan", "-A", APP, "--to", "sales"), 1, "sales subscribes to no events"),
        (("plan", "-A", APP, "--to", "shiping"), 2, "Did you mean 'shipping'?"),
        (("plan", "-A", APP, "--to", "shipping", "--from", "yesterday"), 2, "'yesterday' is not valid for --from"),
        (
            ("start", "-A", APP, "--to", "shipping", "--rate", "-1"),
            2,
            "--rate '-1' is not a rate; write",
        ),
        (("start", "-A", APP, "--to", "shipping", "--rate", "fast"), 2, "--rate 'fast' is not a rate"),
        (("start", "-A", APP, "--to", "shipping"), 1, "shipping has read nothing yet"),
        (("pause", "-A", APP, "shipping/7"), 2, "There is no replay shipping/7; preterite replay status shows those"),
        (("pause", "-A", APP, "shipping"), 2, "'shipping' names no replay; write COMPONENT/NUMBER, as in finance/1."),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    run: Run, shop: RunningShop, words: tuple[str, ...], code: int, says: str
) -> None:
    found = run("replay", *words)

    assert shop.opened.name == "shop"
    assert found[0] == code
    assert says in found[2]
    assert len(found[2].splitlines()) == 1


def test_dead_letters_of_a_retired_handler_are_not_redriven_and_can_be_discarded(run: Run, shop: RunningShop) -> None:
    fail(shop, 1)
    name = json.loads(run("dead-letters", "list", "-A", APP, "--json")[1])[0]["dead_letter"]
    with shop.opened.connection(finance) as connection:
        connection.execute("update preterite_parked set handler = 'former'")
        connection.execute("insert into preterite_handler values ('former', 'sales.ItemPurchased', 'former', '', 0, 1)")
    planned = run("dead-letters", "plan", "-A", APP, name)
    at_once = run("dead-letters", "redrive", "-A", APP, name, "--at-once")
    in_steps = run("dead-letters", "redrive", "-A", APP, "--all")
    discarded = run("dead-letters", "discard", "-A", APP, name, "--reason", "its handler is gone")

    assert f"retired       {name}: the handler is retired; discard what it left" in planned[1]
    assert at_once[:2] == (
        6,
        f"finance: 0 redriven; the handler of {name} is retired: discard it\n",
    )
    assert in_steps[0] == 6
    assert discarded[:2] == (0, "finance: 1 discarded\n")
    assert run("dead-letters", "list", "-A", APP)[1] == "no dead letters\n"
