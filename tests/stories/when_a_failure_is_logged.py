"""A handler's failure is logged where it happens: once for each group, and each dead letter, within a bound."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from pathlib import Path

import pytest
from support.any_store import started
from support.processes import running_shop, until
from support.shop import ItemPurchased, declare, id_of, letters, publish, purchased

from preterite import Recoverability
from preterite.clock import SystemClock
from preterite.handling import failure
from preterite.log.contract import Record, Stream
from preterite.store.rows import Failure, Parked

NEVER_AGAIN = Recoverability(immediate_retries=0, delayed_retries=0)
ONCE_AGAIN = Recoverability(immediate_retries=0, delayed_retries=1, first_delay_seconds=60.0)


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Level and text of each message about a component's failures."""
    return [(one.levelname, one.getMessage()) for one in caplog.records if one.levelno >= logging.WARNING]


def test_a_failure_is_a_warning_when_its_group_is_new_and_an_error_when_it_is_a_dead_letter(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = declare(fails=lambda _purchase: True, recoverability=ONCE_AGAIN)
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a", "anna"), purchased("b", "ben"))
        opened.settle(failures="park")
        first = logged(caplog)
        opened.clock.advance(timedelta(minutes=2))
        opened.settle(failures="park")
        identifiers = {one.record.event_id.hex() for one in letters(opened, shop.finance)}
    errors = [text for level, text in logged(caplog)[1:] if level == "ERROR"]

    assert [level for level, _ in first] == ["WARNING"]
    for part in (
        "finance: handler bill failed on sales.ItemPurchased ",
        "RuntimeError: no price for ",
        "shop.py:",
    ):
        assert part in first[0][1]
    assert len(logged(caplog)) == 3
    assert {text.split("ItemPurchased ")[1].split(" ")[0].replace("-", "") for text in errors} == identifiers
    assert all("dead letter, after 2 attempts" in text for text in errors)


@pytest.mark.parametrize("text", ["No price for 85123A.", "No price for 85123A", "It has no price.\n"])
def test_a_line_about_a_failure_has_no_two_periods_in_a_row_whatever_the_exception_says(
    caplog: pytest.LogCaptureFixture, text: str
) -> None:
    shop = declare(bills=False, recoverability=ONCE_AGAIN)

    @shop.finance.handles(ItemPurchased)
    def bill(event: ItemPurchased) -> None:
        raise LookupError(text)

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")
        opened.clock.advance(timedelta(minutes=2))
        opened.settle(failures="park")
    lines = [line for _, line in logged(caplog)]

    assert [line.rpartition("py:")[2].partition(" ")[2] for line in lines] == [
        "It is retried.",
        "It is a dead letter, after 2 attempts: preterite dead-letters list",
    ]
    assert [line for line in lines if re.search(r"\.\s*\.|[.] at |\\n", line)] == []


def test_logging_that_raises_fails_no_work_and_its_lines_go_to_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(_record: logging.LogRecord) -> bool:
        raise ZeroDivisionError

    shop = declare(fails=lambda purchase: purchase == id_of("a"), recoverability=NEVER_AGAIN)
    logging.getLogger("preterite").addFilter(refuse)
    try:
        with started(shop.system) as opened:
            publish(opened, shop.sales, purchased("a", "anna"), purchased("b", "ben"))
            opened.settle(failures="park")
            assert len(letters(opened, shop.finance)) == 1
            assert opened.status()["finance"].is_quiet
    finally:
        logging.getLogger("preterite").removeFilter(refuse)

    assert "(the application's logging raised ZeroDivisionError)" in capsys.readouterr().err


def test_an_event_that_is_a_dead_letter_at_once_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    shop = declare(fails=lambda _purchase: True, recoverability=NEVER_AGAIN)
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")
        opened.settle(failures="park")

    assert [level for level, _ in logged(caplog)] == ["ERROR"]


def test_what_is_beyond_the_bound_is_counted_and_the_count_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure, "LINES_MAX", 2)
    shop = declare(fails=lambda _purchase: True, recoverability=NEVER_AGAIN)
    with started(shop.system) as opened:
        publish(opened, shop.sales, *(purchased(name, name) for name in "abcde"))
        opened.settle(failures="park")

        assert len(letters(opened, shop.finance)) == 5
        assert len(logged(caplog)) == 2
    assert logged(caplog)[2:] == [
        ("ERROR", "finance: 3 more dead letters were not logged: preterite dead-letters groups")
    ]


