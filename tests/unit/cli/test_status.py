"""`preterite status`: what it prints, its verdict as its exit code, and that one fault hides nothing else."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.command_line import Run
from support.process_shop import finance, sales, shipping
from support.processes import RunningShop, until

APP = "support.process_shop:system"
HEADER = ["component", "state", "outbox", "lag", "oldest", "parked", "dead", "scheduled", "handled/min"]


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] - pytest uses it
    monkeypatch.setenv("COLUMNS", "200")


def row(out: str, component: str) -> list[str]:
    """The cells of a component's row."""
    table = out.partition("\n\n")[2]
    return next(line.split() for line in table.splitlines() if line.startswith(component))


def test_it_prints_every_component_and_its_verdict(run: Run, shop: RunningShop) -> None:
    code, out, _ = run("status", "-A", APP)
    lines = [line.split() for line in out.splitlines()]

    assert code == 4
    assert out.startswith("shop: DOWN; 0 of 3 components are running")
    assert lines[1] == ["start", "the", "components:", "preterite", "run"]
    assert lines[3] == HEADER
    assert lines[4] == ["sales", "off", "0", "-", "-", "0", "0", "0", "0"]
    assert lines[5] == ["finance", "off", "0", "0", "-", "0", "0", "0", "0"]
    assert shop.opened.name == "shop"


def test_it_names_the_command_that_starts_what_does_not_run(run: Run, shop: RunningShop) -> None:
    relay = shop.opened.runtime.relay("sales")
    relay.step()
    code, out, _ = run("status", "-A", APP)
    relay.close()

    assert code == 1
    assert out.startswith(
        "shop: DEGRADED; 1 of 3 components are running\n"
        "  start what does not run: preterite run --only finance shipping\n"
    )


def test_a_system_that_was_never_started_makes_no_files(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("status", "-A", APP)

    assert code == 4
    assert out.count("never started") == 3
    assert list(tmp_path.iterdir()) == []


def test_it_prints_what_needs_an_operator(run: Run, shop: RunningShop) -> None:
    shop.publish("raises always")
    shop.opened.settle(failures="park")
    with shop.opened.connection(finance) as connection:
        connection.execute("update preterite_parked set state = 'dead'")
    code, out, _ = run("status", "-A", APP)
    as_json = json.loads(run("status", "-A", APP, "--json")[1])

    assert code == 1
    assert out.startswith("shop: DEGRADED; ")
    assert "finance has 1 dead letter: preterite dead-letters list\n" in out
    assert as_json["problems"] == ["finance has 1 dead letter: preterite dead-letters list"]
    assert as_json["components"]["finance"]["dead"] == 1


def test_a_dead_system_with_waiting_events_is_down_and_says_what_waits_and_since_when(
    run: Run, shop: RunningShop
) -> None:
    for _ in range(5):
        shop.publish()
    with shop.opened.connection(sales) as connection:
        connection.execute("update preterite_outbox set added_at = added_at - 7200")
    code, out, _ = run("status", "-A", APP)
    as_json = json.loads(run("status", "-A", APP, "--json")[1])

    assert code == 4
    assert out.startswith("shop: DOWN; 0 of 3 components are running\n  sales: no progress for 72")
    assert "although 5 events wait in its outbox\n" in out
    assert row(out, "sales")[:6] == ["sales", "off", "5", "-", "2", "h"]
    assert as_json["verdict"] == "DOWN"
    assert 7200 <= as_json["components"]["sales"]["oldest_seconds"] < 7800
    assert 7200 <= as_json["components"]["sales"]["no_progress_seconds"] < 7800


@pytest.mark.parametrize("kind", ["locked", "a folder", "no database", "not migrated"])
def test_one_database_that_cannot_be_read_is_a_row_with_its_reason_and_hides_no_other(
    run: Run, shop: RunningShop, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("preterite.drivers.sqlite.BUSY_TIMEOUT_MS", 10)
    relays = [shop.opened.runtime.relay(name) for name in ("sales", "finance")]
    for relay in relays:
        relay.step()
    reason = {
        "locked": "database is locked",
        "a folder": "cannot be opened just now: unable to open database file",
        "no database": "is no SQLite database that can be read",
        "not migrated": "has tables of an older version of Preterite",
    }[kind]
    file = Path(shop.urls["shipping"].removeprefix("sqlite:///"))
    with shop.opened.connection(shipping) as connection:
        if kind == "locked":
            connection.execute("pragma locking_mode=exclusive")
            connection.execute("begin exclusive")
        elif kind == "not migrated":
            connection.execute("delete from preterite_migration")
        else:
            monkeypatch.setenv("PRETERITE_SHIPPING_URL", f"{shop.urls['shipping']}-other")
            other = file.with_name(f"{file.name}-other")
            other.mkdir() if kind == "a folder" else other.write_text("no database at all")
        code, out, _ = run("status", "-A", APP)
        as_json = json.loads(run("status", "-A", APP, "--json")[1])
    for relay in relays:
        relay.close()

    assert code == 1
    assert out.startswith("shop: DEGRADED; 2 of 3 components are running\n  shipping is unreachable: ")
    assert reason in out
    assert row(out, "shipping") == ["shipping", "unreachable", *"-------"]
    assert row(out, "finance")[1] == "running"
    assert reason in as_json["components"]["shipping"]["unreachable"]


def test_a_log_that_is_gone_is_said_once_and_not_made_anew(run: Run, shop: RunningShop) -> None:
    shop.publish()
    shop.opened.settle()
    log = Path(shop.log_url.removeprefix("sqlite:///"))
    log.unlink()
    code, out, _ = run("status", "-A", APP)

    assert code == 4
    assert "preterite run" not in out
    assert out.startswith("shop: DOWN; 3 of 3 components are running\n  the log is unreachable: There is no log ")
    assert out.count("log is unreachable") == 1
    assert row(out, "finance")[:4] == ["finance", "running", "0", "-"]
    assert not log.exists()


def test_on_a_narrow_terminal_each_component_is_a_block(
    run: Run, shop: RunningShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish()
    monkeypatch.setenv("COLUMNS", "40")
    narrow = run("status", "-A", APP)[1].partition("\n\n")[2]
    monkeypatch.setenv("COLUMNS", "120")
    wide = run("status", "-A", APP)[1].partition("\n\n")[2]

    assert narrow.startswith("sales\n  state        off\n  outbox         1\n  lag            -\n")
    assert max(map(len, narrow.splitlines())) <= 40
    assert wide.split()[:9] == HEADER
    assert len({line.rstrip()[-1] for line in wide.splitlines()[1:]} - {"0"}) == 0


@pytest.mark.slow("processes")
def test_a_component_that_runs_without_progress_is_not_ok(
    run: Run, shop: RunningShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its database holds says so, not a process."""
    monkeypatch.setattr("preterite.operations.status.NO_PROGRESS_SECONDS", 1.0)
    shop.run()
    until(lambda: run("status", "-A", APP)[0] == 0, "every component runs")
    with closing(sqlite3.connect(shop.log_url.removeprefix("sqlite:///"), isolation_level=None)) as log:
        log.execute("create trigger refuses before insert on log_record begin select raise(abort, 'full'); end")
        shop.publish()
        until(lambda: "sales: no progress for " in run("status", "-A", APP)[1], "the status says so")
        code = run("status", "-A", APP)[0]
        log.execute("drop trigger refuses")
    until(lambda: run("status", "-A", APP)[0] == 0, "it is OK again")
    shop.stop()

    assert code == 1
