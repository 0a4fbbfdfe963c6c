"""An open system: sessions and connections for each component, and the loops that move events.

`settle` runs the loops in the caller's own thread until nothing is left to do; `host.py` runs them for real.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from preterite import envelope as envelopes
from preterite.clock import Clock, Randomness
from preterite.component import Component
from preterite.contracts import Checked, Event
from preterite.errors import ConfigurationError, LogError, PreteriteError
from preterite.log import Log, Stream
from preterite.outbox import Relay
from preterite.receiver import Receiver
from preterite.sessions import BINDING_KEY, Binding
from preterite.store import Counts, Database, StoreIdentity
from preterite.topology import Topology

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

SETTLE_SECONDS_MAX = 600.0
SETTLE_POLL_SECONDS = 0.005
PUBLISHED_READ = 1000
EventType = TypeVar("EventType", bound=Event)
_logger = logging.getLogger("preterite")


class OpenSystem:
    """What `System.open` returns; a context manager that closes everything."""

    def __init__(
        self,
        name: str,
        components: Sequence[Component],
        topology: Topology,
        databases: Mapping[str, Database],
        log: Log,
        clock: Clock,
        randomness: Randomness,
        create_tables: bool,
    ) -> None:
        self.name = name
        self.clock = clock
        self.randomness = randomness
        self.log = log
        self.topology = topology
        self.databases = dict(databases)
        self.components = {component.name: component for component in components if component.name in databases}
        self.wake: Callable[[str], None] = _nobody
        self._relays: dict[str, Relay] = {}
        self._receivers: dict[str, Receiver] = {}
        self._engines: dict[str, Any] = {}
        self._async_engines: dict[str, Any] = {}
        self._identities: dict[str, StoreIdentity] = {}
        for component in self.components.values():
            self._identities[component.name] = self._prepare(component, create_tables)

    # what users work with

    def session(self, component: Component) -> SessionOpener:
        """A session on the component's database: `with` gives a Session, `async with` an AsyncSession."""
        return SessionOpener(self, self._own(component).name)

    @contextmanager
    def connection(self, component: Component) -> Generator[Any]:
        """A bare connection to the component's database, closed at the end.

        Outside a unit of work each statement commits by itself.
        """
        opened = self.databases[self._own(component).name].connect()
        opened.binding = self.binding(component.name)
        try:
            yield opened
        finally:
            opened.close()

    def settle(self, *, failures: Literal["raise", "park"] = "raise") -> None:
        """Return once every component has handled every event published so far.

        Does the work in this thread unless other workers hold the leases; then it waits for them.
        A handler's exception passes through unless `failures="park"`; what is to be retried later is left to wait.
        """
        until = self.clock.monotonic() + SETTLE_SECONDS_MAX
        before: object = None
        while self.clock.monotonic() < until:
            if self._step(raising=failures == "raise"):
                before = None
                continue
            quiet, progress = self._look()
            if quiet and progress == before:
                return
            if not quiet:
                self.clock.sleep(SETTLE_POLL_SECONDS)
            before = progress
        raise PreteriteError(
            f"System {self.name!r} has not settled within {SETTLE_SECONDS_MAX:.0f} s; "
            "see preterite status for what still moves."
        )

    async def settled(self, *, failures: Literal["raise", "park"] = "raise") -> None:
        """The same for asyncio; the loop stays free."""
        await asyncio.to_thread(self.settle, failures=failures)

    def published(self, event_type: type[EventType]) -> list[EventType]:
        """Every event of this type that the log holds, stream by stream: for tests and for looking."""
        wire_name, publisher = self._wire_name(event_type)
        checked = Checked(event_type)
        reader = self.log.reader({Stream(publisher, number): 0 for number in range(self.log.identity.partitions)})
        found: list[EventType] = []
        while records := reader.read(PUBLISHED_READ):
            messages = [envelopes.from_bytes(record.body) for record in records if record.kind == "event"]
            found += [
                cast(EventType, checked.decode(message.data)) for message in messages if message.type == wire_name
            ]
        reader.close()
        return found

    def close(self) -> None:
        """Give up leases, connections and the log; what is not handled yet is handled by whoever opens next."""
        for loop in (*self._relays.values(), *self._receivers.values()):
            loop.close()
        for engine in self._engines.values():
            engine.dispose()
        self._relays, self._receivers, self._engines = {}, {}, {}
        self.log.close()

    def __enter__(self) -> OpenSystem:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> OpenSystem:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for engine in self._async_engines.values():
            await engine.dispose()
        self._async_engines = {}
        await asyncio.to_thread(self.close)

    # what the loops and the command line work with

    def binding(self, component: str) -> Binding:
        """What sessions and connections of a component carry along."""
        return Binding(self.clock, self.randomness, lambda: self.wake(component))

    def relay(self, component: str) -> Relay:
        """A relay for this component, with connections of its own."""
        return Relay(
            component,
            self.databases[component],
            self.log,
            self.clock,
            self.randomness,
            lambda: self._announced(component),
        )

    def receiver(self, component: str) -> Receiver:
        """A receiver for this component, with connections of its own."""
        return Receiver(
            self.topology.subscriptions[component],
            self._identities[component],
            self.databases[component],
            self.log,
            self.clock,
            self.randomness,
            self.binding(component),
        )

    def hears(self, component: str) -> bool:
        """Whether this component listens to anything."""
        return bool(self.topology.subscriptions[component].publishers)

    def counts(self, component: str) -> Counts:
        """What lies before a component just now."""
        with self.connection(self.components[component]) as connection:
            return self.databases[component].store.counts(connection, self.clock.now().timestamp(), self.clock.wall())

    def behind(self, component: str) -> tuple[int, dict[Stream, str]]:
        """How many events a component has not come to yet, and which of its streams stand still, why."""
        with self.connection(self.components[component]) as connection:
            states = self.databases[component].store.cursors(connection)
        publishers = self.topology.subscriptions[component].publishers
        heard = {
            Stream(publisher, number): 0 for publisher in publishers for number in range(self.log.identity.partitions)
        }
        heard |= {stream: state.cursor.number for stream, state in states.items() if stream in heard}
        stopped = {stream: state.stopped for stream, state in states.items() if state.stopped}
        return sum(max(self.log.end(stream).number - number, 0) for stream, number in heard.items()), stopped

    def engine(self, component: str) -> Any:
        """The SQLAlchemy engine of a component's plain sessions."""
        if component not in self._engines:
            self._engines[component] = self.databases[component].engine(self.binding(component))
        return self._engines[component]

    def async_engine(self, component: str) -> Any:
        """The SQLAlchemy engine of a component's asyncio sessions."""
        if component not in self._async_engines:
            self._async_engines[component] = self.databases[component].async_engine(self.binding(component))
        return self._async_engines[component]

    def _announced(self, publisher: str) -> None:
        for name, subscriptions in self.topology.subscriptions.items():
            if publisher in subscriptions.publishers:
                self.wake(name)

    def _own(self, component: Component) -> Component:
        if self.components.get(component.name) is not component:
            raise ConfigurationError(
                f"Component {component.name!r} is not run here; open the system with it, or without only=."
            )
        return component

    def _prepare(self, component: Component, create_tables: bool) -> StoreIdentity:
        """Verify the component's database, bring its tables up to date, and register what is declared."""
        database = self.databases[component.name]
        store = database.store
        _logger.info("%s: %s", component.name, database.promise())
        connection = database.connect()
        try:
            store.migrate(connection)
            log = self.log.identity
            subscriptions = self.topology.subscriptions[component.name]
            store.begin(connection)
            store.identify(
                connection,
                StoreIdentity(component.name, self.randomness.uuid(), self.name, log.system_id, log.partitions),
            )
            store.register_handlers(connection, subscriptions.registrations, subscriptions.renamed, self.clock.wall())
            store.retry_undecodable(connection, subscriptions.fingerprint)
            connection.commit()
            identity = store.identity(connection)
            assert identity is not None, "a database that was identified has an identity"
        finally:
            connection.close()
        if create_tables and component.tables is not None:
            self._create_tables(component)
        return identity

    def _create_tables(self, component: Component) -> None:
        if isinstance(component.tables, str):
            self.databases[component.name].create_tables(component.tables)
        else:
            component.tables.create_all(self.engine(component.name))

    def _step(self, *, raising: bool) -> bool:
        did = False
        for name in self.components:
            if name not in self._relays:
                self._relays[name] = self.relay(name)
            did |= self._relays[name].step()
        for name in self.components:
            if not self.hears(name):
                continue
            if name not in self._receivers:
                self._receivers[name] = self.receiver(name)
            receiver = self._receivers[name]
            receiver.raising = raising
            did |= receiver.step()
        return did

    def _look(self) -> tuple[bool, object]:
        """Whether nothing is left to do, and a value that changes with all that is done."""
        quiet = True
        progress: list[object] = []
        for name in self.components:
            counts = self.counts(name)
            behind, stopped = self.behind(name)
            if stopped:
                raise LogError(f"{name!r} cannot settle: {next(iter(stopped.values()))}")
            quiet = quiet and counts.unsent == 0 and counts.due == 0 and behind == 0
            ends = [self.log.end(Stream(name, number)).number for number in range(self.log.identity.partitions)]
            progress.append((counts.unsent, counts.parked, counts.dead, behind, ends))
        return quiet, progress

    def _wire_name(self, event_type: type[Event]) -> tuple[str, str]:
        for wire_name, (publisher, declared) in self.topology.events.items():
            if declared is event_type:
                return wire_name, publisher
        raise ConfigurationError(f"No component of {self.name!r} publishes {event_type.__name__}.")


class SessionOpener:
    """Opens a session when entered and closes it at the end; nothing is committed by closing."""

    def __init__(self, system: OpenSystem, component: str) -> None:
        self._system = system
        self._component = component

    def __enter__(self) -> Session:
        from sqlalchemy.orm import Session

        self._session = Session(
            self._system.engine(self._component), info={BINDING_KEY: self._system.binding(self._component)}
        )
        return self._session

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    async def __aenter__(self) -> AsyncSession:
        from sqlalchemy.ext.asyncio import AsyncSession

        engine = self._system.async_engine(self._component)
        self._async_session = AsyncSession(engine, info={BINDING_KEY: self._system.binding(self._component)})
        return self._async_session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._async_session.close()


def _nobody(_component: str) -> None:
    """Nobody waits in this process."""
