"""Promises 2, 5 and 8 after a disaster: restored databases, a restored log, both, copies and mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import lossy_logs
from support.any_store import IS_SQLITE, log_place, places, servers_only, sql
from support.backups import Backup
from support.processes import until
from support.shop import ItemBilled, Shop, bills, declare, letters, publish, purchased, texts

from preterite import OpenSystem, System
from preterite.clock import SystemClock, SystemRandomness
from preterite.errors import LogAhead, LogError, WrongDatabase, WrongLog
from preterite.hosting.host import Host
from preterite.log import connect
from preterite.log.contract import LogIdentity, Stream
from preterite.operations import recovery
from preterite.operations.dead_letters import Operator
from preterite.store.rows import Lease, OutboxRow, Suppressed
from preterite.system import System as SystemType

OPS = Operator("ops", "restored", 0.0)
STREAM = Stream("sales", 0)


@pytest.fixture
def shop() -> Shop:
    made = declare()
    made.system = System("shop", [made.sales, made.finance], partitions=1)
    return made


class Office:
    """The shop's databases in one place, opened anew by each `with`."""

    def __init__(self, folder: Path, shop: Shop) -> None:
        self.shop = shop
        self.urls = dict(places(folder, ("sales", "finance")))
        self.log_url = log_place(folder)
        self.backup = Backup(folder)

    def open(self, *only: str, system: SystemType | None = None, **urls: str) -> OpenSystem:
        chosen = system or self.shop.system
        databases = {**self.urls, **{name: url for name, url in urls.items() if name != "log"}}
        log = urls.get("log", self.log_url)
        return chosen.open(databases=databases, log=log, only=only or None, create_tables=True)

    def sell(self, *names: str) -> None:
        with self.open() as opened:
            publish(opened, self.shop.sales, *map(purchased, names))
            opened.settle(failures="park")

    def billed(self) -> list[str]:
        with self.open() as opened:
            return bills(opened, self.shop.finance)

    def accept(self, component: str) -> int:
        with self.open() as opened:
            owner = opened.components[component]
            with opened.connection(owner) as connection:
                store = opened.databases[component].store
                return recovery.accept(store, connection, opened.log, component, OPS, opened.clock.wall())


@pytest.fixture
def office(tmp_path: Path, shop: Shop) -> Office:
    return Office(tmp_path, shop)


def standing(opened: OpenSystem, component: str) -> Any:
    return opened.status()[component]


def test_a_restored_subscriber_catches_up_by_itself(office: Office) -> None:
    office.sell("a", "b")
    office.backup.save(office.urls["finance"])
    office.sell("c", "d")
    office.backup.restore(office.urls["finance"])
    restored = office.billed()
    with office.open() as opened:
        # It had announced "c" and "d" as billed: it is a publisher too, and they are accepted as published.
        with pytest.raises(LogAhead):
            opened.settle()
    office.accept("finance")
    office.sell("e")
    with office.open() as opened:
        announced = [event.purchase_id for event in opened.published(ItemBilled)]

    assert restored == texts("a", "b")
    assert office.billed() == texts("a", "b", "c", "d", "e")
    assert list(map(str, announced)) == texts("a", "b", "c", "d", "e"), "nothing is announced a second time"


@pytest.mark.rule(15)
def test_a_handler_that_was_renamed_since_the_backup_announces_nothing_a_second_time(
    office: Office, shop: Shop
) -> None:
    office.sell("a")
    office.backup.save(office.urls["finance"])
    office.sell("b")
    renamed = declare(name="invoice", renamed_from="bill")
    shop.sales, shop.finance = renamed.sales, renamed.finance
    shop.system = System("shop", [shop.sales, shop.finance], partitions=1)
    office.sell("c")
    office.backup.restore(office.urls["finance"])
    with office.open() as opened, pytest.raises(LogAhead):
        opened.settle()
    office.accept("finance")
    office.sell("d")
    with office.open() as opened:
        announced = [str(event.purchase_id) for event in opened.published(ItemBilled)]

    assert office.billed() == texts("a", "b", "c", "d")
    assert announced == texts("a", "b", "c", "d")


