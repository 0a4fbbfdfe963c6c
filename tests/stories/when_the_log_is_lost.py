"""The log is gone, whole and without a backup: nothing is published meanwhile, and the journals fill a new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from support.any_store import IS_SQLITE, log_place, places
from support.backups import Backup
from support.postgres import drop_schemas
from support.shop import Shop, bills, declare, letters, prune_journal, publish, purchased, texts

from preterite import OpenSystem, System
from preterite import store as stores
from preterite.clock import SystemClock, SystemRandomness
from preterite.errors import LogError, StoreUnavailable, UsageError, WrongDatabase
from preterite.log import connect
from preterite.log.contract import Log, LogIdentity, Stream
from preterite.operations import recovery
from preterite.operations.dead_letters import Operator
from preterite.operations.recovery import Kept
from preterite.store.contract import Store
from preterite.store.rows import DbConnection

OPS = Operator("ops", "the disk died", 0.0)


@dataclass
class Office:
    """The shop's databases in one place, opened anew by each `with`."""

    folder: Path
    shop: Shop

    @property
    def urls(self) -> Mapping[str, str]:
        return places(self.folder, ("sales", "finance"))

    @property
    def backup(self) -> Backup:
        return Backup(self.folder)

    def open(self, *only: str) -> OpenSystem:
        return self.shop.system.open(
            databases=self.urls,
            log=log_place(self.folder),
            only=only or None,
            create_tables=True,
        )

    def sell(self, *names: str, only: tuple[str, ...] = ()) -> None:
        with self.open(*only) as opened:
            publish(opened, self.shop.sales, *map(purchased, names))
            opened.settle(failures="park")

    def billed(self) -> list[str]:
        with self.open() as opened:
            return bills(opened, self.shop.finance)

    def prune_journal(self) -> None:
        with self.open("sales") as opened:
            prune_journal(opened, "sales")

    def lose_log(self) -> None:
        url = log_place(self.folder)
        if IS_SQLITE:
            path = Path(url.removeprefix("sqlite:///"))
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink()
        else:
            with psycopg.connect(url, autocommit=True) as connection:
                drop_schemas(connection)

    def other_log(self) -> Log:
        """A log that has nothing to do with these databases, where theirs should be."""
        identity = LogIdentity("shop", SystemRandomness().uuid(), self.shop.system.partitions)
        return connect(log_place(self.folder), identity, SystemClock())

    def new_log(self, make: Callable[[], Log] | None = None) -> list[recovery.Kept]:
        """What `preterite recover new-log` does."""
        with ExitStack() as stack:
            databases: dict[str, tuple[Store, DbConnection]] = {}
            for name, url in self.urls.items():
                database = stores.connect(url)
                databases[name] = (database.store, stack.enter_context(closing(database.connect())))
            return recovery.new_log(databases, make or self.other_log, OPS)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    made = declare()
    made.system = System("shop", [made.sales, made.finance], partitions=1)
    return Office(tmp_path, made)


def test_components_go_on_publishing_and_say_that_the_log_is_gone(office: Office) -> None:
    office.sell("a")
    office.lose_log()
    with office.open() as opened:
        publish(opened, office.shop.sales, purchased("b"))
        with pytest.raises(StoreUnavailable, match=r"belongs to one .* preterite recover new-log"):
            opened.settle()
    office.new_log()

    office.sell("c")

    assert office.billed() == texts("a", "b", "c")


def test_a_new_log_gets_what_the_journals_hold_and_everybody_goes_on(office: Office) -> None:
    office.sell("a")
    office.sell("b", only=("sales",))
    office.lose_log()

    kept = office.new_log()
    office.sell("c")

    assert office.billed() == texts("a", "b", "c")
    assert Kept(Stream("sales", 0), range(1, 3)) in kept
    with office.open() as opened:
        assert opened.log.holes(Stream("sales", 0), 0, 3) == []


