"""A component has one database: yesterday's URL, an empty copy, a file that was made anew are refused."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import psycopg
import pytest
from support.any_store import IS_SQLITE, log_place, places, sqlite_only
from support.backups import Backup
from support.machine_clock import MachineClock
from support.postgres import drop_schemas
from support.shop import ItemPurchased, Shop, bills, declare, publish, purchased, texts

from preterite import Component, OpenSystem, System
from preterite import store as stores
from preterite.clock import Clock, SystemClock, SystemRandomness
from preterite.errors import LogAhead, UsageError, WrongDatabase
from preterite.log import find
from preterite.log.contract import ANY_SYSTEM, LogIdentity, Stream
from preterite.operations import recovery
from preterite.operations.dead_letters import Operator
from preterite.operations.status import verdict
from preterite.operations.status_reader import StatusReader
from preterite.store.rows import StoreIdentity

NONE: Mapping[str, str] = {}
ELSEWHERE, LOST = "at another URL", "at its own URL, where it was lost"
OPS = Operator("ops", "the disk died", 0.0)


class Office:
    """The shop's databases in one place, opened anew by each `with`."""

    def __init__(self, folder: Path) -> None:
        self.shop: Shop = declare()
        self.heard: list[str] = []
        mail = Component("mail")

        @mail.handles(ItemPurchased)
        def send(event: ItemPurchased) -> None:  # pyright: ignore[reportUnusedFunction] - it is registered
            self.heard.append(str(event.purchase_id))

        self.names = ("sales", "finance", "mail")
        self.system = System("shop", [self.shop.sales, self.shop.finance, mail], partitions=1)
        self.urls = dict(places(folder, self.names))
        self.others = dict(places(folder, [f"{name}2" for name in self.names]))
        self.log_url = log_place(folder)
        self.backup = Backup(folder)

    def open(self, urls: Mapping[str, str] = NONE, *, clock: Clock | None = None) -> OpenSystem:
        databases = {**self.urls, **urls}
        return self.system.open(databases=databases, log=self.log_url, create_tables=True, clock=clock)

    def sell(self, *names: str, urls: Mapping[str, str] = NONE) -> None:
        with self.open(urls) as opened:
            publish(opened, self.shop.sales, *map(purchased, names))
            opened.settle(failures="park")

    def billed(self, urls: Mapping[str, str] = NONE) -> list[str]:
        with self.open(urls) as opened:
            return bills(opened, self.shop.finance)

    def second(self, component: str) -> str:
        """Another database, in which nothing is."""
        return self.others[f"{component}2"]

    def begin_anew(self, component: str, url: str) -> None:
        """What `preterite recover new-database` does."""
        identity = LogIdentity("shop", ANY_SYSTEM, 1)
        log = find(self.log_url, identity, SystemClock())
        with closing(log):
            wanted = StoreIdentity(component, SystemRandomness().uuid(), "shop", log.identity.system_id, 1)
            recovery.new_database(log, stores.connect(url), wanted, OPS)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def lose(url: str) -> str:
    """The database is gone, and its URL leads to an empty one."""
    if IS_SQLITE:
        path = Path(url.removeprefix("sqlite:///"))
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            drop_schemas(connection)
            connection.execute("CREATE SCHEMA public")
    return url


def is_untouched(url: str) -> bool:
    """Whether nothing of Preterite's is in the database, or there is none."""
    database = stores.connect(url)
    if not database.exists():
        return True
    with closing(database.connect()) as connection:
        return database.store.schema_version(connection) == 0


@pytest.mark.rule(22)
@pytest.mark.parametrize(
    ("component", "which"),
    [("sales", ELSEWHERE), ("finance", LOST), ("mail", ELSEWHERE), ("mail", LOST)],
)
def test_a_second_database_is_refused_and_nothing_is_made_in_it(office: Office, component: str, which: str) -> None:
    office.sell("a")
    url = office.second(component) if which == ELSEWHERE else lose(office.urls[component])

    with pytest.raises(WrongDatabase, match=rf"'{component}' that the log knows .* recover new-database {component}"):
        office.open({component: url})

    assert is_untouched(url)
    assert office.heard == texts("a"), "nothing is handled again"


def test_status_says_which_database_is_not_the_components(office: Office) -> None:
    office.sell("a")
    databases = {name: stores.connect(url) for name, url in {**office.urls, "mail": office.second("mail")}.items()}
    with closing(find(office.log_url, LogIdentity("shop", ANY_SYSTEM, 1), SystemClock())) as log:
        with closing(StatusReader(office.system.verify(databases), databases, log, SystemClock())) as reader:
            found = reader.status()

    assert verdict(found.values()) != "OK"
    assert "is not the database of 'mail' that the log knows" in (found["mail"].fault or "")
    assert (found["sales"].fault, found["finance"].fault) == (None, None)