@pytest.mark.rule(14)
def test_a_restored_publisher_goes_on_after_what_it_forgot_and_never_appends_it_again(office: Office) -> None:
    office.sell("a")
    with office.open() as opened:
        publish(opened, office.shop.sales, purchased("b"))  # committed, not numbered yet: the backup has it so
    office.backup.save(office.urls["sales"])
    office.sell("c")
    office.backup.restore(office.urls["sales"])
    with office.open() as opened, pytest.raises(LogAhead, match="the log holds sales/0 up to number 3"):
        opened.settle()
    with office.open() as opened:
        problems = standing(opened, "sales").problems
    taken = office.accept("sales")
    office.sell("d")

    assert "preterite recover plan" in problems[0]
    assert taken == 2, "b and c"
    assert office.billed() == texts("a", "b", "c", "d")


@pytest.mark.rule(14)
def test_what_is_published_again_while_a_restored_publisher_goes_on_is_not_appended_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the relay's look for forgotten events and its numbering others commit, where the database allows it."""
    with office.open() as opened:
        publish(opened, office.shop.sales, purchased("a"))
        with opened.connection(office.shop.sales) as connection:
            again = connection.execute(sql("select partition, event_id, envelope from preterite_outbox")).fetchone()
    office.backup.save(office.urls["sales"])
    office.sell("b")
    office.backup.restore(office.urls["sales"])
    office.accept("sales")
    with office.open() as opened:
        store = opened.databases["sales"].store
        take_forgotten = store.take_forgotten
        other = opened.databases["sales"].connect() if store.writes_at_once else None
        waiting = [OutboxRow(*again)]

        def slowly(connection: Any, lease: Lease) -> Sequence[Suppressed]:
            taken = take_forgotten(connection, lease)
            store.add_to_outbox(other or connection, [waiting.pop()] if waiting else [])
            return taken

        monkeypatch.setattr(store, "take_forgotten", slowly)
        publish(opened, office.shop.sales, purchased("c"))
        opened.settle()
        numbers = [record.number for record in _records(opened)]
        outbox = standing(opened, "sales").counts.unnumbered
        if other is not None:
            other.close()

    assert (numbers, outbox) == ([1, 2, 3], 0)
    assert office.billed() == texts("a", "b", "c")


