"""A SQLite file that is deleted or replaced under running processes: noticed, logged, and nothing is written to it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.any_store import sqlite_only
from support.processes import RunningShop, running_shop, until
from support.shop import Shop, bills, declare, publish, purchased, texts

from preterite import OpenSystem
from preterite.errors import FileReplaced, StoreUnavailable
from preterite.hosting.host import Host
from preterite.operations.status import verdict

pytestmark = sqlite_only
NAMES = ("sales", "finance")


@pytest.fixture
def shop() -> Shop:
    return declare()


@pytest.fixture
def opened(shop: Shop, tmp_path: Path) -> Iterator[OpenSystem]:
    databases = {name: f"sqlite:///{tmp_path}/{name}.sqlite" for name in NAMES}
    with shop.system.open(databases=databases, log=f"sqlite:///{tmp_path}/log.sqlite", create_tables=True) as opened:
        yield opened


def move_away(file: Path) -> None:
    """The file with what SQLite keeps beside it; connections that have it open keep it open."""
    for kind in ("", "-wal", "-shm"):
        Path(f"{file}{kind}").rename(f"{file}{kind}.kept")


def put_back(file: Path) -> None:
    for kind in ("", "-wal", "-shm"):
        Path(f"{file}{kind}.kept").rename(f"{file}{kind}")


def replace(file: Path) -> None:
    """Another file with the same content, as a restored backup."""
    copy = file.with_name("copy")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    for kind in ("-wal", "-shm"):
        Path(f"{file}{kind}").unlink(missing_ok=True)
    shutil.move(copy, file)


def test_a_log_that_is_deleted_is_noticed_and_what_is_published_meanwhile_is_sent_when_it_is_back(
    opened: OpenSystem, shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "log.sqlite"
    with Host(opened.runtime):
        publish(opened, shop.sales, purchased("a"))
        opened.wait_settled()
        move_away(log)
        publish(opened, shop.sales, purchased("b"))
        until(lambda: f"sales relay: {log} was deleted or moved while it was in use" in caplog.text, "it is logged")
        until(lambda: f"finance receiver: {log} was deleted or moved" in caplog.text, "by its readers, too")
        status = opened.status()
        made_anew = log.exists()
        put_back(log)
        opened.wait_settled()

    assert verdict(status.values()) == "DOWN"
    assert status["sales"].outbox == 1
    assert not made_anew
    assert bills(opened, shop.finance) == texts("a", "b")


def test_the_loops_end_where_a_file_is_replaced_and_so_does_what_serves_them(
    opened: OpenSystem, shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running = Host(opened.runtime)
    running.start()
    publish(opened, shop.sales, purchased("a"))
    opened.wait_settled()
    replace(tmp_path / "log.sqlite")
    stopped = running.serve(lambda: True)

    assert stopped
    assert f"{tmp_path / 'log.sqlite'} was replaced by another file while it was in use" in caplog.text
    with pytest.raises(FileReplaced):
        opened.log.ends([])


def test_waiting_for_a_host_that_a_replaced_file_has_ended_ends_with_that_reason(
    opened: OpenSystem, shop: Shop, tmp_path: Path
) -> None:
    with Host(opened.runtime):
        publish(opened, shop.sales, purchased("a"))
        opened.wait_settled()
        replace(tmp_path / "finance.sqlite")
        publish(opened, shop.sales, purchased("b"))
        until(lambda: bool(opened.runtime.ended), "the host has noticed")
        with pytest.raises(FileReplaced, match="This process has to be started again"):
            opened.wait_settled()


@pytest.mark.parametrize("how", [move_away, replace])
def test_a_unit_of_work_on_a_connection_to_a_file_that_is_gone_is_refused(
    opened: OpenSystem, shop: Shop, tmp_path: Path, how: object
) -> None:
    file = tmp_path / "sales.sqlite"
    with opened.connection(shop.sales) as connection:
        connection.execute("select 1")
        move_away(file) if how is move_away else replace(file)
        with pytest.raises(StoreUnavailable, match=r"while it was in use\. Nothing was written"):
            with shop.sales.unit_of_work(connection) as unit_of_work:
                unit_of_work.publish(purchased("a"))


def test_no_empty_file_takes_the_place_of_a_components_deleted_one(
    opened: OpenSystem, shop: Shop, tmp_path: Path
) -> None:
    publish(opened, shop.sales, purchased("a"))
    with opened.connection(shop.sales) as kept:
        kept.execute("select 1 from purchase").fetchone()
        move_away(tmp_path / "sales.sqlite")
        with pytest.raises(StoreUnavailable, match="no new file is made"), opened.connection(shop.sales):
            pass
        with pytest.raises(StoreUnavailable, match="no new file is made"), opened.session(shop.sales) as session:
            session.connection()

        assert not (tmp_path / "sales.sqlite").exists()
        put_back(tmp_path / "sales.sqlite")
    opened.settle()
    assert bills(opened, shop.finance) == texts("a")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningShop]:
    with running_shop(tmp_path) as running:
        yield running


@pytest.mark.slow("processes")
def test_preterite_run_goes_on_with_the_file_that_took_the_place(running: RunningShop) -> None:
    file = Path(running.urls["finance"].removeprefix("sqlite:///"))
    running.run()
    first = running.publish()
    until(lambda: running.billed() == [str(first)], "the first is billed")
    replace(file)
    until(lambda: f"{file} was replaced by another file" in running.errors(), "it is logged")
    second = running.publish()

    def is_billed() -> bool:
        with closing(sqlite3.connect(file)) as connection:
            return connection.execute("select count(*) from bill").fetchone() == (2,)

    until(is_billed, "the second is billed there")
    assert running.stop() == 0
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("select purchase from bill order by position").fetchall()
    assert rows == [(str(first),), (str(second),)]