@pytest.mark.parametrize("component", ["sales", "mail"])
def test_a_restored_backup_is_the_same_database_wherever_it_is_put(office: Office, component: str) -> None:
    office.sell("a")
    office.backup.copy(office.urls[component], office.second(component))
    lose(office.urls[component])

    office.sell("b", urls={component: office.second(component)})

    assert office.heard == texts("a", "b")


@pytest.mark.rule(22)
def test_a_subscriber_that_begins_anew_gets_history_and_the_lost_database_is_refused_for_ever(office: Office) -> None:
    office.sell("a")

    office.begin_anew("mail", office.second("mail"))
    office.sell("b", urls={"mail": office.second("mail")})

    assert office.heard == texts("a", "a", "b")
    with pytest.raises(WrongDatabase, match="it has the id"):
        office.open()


@pytest.mark.parametrize("component", ["sales", "finance"])
def test_a_publisher_that_begins_anew_publishes_after_what_the_log_holds_and_nothing_twice(
    office: Office, component: str
) -> None:
    office.sell("a")
    anew = {component: office.second(component)}
    office.begin_anew(component, anew[component])
    with pytest.raises(LogAhead):
        office.sell("b", urls=anew)
    with office.open(anew) as opened, closing(opened.databases[component].connect()) as connection:
        store = opened.databases[component].store
        assert recovery.accept(store, connection, opened.log, component, OPS, 0.0) == 1

    office.sell("c", urls=anew)

    assert office.billed(anew) == texts("a", "b", "c")
    with office.open(anew) as opened:
        assert [opened.log.end(Stream(name, 0)).number for name in ("sales", "finance")] == [3, 3]


def test_who_let_a_component_begin_anew_is_on_record(office: Office) -> None:
    office.sell("a")
    office.begin_anew("mail", office.second("mail"))

    with (
        office.open({"mail": office.second("mail")}) as opened,
        closing(opened.databases["mail"].connect()) as connection,
    ):
        line = opened.databases["mail"].store.audit(connection, 1)[0]
    assert (line.operator, line.reason) == ("ops", "the disk died")


@pytest.mark.parametrize(
    ("component", "whose", "why"),
    [
        ("mail", "mail", "is the database of 'mail' that the log knows"),
        ("shipping", "mail", "knows no database of 'shipping'"),
        ("mail", "finance", "belongs to component 'finance'"),
    ],
)
def test_nothing_is_replaced_by_a_database_that_cannot_take_its_place(
    office: Office, component: str, whose: str, why: str
) -> None:
    office.sell("a")

    with pytest.raises((UsageError, WrongDatabase), match=why):
        office.begin_anew(component, office.urls[whose])

    office.sell("b")
    assert office.heard == texts("a", "b")


def test_processes_that_start_a_new_component_at_once_agree(office: Office) -> None:
    meeting = Barrier(2)

    def start(_number: int) -> object:
        meeting.wait()
        with office.open() as opened:
            return [opened.runtime.require(name).component_id for name in office.names]

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(start, range(2))

    assert first == second


def test_of_two_databases_that_are_started_at_once_one_is_refused(office: Office) -> None:
    """Neither has a reason before the other: the log decides, and both learn it before anything is published."""
    meeting = Barrier(2)

    def start(urls: dict[str, str]) -> str:
        meeting.wait()
        try:
            office.open(urls).close()
        except WrongDatabase:
            return "refused"
        return "opened"

    with ThreadPoolExecutor(2) as threads:
        found = sorted(threads.map(start, [{}, {"mail": office.second("mail")}]))

    assert found == ["opened", "refused"]


@sqlite_only
def test_a_second_database_that_was_opened_without_the_log_publishes_and_handles_nothing(office: Office) -> None:
    office.sell("a")
    office.begin_anew("sales", office.second("sales"))
    path, away = (
        Path(office.log_url.removeprefix("sqlite:///")).with_suffix(suffix) for suffix in (".sqlite", ".away")
    )
    path.rename(away)
    clock = MachineClock()
    with office.open(clock=clock) as opened:
        publish(opened, office.shop.sales, purchased("z"))
        away.rename(path)
        clock.pass_by(60)
        with pytest.raises(WrongDatabase, match="it has the id"):
            opened.settle()

    assert office.heard == texts("a")
