"""An open system: sessions and connections for each component, and the loops that process events.

`settle` runs the loops in the caller's own thread until nothing is left to do; `host.py` runs them in threads.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from types import TracebackType
from typing import Any, Literal, TypeVar, cast

from preterite import envelope as envelopes
from preterite.clock import Clock, Randomness
from preterite.component import Component
from preterite.contracts import Checked, Event
from preterite.errors import ConfigurationError, ConnectionLost, LogError, PreteriteError, StoreUnavailable, UsageError
from preterite.hosting.host import HandlerNotes
from preterite.hosting.runtime import Runtime, close_all
from preterite.log.contract import Log, Stream
from preterite.loop import Progress
from preterite.operations.status import ComponentStatus
from preterite.operations.status_reader import StatusReader
from preterite.printing.by_name import ByName
from preterite.publishing.relay import Relay
from preterite.publishing.sessions import SessionOpener
from preterite.receiving.receiver import Receiver
from preterite.store.contract import Database

SETTLE_SECONDS_MAX = 600.0
"""How long `settle` and `wait_settled` may take before they raise."""
SETTLE_POLL_SECONDS = 0.003
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

    def __init__(self, runtime: Runtime, connect: Callable[[], Runtime]) -> None:
        self.name = runtime.name
        self.components = runtime.components
        self.topology = runtime.topology
        self._connect = connect
        self._connecting = threading.Lock()
        self._of_other_processes: list[object] = []
        self._begin(runtime)

    @property
    def runtime(self) -> Runtime:
        """What a host or a test runs loops with: `Host(system.runtime)`.

        A process that was forked after the opening gets connections of its own, at its first use. The parent's are left
        as they are: what a child sent over them, or closed, would be the parent's.
        """
        if self._process != os.getpid():
            self._connect_again()
        return self._runtime

    @property
    def databases(self) -> Mapping[str, Database]:
        """The database of each component that runs here."""
        return self.runtime.databases

    @property
    def log(self) -> Log:
        """The log."""
        return self.runtime.log

    @property
    def clock(self) -> Clock:
        """The business clock."""
        return self.runtime.clock

    @property
    def randomness(self) -> Randomness:
        """Where ids come from."""
        return self.runtime.randomness

    def _begin(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._relays: dict[str, Relay] = {}
        self._receivers: dict[str, Receiver] = {}
        self._handler_notes = HandlerNotes(runtime, self._receivers)
        self._status_reader = StatusReader(runtime.topology, runtime.databases, runtime.log, runtime.clock)
        # Threads of the application take turns; a lock that was held at a fork is never released in the child.
        self._one_steps, self._one_reads = threading.Lock(), threading.Lock()
        self._stepping_thread: int | None = None
        self._process = os.getpid()

    def _connect_again(self) -> None:
        with self._connecting:
            if self._process == os.getpid():
                return
            # Kept: what Python's collector frees might be closed.
            self._of_other_processes += [self._runtime, self._relays, self._receivers, self._status_reader]
            self._begin(self._connect())

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

        Does the work in this thread, or waits for those that hold the leases. Threads that call it at the same time
        take turns. Inside a handler that it runs it raises `UsageError`.
        A handler's exception passes through unless `failures="park"`; what is to be retried later is left to wait.
        """
        _ = self.runtime  # of this process
        with self._handler_notes:
            self._settle(lambda: self._step_in_turn(raising=failures == "raise"))

    def wait_settled(self, meanwhile: Callable[[], None] | None = None) -> None:
        """The same, but does no work itself: a host here, or other processes, run the components.

        `meanwhile` is called each time that the status is read. Raises at once what has ended a host here for good, as
        `FileReplaced` does.
        """

        def wait_only() -> bool:
            if meanwhile is not None:
                meanwhile()
            if self.runtime.ended:
                raise self.runtime.ended[0]
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
        _ = self.runtime  # of this process
        with self._one_reads:
            return ByName("component", self._status_reader.status())

    def close(self) -> None:
        """Give up leases, connections and the log; what is not handled yet is handled after the next opening.

        Where sessions for asyncio were opened, a system is closed by `async with` on a running event loop; otherwise
        this raises `UsageError`, once all else is closed. In a forked process that has not used it, nothing is open.
        """
        if self._process != os.getpid():
            return
        loops = [*self._relays.values(), *self._receivers.values()]
        self._relays.clear()
        self._receivers.clear()
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

    def _step_in_turn(self, *, raising: bool) -> bool:
        if self._stepping_thread == threading.get_ident():
            raise UsageError("settle was called by a handler that it runs; it returns once that handler has ended.")
        with self._one_steps:
            self._stepping_thread = threading.get_ident()
            try:
                return self._step(raising=raising)
            finally:
                self._stepping_thread = None

    def _is_quiet(self) -> bool:
        with self._one_reads:
            return self._status_reader.is_quiet()

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
            busy |= self._stepping(self._receivers, name, lambda receiver: self._receive(receiver, raising))
        return busy

    def _receive(self, receiver: Receiver, raising: bool) -> Progress:
        try:
            return receiver.step(raising=raising)
        except ConnectionLost:
            # Its attempts are counted: if the handler has done it, its event becomes a dead letter.
            if raising:
                raise
            return Progress(True, False)

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
            if self._is_quiet():
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
        if not isinstance(cast(object, event_type), type):
            raise UsageError(f"{event_type!r} is no event; pass its class, as in published(ItemPurchased).")
        for wire_name, (publisher, declared) in self.topology.events.items():
            if declared is event_type:
                return wire_name, publisher
        raise ConfigurationError(f"No component of {self.name!r} publishes {event_type.__name__}.")


def _close_loop(loop: Relay | Receiver) -> None:
    # The leases of a loop whose connection is lost expire.
    with suppress(Exception) if loop.is_broken else nullcontext():
        loop.close()