@pytest.mark.rule(14)
def test_another_event_under_a_forgotten_identifier_is_a_visible_conflict(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    with office.open() as opened:
        publish(opened, office.shop.sales, purchased("a"))
    office.backup.save(office.urls["sales"])
    office.sell()
    office.backup.restore(office.urls["sales"])
    with office.open() as opened, opened.connection(office.shop.sales) as connection:
        envelope = connection.execute(sql("select envelope from preterite_outbox")).fetchone()[0]
        changed = envelope.replace(texts("a")[0].encode(), texts("b")[0].encode())
        connection.execute(sql("update preterite_outbox set envelope = ?"), [changed])
    office.accept("sales")
    with office.open() as opened:
        opened.settle(failures="park")
        letter = letters(opened, office.shop.sales)[0]

    assert letter.failure is not None
    assert letter.failure.error == "PublishedOtherwise"
    assert "PublishedOtherwise: before this database was restored, another event was published as" in caplog.text
    assert office.billed() == texts("a")


@pytest.mark.rule(14)
def test_numbers_that_no_database_holds_any_more_become_visible_voids(office: Office) -> None:
    office.sell("a")
    office.backup.save(office.urls["sales"])
    office.sell("b")
    office.sell("c")
    office.backup.restore(office.urls["sales"])
    with office.open() as opened:
        lossy_logs.lose(opened.log, STREAM, [2])
    taken = office.accept("sales")
    office.sell("d")
    with office.open() as opened:
        voids = standing(opened, "sales").counts.voids

    assert (taken, voids) == (2, 1)
    assert office.billed() == texts("a", "b", "c", "d"), "b was handled before the log lost it"


@pytest.mark.rule(5)
def test_a_log_that_was_cut_short_is_healed_while_everything_runs(office: Office) -> None:
    office.sell("a", "b", "c")
    with office.open() as opened:
        opened.settle()
        lossy_logs.lose(opened.log, STREAM, [2, 3])
        publish(opened, office.shop.sales, purchased("d"))
        opened.settle()
        numbers = [record.number for record in _records(opened)]

    assert office.billed() == texts("a", "b", "c", "d")
    assert numbers == [1, 2, 3, 4], "the log has again what it lost"


@pytest.mark.rule(5)
def test_what_a_late_subscriber_misses_in_the_middle_is_sent_again(office: Office) -> None:
    with office.open() as opened:
        opened.settle()
        relay = opened.runtime.relay("sales")
        publish(opened, office.shop.sales, *map(purchased, "abc"))
        relay.step()
        relay.close()
        lossy_logs.lose(opened.log, STREAM, [2])
        opened.settle()

    assert office.billed() == texts("a", "b", "c")


@pytest.mark.rule(5)
def test_a_publisher_that_runs_sends_again_what_a_subscriber_asks_for(office: Office) -> None:
    with office.open() as opened:
        relay, receiver = opened.runtime.relay("sales"), opened.runtime.receiver("finance")
        relay.step()
        publish(opened, office.shop.sales, *map(purchased, "abc"))
        relay.step()
        lossy_logs.lose(opened.log, STREAM, [2])
        until(lambda: not receiver.step() and bool(standing(opened, "finance").stalled), "it has read to the gap")
        until(lambda: not relay.step() and not receiver.step() and not standing(opened, "finance").stalled, "it moves")
        relay.close()
        receiver.close()

    assert office.billed() == texts("a", "b", "c")


@pytest.mark.rule(3)
def test_publisher_and_log_that_went_back_together_are_noticed_and_a_person_decides(office: Office) -> None:
    office.sell("a")
    office.backup.save(office.urls["sales"])
    office.backup.save(office.log_url)
    office.sell("b")
    office.backup.restore(office.urls["sales"])
    office.backup.restore(office.log_url)
    with office.open() as opened:
        with pytest.raises(LogError, match="has gone back"):
            opened.settle()
        store = opened.databases["finance"].store
        with opened.connection(office.shop.finance) as connection:
            back = recovery.gone_back(store, connection, opened.log, "sales")
            followed = recovery.reset(store, connection, opened.log, "sales", OPS)
            audit = store.audit(connection, 1)[0]
        _accept_if_needed(office, opened)
    office.sell("c")

    assert [(was.number, now.number) for was, now in back.values()] == [(2, 1)]
    assert followed == 1
    assert audit.action == "reset to a publisher that went back"
    assert office.billed() == texts("a", "b", "c")


@pytest.mark.rule(3)
@pytest.mark.parametrize("sold_since", [1, 2, 3, 4, 40])
@pytest.mark.parametrize("log_lost", ["as much", "more"])
def test_a_publisher_that_went_back_and_has_gone_on_is_noticed_however_far_it_went(
    office: Office, sold_since: int, log_lost: str
) -> None:
    """What it published since has the numbers of what was read here, and more: nothing of it counts as read."""
    with office.open():
        office.backup.save(office.log_url)
    office.sell("a")
    if log_lost == "as much":
        office.backup.save(office.log_url)
    office.backup.save(office.urls["sales"])
    office.sell("b", "c")
    office.backup.restore(office.urls["sales"])
    office.backup.restore(office.log_url)
    with office.open("sales") as opened:
        publish(opened, office.shop.sales, *(purchased(f"since {number}") for number in range(sold_since)))
        opened.settle()

    with office.open() as opened:
        with pytest.raises(LogError, match="sales/0 has gone back"):
            opened.settle()
        assert bills(opened, office.shop.finance) == texts("a", "b", "c")


@pytest.mark.rule(3)
def test_a_publisher_that_goes_back_while_its_subscriber_reads_is_noticed(office: Office) -> None:
    with office.open("finance") as reading:
        office.sell("a")
        office.backup.save(office.urls["sales"])
        with office.open("sales") as opened:
            publish(opened, office.shop.sales, purchased("b"))
            opened.settle()
        reading.settle()
        with office.open("sales") as opened:
            lossy_logs.lose(opened.log, STREAM, [2])
        office.backup.restore(office.urls["sales"])
        with office.open("sales") as opened:
            publish(opened, office.shop.sales, purchased("c"), purchased("d"))
            opened.settle()

        with pytest.raises(LogError, match="sales/0 has gone back"):
            reading.settle()
        assert bills(reading, office.shop.finance) == texts("a", "b")


@pytest.mark.rule(3)
def test_two_systems_on_one_log_are_refused(office: Office, tmp_path: Path) -> None:
    office.sell("a")
    other = declare()
    elsewhere = dict(places(tmp_path / "elsewhere", ("sales", "finance")))
    if IS_SQLITE:
        (tmp_path / "elsewhere").mkdir()
    bank = System("bank", [other.sales, other.finance], partitions=1)
    with pytest.raises(WrongLog, match="belongs to system 'shop'"):
        office.open(system=bank, **elsewhere)
    # The same name, by mistake: its databases are new, the log is not.
    twin = System("shop", [other.sales, other.finance], partitions=1)
    with pytest.raises(WrongDatabase, match="not the database of 'sales' that the log knows"):
        office.open(system=twin, **elsewhere)

    office.sell("b")
    assert office.billed() == texts("a", "b")


@pytest.mark.rule(3)
def test_a_database_of_another_log_is_refused(office: Office, tmp_path: Path) -> None:
    office.sell("a")
    elsewhere = log_place(tmp_path / "another")
    identity = LogIdentity("shop", SystemRandomness().uuid(), 1)
    connect(elsewhere, identity, SystemClock()).close()
    with pytest.raises(WrongDatabase, match="belongs to component"):
        office.open(log=elsewhere)


@pytest.mark.rule(3)
def test_a_cloned_database_appends_nothing_once_the_original_has_gone_on(office: Office, tmp_path: Path) -> None:
    office.sell("a")
    clone = places(tmp_path / "clone", ["sales"])["sales"]
    office.backup.copy(office.urls["sales"], clone)
    office.sell("b")
    with office.open(sales=clone) as opened:
        publish(opened, office.shop.sales, purchased("z"))
        with pytest.raises(LogAhead, match="restored from a backup, or copied"):
            opened.settle()
    office.sell("c")

    assert office.billed() == texts("a", "b", "c")


def _records(opened: OpenSystem) -> list[Any]:
    reader = opened.log.reader({STREAM: 0})
    found = [record for record in reader.read(100) if record.kind == "event"]
    reader.close()
    return found


def _accept_if_needed(office: Office, opened: OpenSystem) -> None:
    with opened.connection(office.shop.finance) as connection:
        store = opened.databases["finance"].store
        assert recovery.forgotten(store, connection, opened.log, "finance") == []


def with_the_newer(office: Office) -> Shop:
    """Finance in its next version: its handler has another name."""
    office.sell("a")
    office.backup.save(office.urls["finance"])
    newer = declare(name="invoice", renamed_from="bill")
    newer.system = System("shop", [newer.sales, newer.finance], partitions=1)
    office.shop = newer
    return newer


@servers_only
@pytest.mark.rule(6)
@pytest.mark.parametrize("lost", ["with its connections", "under its connections"])
def test_a_copy_from_before_a_handler_was_renamed_goes_on_under_the_program_that_runs(
    office: Office, lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    newer = with_the_newer(office)
    with office.open() as opened:
        with Host(opened.runtime):
            publish(opened, newer.sales, purchased("b"))
            opened.wait_settled()
            office.backup.replace(office.urls["finance"], ends_connections=lost == "with its connections")
            until(lambda: "preterite recover plan" in str(standing(opened, "finance").problems), "it is noticed")
            office.accept("finance")
            publish(opened, newer.sales, purchased("c"))
            opened.wait_settled()
        announced = [str(event.purchase_id) for event in opened.published(ItemBilled)]

        assert bills(opened, newer.finance) == texts("a", "b", "c")
    assert announced == texts("a", "b", "c")
    assert "was restored while this program ran. Its handlers are registered again." in caplog.text


def test_a_renamed_handler_is_not_said_to_be_new(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    with_the_newer(office)
    with office.open():
        pass

    assert "is new" not in caplog.text
