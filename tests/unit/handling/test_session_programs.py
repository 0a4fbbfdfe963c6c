"""A handler cannot tell in how large a batch its event is: programs of random steps leave the same behind in any.

What the database gives, numbers of rows for instance, may differ after a failure; all else is compared: the component's
own rows, what each step saw, what was parked and why, and what was published.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from sqlalchemy import Connection as SqlalchemyConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from support import postgres
from support.handler_programs import COLUMNS, KNOWN, TABLES, Base, Handling, Program, programs, programs_that_end
from support.tiers import sample

from preterite import Component, Event, Recoverability, System, UnitOfWork, testing
from preterite import envelope as envelopes
from preterite.envelope import Envelope
from preterite.handling.batch import BatchProcessor
from preterite.handling.failure import FailureLog
from preterite.handling.invoker import HandlerInvoker
from preterite.handling.sources import Source
from preterite.handling.transaction import runner_for
from preterite.leases import Tenure
from preterite.log.contract import Record, Stream
from preterite.publishing.transaction import SessionContext
from preterite.receiving.parking import Parking
from preterite.store.contract import run_in_transaction
from preterite.store.rows import StoreIdentity
from preterite.testing import SeededRandomness, StartedSystem
from preterite.topology import BoundHandler

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
SIZES = (2, 7, 50)
ONCE = Recoverability(immediate_retries=0, delayed_retries=0)
ROUNDS_MAX = 50
"""Rounds after which what is parked must have come to its end."""


class Happened(Event):
    number: int


class Followed(Event):
    number: int
    what: str


class _Unfenced:
    """A tenure that nobody disputes."""

    partitions = (0,)

    def __init__(self, store: Any) -> None:
        self._store = store

    def peek(self, _connection: object) -> bool:
        return True

    def check(self, *_arguments: object) -> None: ...

    @contextmanager
    def transaction(self, connection: Any) -> Generator[None]:
        self._store.begin(connection)
        yield
        connection.commit()


class _Records:
    """A source that every record comes from once."""

    is_replay = False

    def __init__(self, tenure: _Unfenced) -> None:
        self.tenure = tenure

    def handlers(self, delivery: Any) -> Sequence[BoundHandler]:
        return delivery.subscription.handlers

    def mode(self, _delivery: object) -> None: ...

    def due_at(self, _delivery: object) -> float:
        return 0.0

    def claim(self, *_arguments: object) -> bool:
        return True

    def settle(self, *_arguments: object) -> None: ...


class Rig:
    """A component whose handler runs programs, and all that it takes to handle their events in batches of any size."""

    def __init__(self, opened: StartedSystem, component: Component) -> None:
        self.program: Program = []
        self.seen: dict[int, list[object]] = {}
        self.kept: dict[int, Any] = {}
        self._session = lambda: opened.session(component)
        self._tables = [f"select {COLUMNS[table]} from {table} order by {COLUMNS[table]}" for table in TABLES]
        database, self._subscriptions = opened.databases["finance"], opened.topology.subscriptions["finance"]
        self._store = database.store
        self._connection = database.connect()
        random = SeededRandomness(7)
        identity = StoreIdentity("finance", random.uuid(), "shop", opened.log.identity.system_id, 1)
        context = SessionContext(opened.clock, random)
        self._transactions = runner_for(self._subscriptions.given, database, context)
        invoker = HandlerInvoker(self._subscriptions, database, identity, opened.clock, {})
        report = FailureLog("finance", opened.clock).report
        parts = (self._store, self._transactions, invoker, opened.clock, random, report)
        self._batches = BatchProcessor(self._subscriptions, *parts)
        self._parking = Parking(self._subscriptions, self._store, self._connection, *parts[1:])
        self._tenure = _Unfenced(self._store)
        self._time = opened.clock.now()

    def handle(self, session: Session, event: Happened, unit_of_work: UnitOfWork) -> None:
        """What the component's handler does."""
        call = Handling(
            event.number,
            session,
            lambda what: unit_of_work.publish(Followed(number=event.number, what=what)),
            self.kept,
        )
        self.seen[event.number] = call.seen
        call.run(self.program[event.number])

    def outcome(self, program: Program, size: int) -> dict[str, object]:
        """What there is to be seen after all events of the program, in batches of this size."""
        self.program, self.seen, self.kept = program, {}, {}
        self._empty()
        records = [self._record(number) for number in range(len(program))]
        source = cast(Source, _Records(self._tenure))
        while records:
            result = self._batches.handle(records[:size], source)
            records = records[result.records :]
            if result.parked:
                self._run_parked()
        return self._left()

    def plain(self, program: Program) -> dict[str, object]:
        """The same without Preterite's handlers: each event in a plain session, and a transaction, of its own."""
        self.program, self.seen, self.kept = program, {}, {}
        self._empty()
        failed: list[int] = []
        for number, steps in enumerate(program):
            session = self._session().__enter__()
            connection = session.connection()
            call = Handling(number, session, lambda _what: None, self.kept)
            self.seen[number] = call.seen
            try:
                call.run(steps)
                session.commit()
            except Exception:
                failed.append(number + 1)
            finally:
                _give_up(session, connection)
        return {**self._rows_of_tables(), "failed": failed, "seen": self.seen}

    def close(self) -> None:
        """Give up its connections."""
        self._connection.close()
        self._transactions.close()

    def _record(self, number: int) -> Record:
        event_id = UUID(int=number + 1, version=4)
        data = msgspec.Raw(b'{"number":%d}' % number)
        envelope = Envelope(id=event_id, source="/shop/sales", type="sales.Happened", time=self._time, data=data)
        return Record(Stream("sales", 0), "event", 1, number + 1, event_id.bytes, envelopes.to_bytes(envelope))

    def _run_parked(self) -> None:
        for _ in range(ROUNDS_MAX):
            self._parking.look_again()
            if not self._parking.run_due(cast(Tenure, self._tenure)).records:
                return
        raise AssertionError("what is parked does not come to its end")

    def _empty(self) -> None:
        parked, outbox = self._own("parked"), self._own("outbox")
        statements = [f"delete from {table}" for table in (*reversed(TABLES), parked, outbox)]
        statements += ["insert into account values (1, 100)", "insert into line (account_id, amount) values (1, 5)"]
        run_in_transaction(
            self._store, self._connection, lambda: [self._connection.execute(statement) for statement in statements]
        )

    def _left(self) -> dict[str, object]:
        found = self._rows_of_tables()
        failures = self._rows(f"select number, state, error from {self._own('parked')} order by number")
        found["parked"] = failures
        found["failed"] = [row[0] for row in failures]
        published = self._rows(f"select envelope from {self._own('outbox')} order by id")
        found["published"] = [bytes(row[0]) for row in published]
        found["seen"] = self.seen
        return found

    def _rows_of_tables(self) -> dict[str, object]:
        return {table: self._rows(query) for table, query in zip(TABLES, self._tables, strict=True)}

    def _rows(self, query: str) -> list[Any]:
        return self._connection.execute(query).fetchall()

    def _own(self, table: str) -> str:
        return f"preterite{'_' if self._store.name == 'sqlite' else '.'}{table}"


