"""The file, the calendar, the notebook and the comparison: what the replay itself decides."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from expected import FIGURES

from retail.demo import ORACLE, SAMPLE
from retail.replay.calendar import Cancellation, Moment, last_of_next_month, moments
from retail.replay.lines import (
    Line,
    WrongFile,
    baskets,
    countries,
    price_list,
    product_names,
    read,
    reason_against,
)
from retail.replay.names import customer_id, line_id, product_id
from retail.replay.notebook import Notebook, Progress
from retail.replay.progress import ProgressBar
from retail.replay.summary import differences, oracle_figures, text

HEADER = "invoice,stock_code,description,quantity,purchased_at,unit_price,customer,country\n"


def line(number: int = 1, **changed: Any) -> Line:
    fields: dict[str, Any] = {
        "number": number,
        "invoice": "536365",
        "code": "71053",
        "description": "LANTERN",
        "quantity": 6,
        "at": datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        "pence": 339,
        "customer": 17850,
        "country": "United Kingdom",
    }
    return Line(**{**fields, **changed})


def test_the_oracle_finds_every_figure_that_the_rules_state() -> None:
    found = oracle_figures(ORACLE, SAMPLE)

    assert {name: found[name] for name in FIGURES} == FIGURES
    assert found["shipped to"]["United Kingdom"] == 25_281
    assert (found["shipped to"]["Germany"], found["shipped to"]["France"]) == (652, 584)


def test_the_oracle_shares_nothing_with_the_example() -> None:
    source = ORACLE.read_text(encoding="utf-8")

    assert "retail" not in [word for text in source.splitlines() if "import" in text for word in text.split()]
    assert "preterite" not in source.lower().replace("no preterite", "")
    done = subprocess.run([sys.executable, "-I", ORACLE, SAMPLE], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["accepted"] == 28_583


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"customer": None, "quantity": -1}, "no customer"),
        ({"quantity": 0, "code": "POST"}, "return"),
        ({"code": "POST", "pence": 0}, "not a product"),
        ({"code": "7105", "pence": 5}, "not a product"),
        ({"code": "85123A"}, None),
        ({"pence": 0}, "no price"),
    ],
)
def test_the_first_reason_counts(changed: dict[str, Any], reason: str | None) -> None:
    assert reason_against(line(**changed)) == reason


def test_lines_are_read_in_time_order_and_what_cannot_be_read_is_kept_with_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "lines.csv"
    file.write_text(
        HEADER
        + "2,85123a, HEART ,1,2010-12-02T08:00:00,2.55,17850,France\n"
        + "1,71053,LANTERN,6,2010-12-01T08:26:00,3.39,,United Kingdom\n"
        + "3,71053,LANTERN,six,2010-12-01T08:26:00,3.39,1,United Kingdom\n"
        + "4,71053,LANTERN,6,yesterday,3.39,1,United Kingdom\n"
        + "5,71053\n"
    )
    lines, unreadable = read(file)

    assert [(one.number, one.code, one.description, one.pence, one.customer) for one in lines] == [
        (2, "71053", "LANTERN", 339, None),
        (1, "85123A", "HEART", 255, 17850),
    ]
    assert [one.number for one in unreadable] == [3, 4, 5]
    assert "six" in unreadable[0].reason


@pytest.mark.parametrize(
    ("content", "says"), [("a,b\n1,2\n", "has no column 'invoice'"), ("", "has no column 'invoice'")]
)
def test_a_file_of_other_columns_is_refused(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "lines.csv"
    file.write_text(content)

    with pytest.raises(WrongFile, match=says):
        read(file)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(WrongFile, match="cannot be read"):
        read(tmp_path / "nowhere.csv")


def test_consecutive_lines_of_an_invoice_and_time_are_one_basket() -> None:
    later = datetime(2010, 12, 1, 8, 27, tzinfo=UTC)
    lines = [line(1), line(2), line(3, at=later), line(4, invoice="536366", at=later), line(5, at=later)]

    assert [[one.number for one in basket] for basket in baskets(lines)] == [[1, 2], [3], [4], [5]]


def test_names_prices_and_countries_are_those_of_the_rules() -> None:
    noon = datetime(2010, 12, 1, 12, tzinfo=UTC)
    lines = [
        line(1, description="", pence=100),
        line(2, description="FREE", pence=0),
        line(3, description="FIRST", pence=200),
        line(4, description="SECOND", pence=300, at=noon),
        line(5, pence=300, at=noon.replace(hour=13)),
        line(6, pence=50, quantity=-1, at=noon.replace(hour=14), country="France"),
        line(7, code="POST", pence=5, customer=1, country="Eire"),
    ]

    assert product_names(lines) == {"71053": "FIRST"}
    assert [(code, pence) for code, _, pence in price_list(lines)] == [("71053", 100), ("71053", 300)]
    assert countries(lines) == {17850: "United Kingdom", 1: "Eire"}


def test_identifiers_follow_from_names_and_differ() -> None:
    assert line_id(1) == line_id(1)
    assert len({line_id(1), product_id("1"), customer_id(1), line_id(2)}) == 4


def said(moment: Moment) -> str:
    if isinstance(moment, datetime):
        return f"{moment:%m-%d %H}"
    if isinstance(moment, Cancellation):
        return f"cancel {moment.line.number} at {moment.at:%H:%M}"
    return "+".join(str(one.number) for one in moment)


def test_stops_baskets_and_cancellations_come_in_order() -> None:
    first, second = datetime(2011, 1, 14, 9, tzinfo=UTC), datetime(2011, 1, 15, 9, tzinfo=UTC)
    soon = first.replace(minute=5)
    baskets_of_two_days = [
        [line(99, at=first), line(100, at=first)],
        [line(200, at=soon)],
        [line(201, at=first.replace(minute=12))],
        [line(202, at=second)],
    ]
    found = [said(one) for one in moments(iter(baskets_of_two_days), first, second)]
    day = found.index("99+100")

    assert found[:3] == ["01-01 00", "01-01 22", "01-02 22"]
    assert found[day : day + 9] == [
        "99+100",
        "200",
        "cancel 100 at 09:10",
        "201",
        "cancel 200 at 09:15",
        "01-14 22",
        "01-15 00",
        "202",
        "01-15 22",
    ]
    midnights = [one[:5] for one in found if one.endswith(" 00")]
    assert midnights == [
        *("01-01", "01-15", "01-16", "01-24", "01-25", "01-26", "01-27"),
        *("02-01", "02-15", "02-16", "02-24", "02-25", "02-26", "02-27"),
    ]
    assert sum(one.endswith(" 22") for one in found) == 31 + 28
    assert last_of_next_month(datetime(2011, 12, 9, tzinfo=UTC)) == datetime(2012, 1, 31, tzinfo=UTC)


def test_a_cancellation_after_the_last_basket_is_not_forgotten() -> None:
    at = datetime(2011, 1, 14, 9, tzinfo=UTC)
    found = [said(one) for one in moments(iter([[line(100, at=at)]]), at, at)]
    day = found.index("100")

    assert found[day : day + 3] == ["100", "cancel 100 at 09:10", "01-14 22"]


def test_the_notebook_remembers_what_was_saved_and_nothing_else(tmp_path: Path) -> None:
    midnight = datetime(2011, 1, 1, tzinfo=UTC)
    notebook = Notebook(tmp_path / "replay.sqlite")
    notebook.set_aside(3, "return")
    notebook.set_aside(3, "return")
    notebook.set_aside(4, "unreadable: what")
    notebook.save(Progress(10, midnight))
    notebook.set_aside(5, "return")
    notebook.close()
    again = Notebook(tmp_path / "replay.sqlite")

    assert again.progress() == Progress(10, midnight)
    assert again.reasons() == {"return": 1, "unreadable": 1}
    again.close()


def test_a_difference_names_the_figure_and_both_sides() -> None:
    assert differences({"a": 1, "b": [2]}, {"a": 1, "b": [3], "c": 4}) == [
        "b: [2] in the components, [3] in the oracle",
        "c: None in the components, 4 in the oracle",
    ]


def test_the_readme_shows_how_the_demo_ends() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    block = readme.partition("It ends like this:\n\n```\n")[2].partition("```")[0]
    shown = "".join(r"(.*\n)*" if line == "…" else re.escape(f"{line}\n") for line in block.splitlines())

    assert re.search(shown, f"{text({**FIGURES, 'shipped to': {}})}\ntotals: agree\n")


def test_progress_says_no_pace_before_the_first_line_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter([0.0, 1.0, 20.0])
    progress = ProgressBar(2_000, 0, lambda: next(seconds))
    at = datetime(2010, 12, 1, tzinfo=UTC)
    progress.show(0, at, 0)
    progress.show(400, at, 3)

    assert capsys.readouterr().err.splitlines() == [
        "replay      0 / 2,000 lines  2010-12-01  0 refused",
        "replay    400 / 2,000 lines  2010-12-01  20 lines/s  about 80 s left  3 refused",
    ]
