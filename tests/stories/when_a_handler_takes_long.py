"""The status tells a handler that is at work for long from a worker that stands still: it is seen at work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import RunningShop, running_shop, until

from preterite.leases import LEASE_SECONDS
from preterite.operations.status import ComponentStatus, verdict

pytestmark = pytest.mark.slow("processes")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[RunningShop]:
    with running_shop(tmp_path) as shop:
        yield shop


def test_a_handler_at_work_is_seen_and_named_beyond_its_leases_and_the_status_is_ok(
    shop: RunningShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preterite.operations.status.NO_PROGRESS_SECONDS", 4.0)
    shop.time_limit_seconds = 3600.0
    shop.run()
    shop.publish()
    until(lambda: len(shop.billed()) == 1, "the first one is billed")
    shop.publish("sleeps for ever")
    for _ in range(3):
        shop.publish()

    def finance() -> ComponentStatus:
        return shop.opened.status()["finance"]

    def is_at_work() -> bool:
        handling = finance().handling
        return handling is not None and handling.seconds > 2 * LEASE_SECONDS

    until(is_at_work, "it is seen at work after its leases have run out")
    found = shop.opened.status()

    assert [notice.partition(" for ")[0] for notice in found["finance"].notices] == ["finance has been running bill"]
    assert (found["finance"].state, found["finance"].problems, verdict(found.values())) == ("running", [], "OK")
