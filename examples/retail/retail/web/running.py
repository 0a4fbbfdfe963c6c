"""The components of the shop in this process, each of which can be stopped and started."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType

from preterite import Component, OpenSystem
from preterite.composition import Composer
from preterite.hosting.host import Host
from retail.system import system


class Running:
    """The running components. A stopped one consumes no events, and its parts show their fallback."""

    def __init__(
        self, urls: Mapping[str, str], composer: Composer, components: Sequence[Component] = system.components
    ) -> None:
        self._urls = {name: url for name, url in urls.items() if name != "log"}
        self._log = urls["log"]
        self._composer = composer
        self._lock = threading.Lock()
        self._running: dict[str, tuple[OpenSystem, Host]] = {}
        self.drill: Component | None = None
        """The component that is stopped for a drill, until it is started."""
        for component in components:
            self.start(component)

    def is_running(self, component: str) -> bool:
        """Whether it runs."""
        return component in self._running

    def start(self, component: Component) -> None:
        """Start a component, unless it runs."""
        with self._lock:
            if component.name not in self._running:
                opened = system.open(databases=self._urls, log=self._log, only=[component])
                host = Host(opened.runtime)
                host.start()
                self._running[component.name] = opened, host
                self._composer.stopped.discard(component.name)
            if self.drill is component:
                self.drill = None

    def stop(self, component: Component) -> None:
        """Stop a component, as a deployment or a crash would: it consumes no events and fills no pages."""
        with self._lock:
            if component.name in self._running:
                self._composer.stopped.add(component.name)
                self._end(component.name)

    def begin_drill(self, component: Component) -> None:
        """Stop a component for a drill."""
        self.drill = component
        self.stop(component)

    def close(self) -> None:
        """Stop them all."""
        with self._lock:
            for name in list(self._running):
                self._end(name)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _end(self, name: str) -> None:
        opened, host = self._running.pop(name)
        host.stop()
        opened.close()