def _give_up(session: Session, connection: SqlalchemyConnection) -> None:
    """Close a session, whatever state it is in: one whose savepoints are gone cannot roll back to them."""
    try:
        session.close()
    except SQLAlchemyError:
        connection.invalidate()
        session.close()


@contextmanager
def rig(*, asynchronous: bool = False, databases: dict[str, str] | None = None) -> Generator[Rig]:
    """A system with a component whose handler runs programs."""
    sales = Component("sales", publishes=[Happened])
    finance = Component("finance", publishes=[Followed], tables=Base.metadata, recoverability=ONCE)
    running: list[Rig] = []

    if asynchronous:

        @finance.handles(Happened, name="handle")
        async def handle_async(event: Happened, session: AsyncSession, unit_of_work: UnitOfWork) -> None:
            await session.run_sync(running[0].handle, event, unit_of_work)
    else:

        @finance.handles(Happened, name="handle")
        def handle(event: Happened, session: Session, unit_of_work: UnitOfWork) -> None:
            running[0].handle(session, event, unit_of_work)

    with testing.started(System("shop", [sales, finance]), databases=databases) as opened:
        running.append(Rig(opened, finance))
        yield running[0]
        running[0].close()


@pytest.fixture(params=[False, True], ids=["Session", "AsyncSession"], scope="module")
def on_sqlite(request: pytest.FixtureRequest) -> Generator[Rig]:
    with rig(asynchronous=request.param) as made:
        yield made


@contextmanager
def _not_collecting() -> Generator[None]:
    """When the collector comes decides what is still in a session that has loaded a cycle; so it does not come."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def check(made: Rig, program: Program) -> None:
    """The program leaves the same behind in batches of every size."""
    with _not_collecting():
        _check_sizes(made, program, made.outcome(program, 1))


def check_plainly(made: Rig, program: Program) -> None:
    """It also leaves behind what plain sessions leave, each in a transaction of its own."""
    with _not_collecting():
        plain = made.plain(program)
        alone = made.outcome(program, 1)
        assert {what: alone[what] for what in plain} == plain
        _check_sizes(made, program, alone)


def _check_sizes(made: Rig, program: Program, alone: dict[str, object]) -> None:
    for size in SIZES:
        assert made.outcome(program, size) == alone, f"in batches of {size}"


@pytest.mark.parametrize("what", KNOWN)
def test_no_handler_can_tell_in_the_ways_that_are_known(on_sqlite: Rig, what: str) -> None:
    check_plainly(on_sqlite, KNOWN[what])


@given(program=programs)
@settings(
    max_examples=sample(75, 1_100), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_handler_can_tell_in_how_large_a_batch_it_runs(on_sqlite: Rig, program: Program) -> None:
    check_plainly(on_sqlite, program)


@given(program=programs_that_end)
@settings(
    max_examples=sample(40, 400), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_handler_can_tell_though_another_tries_to_end_the_transaction(on_sqlite: Rig, program: Program) -> None:
    check(on_sqlite, program)


@pytest.mark.slow("PostgreSQL")
@pytest.mark.parametrize("asynchronous", [False, True], ids=["Session", "AsyncSession"])
def test_no_handler_can_tell_on_postgresql_either(asynchronous: bool) -> None:
    with postgres.databases() as make:
        places = {name: make(name) for name in ("sales", "finance")}
        with rig(asynchronous=asynchronous, databases=places) as made:

            @given(program=some.one_of(programs, programs_that_end))
            @settings(max_examples=120)
            def run(program: Program) -> None:
                check(made, program)

            run()
