"""An open system: sessions and connections for each component, and the loops that move events.

`settle` runs the loops in the caller's own thread until nothing is left to do; `host.py` runs them for real.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from preterite import envelope as envelopes
from preterite.clock import Clock, Randomness
from preterite.component import Component
from preterite.contracts import Checked, Event
from preterite.errors import ConfigurationError, LogError, PreteriteError, StoreUnavailable, UsageError
from preterite.log import Log, Stream
from preterite.outbox import Relay
from preterite.preparing import prepare
from preterite.receiver import Receiver
from preterite.rehearsal import Stage
from preterite.rows import StoreIdentity
from preterite.sessions import BINDING_KEY, Binding
from preterite.standing import Observer, Standing
from preterite.store import Database
from preterite.topology import Topology

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

SETTLE_SECONDS_MAX = 600.0
SETTLE_POLL_SECONDS = 0.01
STANDSTILL_SECONDS = 3.0
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
        """Called when something was committed to a component's database."""
        self.wake_receivers: Callable[[str], None] = _nobody
        """Called when something was appended to the log that the component may hear."""
        self._relays: dict[str, Relay] = {}
        self._receivers: dict[str, Receiver] = {}
        self._engines: dict[str, Any] = {}
        self._async_engines: dict[str, Any] = {}
        self._identities: dict[str, StoreIdentity] = {}
        self._say_promises()
        for component in self.components.values():
            self._identities[component.name] = self._prepare(component)
            if create_tables and component.tables is not None:
                self._create_tables(component)
        self._observer = Observer(topology, self.databases, log, clock)

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

        Does the work in this thread, or waits for those that hold the leases.
        A handler's exception passes through unless `failures="park"`; what is to be retried later is left to wait.
        """
        self._settle(lambda: self._step(raising=failures == "raise"))

    def wait_settled(self, meanwhile: Callable[[], None] | None = None) -> None:
        """The same, but leaves all work to those that run the components: a host here, or other processes.

        `meanwhile` is called at each look.
        """

        def leave_it_to_them() -> bool:
            if meanwhile is not None:
                meanwhile()
            return False

        self._settle(leave_it_to_them)

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

    def look(self) -> dict[str, Standing]:
        """How every component stands just now."""
        return self._observer.look()

    def close(self) -> None:
        """Give up leases, connections and the log; what is not handled yet is handled by whoever opens next.

        Where sessions for asyncio were opened, a system is closed by `async with` on a running event loop; otherwise
        this raises `UsageError`, once all else is closed.
        """
        for loop in (*self._relays.values(), *self._receivers.values()):
            # Of one that is broken the leases run out by themselves.
            with suppress(Exception) if loop.is_broken else nullcontext():
                loop.close()
        for engine in self._engines.values():
            engine.dispose()
        self._relays, self._receivers, self._engines = {}, {}, {}
        self._observer.close()
        for database in self.databases.values():
            database.close()
        self.log.close()
        if self._async_engines:
            # A driver for asyncio keeps threads that would keep the process from ending.
            self._dispose_in_a_loop()

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
        await self._dispose_async_engines()
        await asyncio.to_thread(self.close)

    def _dispose_in_a_loop(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self._dispose_async_engines())
            return
        raise UsageError(
            f"System {self.name!r} has sessions for asyncio and was left by a plain 'with' on a running event loop; "
            "their connections stay open. Write: async with system.open(…)."
        )

    async def _dispose_async_engines(self) -> None:
        for engine in self._async_engines.values():
            await engine.dispose()
        self._async_engines = {}

    # what the loops and the command line work with

    def binding(self, component: str) -> Binding:
        """What sessions and connections of a component carry along."""
        return Binding(self.clock, self.randomness, lambda: self.tell(component))

    def tell(self, component: str) -> None:
        """Wake whoever waits for what was committed to this component's database, here and in other processes."""
        self.wake(component)
        self.databases[component].announce()

    def relay(self, component: str, owner: str | None = None) -> Relay:
        """A relay for this component, with connections of its own; with the leases of the owner, if it had any."""
        return Relay(
            component,
            self.databases[component],
            self.log,
            self.clock,
            self.randomness,
            lambda: self._announced(component),
            owner,
        )

    def receiver(self, component: str, owner: str | None = None) -> Receiver:
        """The same for a receiver."""
        return Receiver(
            self.topology.subscriptions[component],
            self._identities[component],
            self.databases[component],
            self.log,
            self.clock,
            self.randomness,
            self.binding(component),
            owner,
        )

    def stage(self, component: str) -> Stage:
        """What a rehearsal of this component needs."""
        return Stage(
            self.databases[component],
            self.log,
            self._identities[component],
            self.topology.subscriptions[component],
            self.clock,
            self.randomness,
        )

    def has_handlers(self, component: str) -> bool:
        """Whether this component handles anything: events, commands, or moments of calendars."""
        return bool(self.topology.subscriptions[component].registrations)

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
                self.wake_receivers(name)

    def _own(self, component: Component) -> Component:
        if self.components.get(component.name) is not component:
            raise ConfigurationError(
                f"Component {component.name!r} is not run here; open the system with it, or without only=."
            )
        return component

    def _say_promises(self) -> None:
        """Verify before anything is written that nothing can be lost, and say under which settings."""
        holders = {self.log.promise: ["log"]}
        for name in self.components:
            holders.setdefault(self.databases[name].promise(), []).append(name)
        for promise, names in holders.items():
            _logger.info("%s: %s", ", ".join(names), promise)

    def _prepare(self, component: Component) -> StoreIdentity:
        """Bring the component's database up to date with the declaration."""
        log = self.log.identity
        wanted = StoreIdentity(component.name, self.randomness.uuid(), self.name, log.system_id, log.partitions)
        return prepare(self.databases[component.name], wanted, self.topology.subscriptions[component.name], self.clock)

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
            did |= self._stepping(self._relays, name)
        for name in self.components:
            if not self.has_handlers(name):
                continue
            if name not in self._receivers:
                self._receivers[name] = self.receiver(name)
            receiver = self._receivers[name]
            receiver.raising = raising
            did |= self._stepping(self._receivers, name)
        return did

    def _stepping(self, loops: dict[str, Any], name: str) -> bool:
        """One step; a loop whose connection is lost is forgotten, and made anew for the next one."""
        try:
            return loops[name].step()
        except StoreUnavailable:
            if loops[name].is_broken:
                with suppress(Exception):
                    loops.pop(name).close()
            raise

    def _settle(self, step: Callable[[], bool]) -> None:
        """Step until nothing is left to do, twice in a row: the looks at several databases are not one moment."""
        until = self.clock.monotonic() + SETTLE_SECONDS_MAX
        before: object = None
        stands_still_since: float | None = None
        while self.clock.monotonic() < until:
            if step():
                before = None
                continue
            began = self.clock.monotonic()
            standings = self.look().values()
            took = self.clock.monotonic() - began
            stands_still_since = self._standstill(standings, stands_still_since)
            progress = [(s.unsent, s.counts.parked, s.counts.dead, s.numbered) for s in standings]
            quiet = stands_still_since is None and all(standing.is_quiet for standing in standings)
            if quiet and progress == before:
                return
            if not quiet:
                # Looking takes no more than half of the time: those who do the work need the machine too.
                self.clock.sleep(max(SETTLE_POLL_SECONDS, took))
            before = progress
        raise PreteriteError(
            f"System {self.name!r} has not settled within {SETTLE_SECONDS_MAX:.0f} s; "
            "see preterite status for what still moves."
        )

    def _standstill(self, standings: Collection[Standing], since: float | None) -> float | None:
        """Since when something stands still; a gap that its publisher heals is gone before it is too long."""
        now = self.clock.monotonic()
        for standing in standings:
            reasons = [*standing.stopped.values(), standing.counts.relay_stopped]
            reason = next((reason for reason in reasons if reason is not None), None)
            if reason is not None:
                if since is not None and now - since > STANDSTILL_SECONDS:
                    raise LogError(f"{standing.component!r} cannot settle: {reason}")
                return since or now
        return None

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
