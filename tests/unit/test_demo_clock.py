"""The business clock of a demo: the same for all who share its log, moved by hand, never back."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from preterite.clock import SystemClock
from preterite.demo_clock import SharedClock
from preterite.errors import UsageError
from preterite.log import connect
from preterite.log.contract import Log, LogIdentity

AT = datetime(2113, 1, 17, tzinfo=UTC)


@pytest.fixture
def two_logs(tmp_path: Path) -> Generator[tuple[Log, Log]]:
    """The same log, as two processes have it open."""
    url = f"sqlite:///{tmp_path}/log.sqlite"
    opened = [connect(url, LogIdentity("shop", UUID(int=1), 8), SystemClock()) for _ in range(2)]
    yield opened[0], opened[1]
    for log in opened:
        log.close()


def test_it_is_the_machines_until_it_is_moved(two_logs: tuple[Log, Log]) -> None:
    clock = SharedClock(two_logs[0])

    assert abs(clock.now() - SystemClock().now()) < timedelta(minutes=1)
    assert not clock.frozen


def test_every_process_sees_a_move_at_its_next_look(two_logs: tuple[Log, Log]) -> None:
    mine, theirs = (SharedClock(log) for log in two_logs)
    before = theirs.now()
    mine.freeze()
    mine.to(AT)
    first = theirs.now()
    mine.advance(timedelta(days=1))

    assert before < AT
    assert first == AT
    assert theirs.now() == mine.now() == AT + timedelta(days=1)
    assert theirs.frozen


def test_a_clock_that_goes_on_goes_on_from_where_it_was_set(two_logs: tuple[Log, Log]) -> None:
    clock = SharedClock(two_logs[0])
    clock.to(AT)

    assert AT <= clock.now() < AT + timedelta(minutes=1)


def test_one_that_stood_still_can_go_on(two_logs: tuple[Log, Log]) -> None:
    clock = SharedClock(two_logs[0])
    clock.freeze()
    clock.to(AT)
    clock.run()

    assert not clock.frozen
    assert AT <= clock.now() < AT + timedelta(minutes=1)


def test_it_does_not_go_back(two_logs: tuple[Log, Log]) -> None:
    clock = SharedClock(two_logs[0])
    clock.freeze()
    clock.to(AT)
    with pytest.raises(UsageError, match="cannot go back to 2113-01-16"):
        clock.to(AT - timedelta(days=1))
    with pytest.raises(UsageError, match="without zone"):
        clock.to(datetime(2114, 1, 1))

    assert clock.now() == AT
