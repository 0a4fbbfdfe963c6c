"""A replay brings history to handlers that also mail or call: they can know, leave it out, or be left out."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from support.any_store import Connection, sql, sqlite_only, started

from preterite import Component, Event, ReplayStatus, System
from preterite.errors import UsageError
from preterite.operations.dead_letters import Operator
from preterite.operations.rehearsal import Stage, rehearse
from preterite.operations.replays import Wanted, change, chosen, plan, start
from preterite.testing import SeededRandomness, StartedSystem

OPS = Operator("ops", "lost rows", 5.0)


class CustomerMoved(Event, key="customer_id"):
    customer_id: UUID


class Office:
    """Post keeps addresses, and mails; `mails` is the file that stands for the mail server."""

    def __init__(self, mails: Path) -> None:
        self.mails = mails
        self.pool: ThreadPoolExecutor | None = None
        """What mails, instead of the handler's own thread."""
        self.statuses: list[ReplayStatus] = []
        self.crm = Component("crm", publishes=[CustomerMoved])
        self.post = Component("post", tables=sql("create table address (customer text)"))
        self.system = System("office", [self.crm, self.post])

        @self.post.handles(CustomerMoved)
        def keep(event: CustomerMoved, connection: Connection, status: ReplayStatus) -> None:
            self.statuses.append(status)
            connection.execute(sql("insert into address values (?)"), [str(event.customer_id)])

        @self.post.handles(CustomerMoved, lane="welcome", on_replay="skip")
        def welcome(event: CustomerMoved) -> None:
            self.mail("welcome", event)

        @self.post.handles(CustomerMoved, lane="letter")
        def write(event: CustomerMoved, connection: Connection) -> None:
            connection.execute(sql("insert into address values (?)"), ["letter"])
            self.mail("letter", event)

    def mail(self, what: str, event: CustomerMoved) -> None:
        if self.pool is None:
            self._send(what, event)
        else:
            self.pool.submit(self._send, what, event).result()

    def _send(self, what: str, event: CustomerMoved) -> None:
        with self.mails.open("a") as mails:
            mails.write(f"{what} {event.customer_id}\n")

    def mailed(self, what: str) -> int:
        return sum(line.startswith(what) for line in self.mails.read_text().splitlines())

    def move(self, shop: StartedSystem) -> None:
        with shop.connection(self.crm) as connection, self.crm.unit_of_work(connection) as unit_of_work:
            unit_of_work.publish(CustomerMoved(customer_id=uuid4()))

    @contextmanager
    def opened(self) -> Generator[StartedSystem]:
        with started(self.system) as shop:
            for _ in range(3):
                self.move(shop)
            shop.settle()
            yield shop

    def replay(self, shop: StartedSystem, wanted: Wanted) -> int:
        with shop.connection(self.post) as connection:
            subscriptions = shop.topology.subscriptions["post"]
            return start(shop.databases["post"].store, connection, shop.log, subscriptions, wanted, OPS)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path / "mails")


def _again(*handlers: str) -> Wanted:
    return Wanted(handlers, 1, None, again=True, publishes=False, rate=None)


def test_a_handler_knows_whether_a_replay_has_brought_an_event(office: Office) -> None:
    with office.opened() as shop:
        number = office.replay(shop, _again("keep"))
        with shop.connection(office.post) as connection:
            store = shop.databases["post"].store
            change(store, connection, number, "pause", OPS)
            office.move(shop)
            shop.settle()
            change(store, connection, number, "resume", OPS)
        shop.settle()
    assert office.statuses[:3] == [ReplayStatus.LIVE] * 3
    assert sorted(office.statuses[3:]) == [ReplayStatus.LIVE, *[ReplayStatus.REPLAY] * 3]


def test_a_handler_that_skips_replays_gets_no_history_and_all_that_is_live(office: Office) -> None:
    with office.opened() as shop:
        handlers = chosen(shop.topology.subscriptions["post"], None)
        office.replay(shop, _again(*handlers))
        office.move(shop)
        shop.settle()
    assert handlers == ("keep", "write")
    assert (office.mailed("welcome"), office.mailed("letter")) == (4, 7)


def test_a_replay_to_a_handler_that_skips_them_is_refused(office: Office) -> None:
    with office.opened() as shop, pytest.raises(UsageError, match=r'post\.welcome gets no history: .*on_replay="skip"'):
        chosen(shop.topology.subscriptions["post"], "welcome")


def test_a_word_for_replays_that_is_not_known_is_refused(office: Office) -> None:
    with pytest.raises(UsageError, match="on_replay takes 'run' or 'skip', not 'never'"):
        office.post.handles(CustomerMoved, on_replay="never")  # pyright: ignore[reportArgumentType] - a user's mistake


@sqlite_only
@pytest.mark.parametrize("pooled", [False, True], ids=["in its thread", "in a pool"])
@pytest.mark.parametrize("allowed", [False, True], ids=["refused", "allowed"])
def test_a_rehearsal_reaches_nothing_outside_unless_it_is_allowed(office: Office, allowed: bool, pooled: bool) -> None:
    with ThreadPoolExecutor(1) as pool:
        office.pool = pool if pooled else None
        _rehearse(office, allowed)


def _rehearse(office: Office, allowed: bool) -> None:
    with office.opened() as shop, shop.connection(office.post) as connection:
        subscriptions, database = shop.topology.subscriptions["post"], shop.databases["post"]
        identity = database.store.identity(connection)
        assert identity is not None
        stage = Stage(database, shop.log, identity, subscriptions, shop.clock, SeededRandomness(1))
        wanted = _again("keep", "write")
        planned = plan(database.store, connection, shop.log, subscriptions, wanted)
        found = rehearse(stage, wanted, allow_outside_calls=allowed, is_alone=True)
    assert planned.total == found.replayed == 3
    assert set(office.statuses[3:]) == {ReplayStatus.REHEARSAL}
    assert office.mailed("letter") == (3 + 6 if allowed else 3)
    assert found.tables["address"].added == (6 if allowed else 3)
    assert list(found.refused) == ([] if allowed else [("write", f"a write to {office.mails}")])
    assert dict(found.failures) == ({} if allowed else {("write", "OutsideCallRefused"): 3})


@sqlite_only
def test_a_rehearsal_counts_rows_that_would_stand_there_twice(office: Office) -> None:
    """A table without a key holds equal rows; what is there once and would be there twice is a row added."""
    with office.opened() as shop, shop.connection(office.post) as connection:
        subscriptions, database = shop.topology.subscriptions["post"], shop.databases["post"]
        identity = database.store.identity(connection)
        assert identity is not None
        stage = Stage(database, shop.log, identity, subscriptions, shop.clock, SeededRandomness(1))
        found = rehearse(stage, _again("keep"))
    assert (found.tables["address"].added, found.tables["address"].removed) == (3, 0)
    assert found.same_twice