def test_what_no_journal_holds_stops_nobody_who_has_read_it(office: Office) -> None:
    office.sell("a", "b")
    office.prune_journal()
    office.sell("c")
    office.lose_log()

    kept = office.new_log()
    office.sell("d")

    assert Kept(Stream("sales", 0), range(3, 4)) in kept
    assert office.billed() == texts("a", "b", "c", "d")


def test_what_no_journal_holds_stalls_who_has_not_read_it_until_an_operator_accepts_that(office: Office) -> None:
    office.sell("a")
    office.sell("b", only=("sales",))
    office.prune_journal()
    office.lose_log()
    office.new_log()
    with office.open() as opened:
        publish(opened, office.shop.sales, purchased("c"))
        with pytest.raises(LogError, match="number 2 of sales/0 is missing"):
            opened.settle(failures="park")
        assert bills(opened, office.shop.finance) == texts("a")
        with opened.connection(office.shop.finance) as connection:
            store = opened.databases["finance"].store
            assert recovery.accept_loss(store, connection, opened.log, "sales", OPS) == 1
        opened.settle(failures="park")

        assert bills(opened, office.shop.finance) == texts("a", "c")
        assert letters(opened, office.shop.finance) == []


@pytest.mark.parametrize("pruned", [False, True])
def test_nothing_is_published_twice_by_a_publisher_that_was_restored_as_well(office: Office, pruned: bool) -> None:
    office.sell("a")
    if pruned:
        office.prune_journal()
    office.backup.save(office.urls["sales"])
    office.sell("b")
    office.lose_log()
    office.backup.restore(office.urls["sales"])

    office.new_log()
    with office.open() as opened:
        publish(opened, office.shop.sales, purchased("c"))
        with pytest.raises(LogError, match="sales/0 has gone back"):
            opened.settle(failures="park")

        assert bills(opened, office.shop.finance) == texts("a", "b")
        assert opened.status()["finance"].problems, "it is stalled, and says so"


def test_a_log_that_was_made_meanwhile_takes_the_lost_ones_place_if_it_is_empty(office: Office) -> None:
    office.sell("a")
    office.lose_log()
    office.other_log().close()
    with pytest.raises(WrongDatabase):
        office.open()

    office.new_log()
    office.sell("b")

    assert office.billed() == texts("a", "b")


def test_workers_that_meet_the_new_log_before_it_has_taken_its_place_write_nothing(office: Office) -> None:
    office.sell("a", "b")
    office.prune_journal()
    office.sell("c")
    office.lose_log()

    def made_and_met() -> Log:
        made = office.other_log()
        with pytest.raises(WrongDatabase):
            office.sell("d")
        return made

    kept = office.new_log(made_and_met)
    office.sell("e")

    assert Kept(Stream("sales", 0), range(3, 4)) in kept
    assert office.billed() == texts("a", "b", "c", "e")


def test_a_log_that_is_in_use_is_left_alone(office: Office) -> None:
    office.sell("a")

    with pytest.raises(UsageError, match="in use; nothing was changed"):
        office.new_log()

    office.sell("b")
    assert office.billed() == texts("a", "b")


def test_databases_of_two_logs_get_none(office: Office, tmp_path: Path) -> None:
    office.sell("a")
    other = Office(tmp_path / "other", office.shop)
    other.sell("z")
    office.backup.copy(other.urls["finance"], office.urls["finance"])
    office.lose_log()

    with pytest.raises(UsageError, match="belong to 2 logs"):
        office.new_log()


def test_each_component_keeps_on_record_who_made_the_log(office: Office) -> None:
    office.sell("a")
    office.lose_log()
    office.new_log()

    with office.open() as opened:
        for component in (office.shop.sales, office.shop.finance):
            with opened.connection(component) as connection:
                line = opened.databases[component.name].store.audit(connection, 1)[0]
                assert (line.operator, line.reason) == ("ops", "the disk died")
