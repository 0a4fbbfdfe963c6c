"""An open system: sessions and connections for each component, and the loops that process events.

`settle` runs the loops in the caller's own thread until nothing is left to do; `host.py` runs them in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from types import TracebackType
from typing import Any, Literal, TypeVar, cast

from preterite import envelope as envelopes
from preterite.component import Component
from preterite.contracts import Checked, Event
from preterite.errors import ConfigurationError, LogError, PreteriteError, StoreUnavailable, UsageError
from preterite.hosting.runtime import Runtime, close_all
from preterite.log.contract import Stream
from preterite.loop import Progress
from preterite.operations.status import ComponentStatus
from preterite.operations.status_reader import StatusReader
from preterite.publishing.relay import Relay
from preterite.publishing.sessions import SessionOpener
from preterite.receiving.receiver import Receiver

SETTLE_SECONDS_MAX = 600.0
"""How long `settle` and `wait_settled` may take before they raise."""
SETTLE_POLL_SECONDS = 0.01
"""The shortest wait of `settle` for work of other processes or threads."""
SETTLE_STATUS_SECONDS = 0.5
"""How often `settle` reads the whole status, to see whether a stream or relay is stalled."""
STALL_SECONDS = 3.0
"""How long a stream or relay may be stalled before `settle` raises."""
PUBLISHED_READ = 1000
"""Records that `published` reads from the log at a time."""
AnyEvent = TypeVar("AnyEvent", bound=Event)


class OpenSystem:
    """What `System.open` returns; a context manager that closes everything."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        """What a host or a test runs loops with: `Host(system.runtime)`."""
        self.name = runtime.name
        self.components = runtime.components
        self.topology = runtime.topology
        self.databases = runtime.databases
        self.log = runtime.log
        self.clock = runtime.clock
        self.randomness = runtime.randomness
        self._relays: dict[str, Relay] = {}
        self._receivers: dict[str, Receiver] = {}
        self._status_reader = StatusReader(runtime.topology, runtime.databases, runtime.log, runtime.clock)

    def session(self, component: Component) -> SessionOpener:
        """A session on the component's database: `with` gives a Session, `async with` an AsyncSession."""
        return self.runtime.sessions.open(self._own(component).name)

    @contextmanager
    def connection(self, component: Component) -> Generator[Any]:
        """A bare connection to the component's database, closed at the end.

        Outside a unit of work each statement commits by itself.
        """
        name = self._own(component).name
        self.runtime.require(name)
        opened = self.databases[name].connect()
        opened.context = self.runtime.context(component.name)
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
        """The same, but does no work itself: a host here, or other processes, run the components.

        `meanwhile` is called each time that the status is read.
        """

        def wait_only() -> bool:
            if meanwhile is not None:
                meanwhile()
            return False

        self._settle(wait_only)

    async def settled(self, *, failures: Literal["raise", "park"] = "raise") -> None:
        """The same for asyncio; the loop stays free."""
        await asyncio.to_thread(self.settle, failures=failures)

    def published(self, event_type: type[AnyEvent]) -> list[AnyEvent]:
        """Every event of this type that the log holds, stream by stream; for tests."""
        wire_name, publisher = self._wire_name(event_type)
        checked = Checked(event_type)
        reader = self.log.reader({Stream(publisher, number): 0 for number in range(self.log.identity.partitions)})
        found: list[AnyEvent] = []
        while records := reader.read(PUBLISHED_READ):
            messages = [envelopes.from_bytes(record.body) for record in records if record.kind == "event"]
            found += [cast(AnyEvent, checked.decode(message.data)) for message in messages if message.type == wire_name]
        reader.close()
        return found

    def status(self) -> dict[str, ComponentStatus]:
        """The status of every component."""
        return self._status_reader.status()

    def close(self) -> None:
        """Give up leases, connections and the log; what is not handled yet is handled after the next opening.

        Where sessions for asyncio were opened, a system is closed by `async with` on a running event loop; otherwise
        this raises `UsageError`, once all else is closed.
        """
        loops = [*self._relays.values(), *self._receivers.values()]
        self._relays, self._receivers = {}, {}
        closers = [partial(_close_loop, loop) for loop in loops]
        close_all([*closers, self._status_reader.close, *self.runtime.closers()])

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
        try:
            await self.runtime.sessions.close_async()
        finally:
            await asyncio.to_thread(self.close)

    def _own(self, component: Any) -> Component:
        if not isinstance(component, Component):
            raise UsageError(
                f"{component!r} is no component; pass the Component itself, not its name. "
                f"Components that run here: {', '.join(self.components)}."
            )
        if self.components.get(component.name) is not component:
            raise ConfigurationError(
                f"Component {component.name!r} is not run here; open the system with it, or without only=."
            )
        return component

    def _step(self, *, raising: bool) -> bool:
        busy = False
        for name in self.components:
            if name not in self._relays:
                self._relays[name] = self.runtime.relay(name)
            busy |= self._stepping(self._relays, name, lambda relay: relay.step())
        for name in self.components:
            if not self.runtime.has_handlers(name):
                continue
            if name not in self._receivers:
                self._receivers[name] = self.runtime.receiver(name)
            busy |= self._stepping(self._receivers, name, lambda receiver: receiver.step(raising=raising))
        return busy

    def _stepping(self, loops: dict[str, Any], name: str, step: Callable[[Any], Progress]) -> bool:
        """One step; a loop whose connection is lost is forgotten, and made anew for the next one."""
        try:
            return step(loops[name]).busy
        except StoreUnavailable:
            if loops[name].is_broken:
                with suppress(Exception):
                    loops.pop(name).close()
            raise

    def _settle(self, step: Callable[[], bool]) -> None:
        """Step until the status says that nothing is left to do."""
        until = self.clock.monotonic() + SETTLE_SECONDS_MAX
        stalled_since: float | None = None
        read_status_at = self.clock.monotonic() + SETTLE_STATUS_SECONDS
        while self.clock.monotonic() < until:
            if step():
                continue
            began = self.clock.monotonic()
            if self._status_reader.is_quiet():
                return
            if began >= read_status_at:
                stalled_since = self._stalled_since(self.status().values(), stalled_since)
                read_status_at = began + SETTLE_STATUS_SECONDS
            # Reading takes at most half of the time; the rest is for the work itself.
            self.clock.sleep(max(SETTLE_POLL_SECONDS, self.clock.monotonic() - began))
        raise PreteriteError(
            f"System {self.name!r} has not settled within {SETTLE_SECONDS_MAX:.0f} s; "
            "run preterite status to see what is left."
        )

    def _stalled_since(self, statuses: Collection[ComponentStatus], since: float | None) -> float | None:
        """Since when a stream or relay is stalled; a gap that its publisher fills is gone before it is too long."""
        now = self.clock.monotonic()
        for status in statuses:
            reasons = [*status.stalled.values(), status.counts.relay_halt]
            reason = next((reason for reason in reasons if reason is not None), None)
            if reason is not None:
                if since is not None and now - since > STALL_SECONDS:
                    raise LogError(f"{status.component!r} cannot settle: {reason}")
                return since or now
        return None

    def _wire_name(self, event_type: type[Event]) -> tuple[str, str]:
        for wire_name, (publisher, declared) in self.topology.events.items():
            if declared is event_type:
                return wire_name, publisher
        raise ConfigurationError(f"No component of {self.name!r} publishes {event_type.__name__}.")


def _close_loop(loop: Relay | Receiver) -> None:
    # The leases of a loop whose connection is lost expire.
    with suppress(Exception) if loop.is_broken else nullcontext():
        loop.close()
