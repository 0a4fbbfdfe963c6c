"""What facts mean for an operator: problems, each a sentence, and one verdict. Pure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preterite.log.contract import Stream
from preterite.operations.status import (
    NO_PROGRESS_SECONDS,
    NOTHING,
    WAL_NOTICE_BYTES,
    Backlog,
    ComponentStatus,
    ObservedHandler,
    verdict,
)

LONG = NO_PROGRESS_SECONDS + 1.0
RUNNING = ComponentStatus("sales", "running", NOTHING, 0, 0, subscribes=True, lag=0, stalled={}, lacking=())


def test_every_problem_is_one_sentence() -> None:
    counts = NOTHING._replace(dead=2, voids=1, relay_halt="the log holds more")
    status = ComponentStatus(
        "sales", "running", counts, 7, 0, True, 0, {Stream("finance", 3): "number 5 is missing"}, ("mail",)
    )

    assert status.problems == [
        "sales: number 5 is missing",
        "sales publishes nothing: the log holds more",
        "sales has 2 dead letters: preterite dead-letters list",
        "sales has 1 event in its journal that the log refused",
        "sales has active handlers that this program does not declare: mail; "
        "if they were removed on purpose: preterite retire sales mail",
    ]


def test_the_verdict_is_ok_degraded_or_down() -> None:
    running = RUNNING
    off = replace(running, component="finance", state="off")
    failing = replace(running, counts=NOTHING._replace(dead=1))
    unreachable = replace(off, state="unreachable", fault="no route to host")
    logless = replace(running, log_fault="no route to host")
    stalled = replace(running, stalled={Stream("finance", 3): "number 5 is missing"})

    assert verdict([running, running]) == "OK"
    assert verdict([running, replace(running, outbox=7, lag=9)]) == "OK"
    assert verdict([running, off]) == verdict([running, failing]) == verdict([running, stalled]) == "DEGRADED"
    assert verdict([off, off]) == verdict([off, replace(failing, state="off")]) == verdict([]) == "DOWN"
    assert verdict([running, unreachable]) == "DEGRADED"
    assert verdict([unreachable, unreachable]) == verdict([running, logless]) == "DOWN"


@pytest.mark.parametrize(
    ("backlog", "seconds"),
    [
        (Backlog("in the log", 0, LONG, LONG), None),
        (Backlog("in the log", 3, 1.0, LONG), None),
        (Backlog("in the log", 3, LONG, 1.0), None),
        (Backlog("in the log", 3, LONG, 2 * LONG), LONG),
        (Backlog("in the log", 3, 2 * LONG, None), 2 * LONG),
        (Backlog("in the log", 3, None, LONG), LONG),
        (Backlog("in the log", 3, None, None), None),
    ],
)
def test_no_progress_is_that_something_waits_for_long_and_nothing_was_taken_for_as_long(
    backlog: Backlog, seconds: float | None
) -> None:
    status = replace(RUNNING, backlogs=(Backlog("in its outbox", 0), backlog))

    assert status.no_progress_seconds == seconds
    assert (verdict([RUNNING, status]) == "OK") == (seconds is None)


def test_a_handler_that_is_seen_at_work_is_shown_and_no_problem() -> None:
    handling = ObservedHandler("bill", LONG, 60.0)
    waiting = Backlog("in the log", 3, 2 * LONG, LONG, handling)
    status = replace(RUNNING, backlogs=(waiting,))

    assert (status.handling, status.no_progress_seconds, verdict([status])) == (handling, None, "OK")
    assert status.notices == [
        "sales has been running bill for 16 s (its time limit is 60 s), and 3 events wait in the log"
    ]


def test_a_handler_that_nothing_waits_for_is_not_shown() -> None:
    status = replace(RUNNING, backlogs=(Backlog("in the log", 3, 1.0, 1.0, ObservedHandler("bill", 20.0, 60.0)),))

    assert (status.handling, status.notices, verdict([status])) == (None, [], "OK")


def test_a_large_write_ahead_log_is_a_notice_and_no_problem() -> None:
    held = replace(RUNNING, wal_bytes=WAL_NOTICE_BYTES + 1)

    assert [notice.partition(":")[0] for notice in held.notices] == ["sales has a write-ahead log of 16 MiB"]
    assert (replace(held, wal_bytes=WAL_NOTICE_BYTES).notices, verdict([held])) == ([], "OK")


def test_a_large_write_ahead_log_of_the_logs_file_is_a_notice_and_no_problem() -> None:
    held = replace(RUNNING, log_wal_bytes=WAL_NOTICE_BYTES + 1)

    assert [notice.partition(":")[0] for notice in held.notices] == ["the log's file has a write-ahead log of 16 MiB"]
    assert (replace(held, log_wal_bytes=WAL_NOTICE_BYTES).notices, verdict([held])) == ([], "OK")


def test_what_waits_is_told_with_how_much_and_for_how_long() -> None:
    status = replace(RUNNING, backlogs=(Backlog("in its outbox", 1, 3.0), Backlog("in the log", 1200, LONG, 90.0)))

    assert status.problems == ["sales: no progress for 16 s although 1,200 events wait in the log"]
    assert replace(status, state="off").problems == [
        "sales does not run, and 1 event waits in its outbox",
        "sales: no progress for 16 s although 1,200 events wait in the log",
    ]
    assert status.oldest_seconds == LONG


def test_what_cannot_be_read_is_told_with_the_reason_and_without_numbers() -> None:
    status = replace(RUNNING, state="unreachable", fault="no route to host", log_fault="it is locked")

    assert status.problems == ["the log is unreachable: it is locked", "sales is unreachable: no route to host"]
    assert not status.is_quiet