def test_foreign_text_cannot_forge_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    shop = declare(bills=False, recoverability=NEVER_AGAIN)

    @shop.finance.handles(ItemPurchased)
    def bill(_event: ItemPurchased) -> None:
        raise ValueError("over\n12:00:00 all is well \x1b[2J")

    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        opened.settle(failures="park")

    assert "over\\n12:00:00 all is well \\u001b[2J" in logged(caplog)[0][1]
    assert "\n" not in logged(caplog)[0][1]


def test_a_record_that_cannot_be_read_is_a_dead_letter_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    shop = declare()
    with started(shop.system) as opened:
        publish(opened, shop.sales, purchased("a"))
        relay = opened.runtime.relay("sales")
        relay.step()
        relay.close()
        stream = next(Stream("sales", n) for n in range(8) if opened.log.end(Stream("sales", n)).number)
        record = Record(stream, "event", opened.log.end(stream).epoch, 2, b"another", b"no envelope")
        opened.log.append([record])
        receiver = opened.runtime.receiver("finance")
        while receiver.step():
            pass
        receiver.close()

    assert [level for level, _ in logged(caplog)] == ["ERROR"]
    assert f"no handler gets event 616e6f74686572 ({stream} number 2): Undecodable" in logged(caplog)[0][1]


class SteppingClock(SystemClock):
    """Machine time that a test moves."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


def failed(place: str) -> Parked:
    record = Record(Stream("sales", 0), "event", 1, 1, id_of("a").bytes, b"")
    told = Failure("ValueError", "no price", place, "")
    return Parked(handler="bill", lane="", record=record, key=None, type="sales.ItemPurchased", failure=told)


def test_a_group_is_new_again_after_a_while_and_a_bounded_number_is_remembered(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure, "GROUPS_MAX", 2)
    clock = SteppingClock()
    log = failure.FailureLog("finance", clock)
    counts: list[int] = []
    for place, seconds in (("a:1", 0), ("a:1", 1), ("b:2", 2), ("a:1", failure.GROUP_SECONDS), ("c:3", 0), ("b:2", 0)):
        clock.seconds += seconds
        log.report([failed(place), failed(place)])
        counts.append(len(caplog.records))

    assert counts == [1, 1, 2, 3, 4, 5], "b:2 was forgotten for c:3"


def test_what_was_left_out_is_logged_once_the_time_of_the_bound_is_over(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure, "LINES_MAX", 1)
    clock = SteppingClock()
    log = failure.FailureLog("finance", clock)
    log.report([failed("a:1"), failed("b:2"), failed("c:3")])
    log.report_left_out()
    meanwhile = len(caplog.records)
    clock.seconds += failure.LINES_SECONDS
    log.report_left_out()
    log.report_left_out()

    assert meanwhile == 1
    assert [text for _, text in logged(caplog)][1:] == ["finance: 2 more failures of new groups were not logged"]


@pytest.mark.slow("processes")
def test_preterite_run_logs_failures_on_stderr_once(tmp_path: Path) -> None:
    with running_shop(tmp_path) as shop:
        shop.run()
        shop.publish("raises always")
        until(lambda: "is a dead letter" in shop.errors(), "the dead letter is logged")
        shop.stop()

        assert shop.errors().count("handler bill failed on sales.ItemPurchased") == 2
        assert shop.errors().count("RuntimeError: no price at process_shop.py:") == 2
