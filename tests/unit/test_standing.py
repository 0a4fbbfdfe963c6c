"""How components stand: what is unsent, behind, parked, dead, stopped; read without changing anything."""

from __future__ import annotations

from small_shop import declare, publish, purchased

from preterite import Recoverability
from preterite.log import Stream
from preterite.standing import NOTHING, Standing
from preterite.testing import started


def test_what_is_published_is_unsent_then_behind_then_done() -> None:
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"), purchased("b", "ben"))
        committed = opened.look()
        relay = opened.relay("sales")
        relay.step()
        sent = opened.look()
        relay.close()
        opened.settle()
        done = opened.look()

    assert (committed["sales"].unsent, committed["finance"].behind) == (2, 0)
    assert (sent["sales"].unsent, sent["finance"].behind) == (0, 2)
    assert (done["sales"].is_quiet, done["finance"].is_quiet) == (True, True)
    assert (done["sales"].numbered, done["finance"].numbered) == (2, 2)
    assert not done["sales"].hears


def test_it_runs_while_somebody_holds_its_leases() -> None:
    shop = declare()
    with started(shop.system) as opened:
        before = opened.look()["sales"].state
        relay = opened.relay("sales")
        relay.step()
        running = opened.look()["sales"].state
        relay.close()

        assert (before, running, opened.look()["sales"].state) == ("off", "running", "off")


def test_what_needs_a_person_is_said_in_words() -> None:
    counts = NOTHING._replace(dead=2, voids=1, relay_stopped="the log holds more")
    standing = Standing(
        "sales", "running", counts, 7, 0, True, 0, {Stream("finance", 3): "number 5 is missing"}, ("mail",)
    )

    assert standing.needs == [
        "sales: number 5 is missing",
        "sales announces nothing: the log holds more",
        "sales has 2 dead letters",
        "sales has 1 events in its journal that the log does not take",
        "sales has handlers in force that are not declared: mail",
    ]


def test_a_retry_that_is_due_later_is_no_unrest() -> None:
    shop = declare(fails=lambda _purchase: True, recoverability=Recoverability(immediate_retries=0))
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")

        assert opened.look()["finance"].is_quiet
        assert opened.look()["finance"].counts.next_due_at is not None
