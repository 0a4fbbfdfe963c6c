"""Live pages: a stream of server-sent events that says which component has changed, and what a client has missed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from secrets import token_hex

from preterite.drivers.extras import needing
from preterite.errors import LogError, StoreUnavailable
from preterite.open_system import OpenSystem
from preterite.printing.logger import logger

with needing("preterite.composition.web", "web"):
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.types import Receive, Scope, Send

POLL_SECONDS = 0.1
"""How often the databases are compared for the pages that listen for changes."""
RECENT_SECONDS = 10.0
"""How far back a new stream of changes begins: a page listens only some time after it was composed."""
HEARTBEAT_SECONDS = 15.0
"""How long a stream of changes is silent before a comment keeps its connection open."""
STREAMS_MAX = 256
"""Streams of changes that are open at the same time in a process."""
STREAMS_OF_CLIENT_MAX = 32
"""Streams of changes that one client's address has open at the same time in a process."""

_logger = logger("preterite.composition")


class Changes:
    """Notifies browsers that something was committed in a component's database or the log, not what it was.

    Polls once in `POLL_SECONDS` for all listeners, and not at all without one. A stream that is opened again begins
    with what has changed since the event that its client got last; a new one with what has changed in the last
    `RECENT_SECONDS`, in which its page was composed.
    """

    def __init__(self, system: OpenSystem) -> None:
        self._watched = {**system.databases, "log": system.log}
        self._versions: dict[str, int] = {}
        self._listeners: set[_Listener] = set()
        self._streams: Counter[str] = Counter()
        self._polling: asyncio.Task[None] | None = None
        self._unnoticed: set[str] = set()
        self._changed: dict[str, tuple[int, float]] = {}
        """By name: the number of its last change, and when that was noticed."""
        self._numbers = 0
        self._id = token_hex(8)

    async def __call__(self, request: Request) -> Response:
        """A stream of server-sent events, named `changed-COMPONENT`; for HEAD its head alone."""
        if request.method == "HEAD":
            return Response(headers={"Cache-Control": "no-store"}, media_type="text/event-stream")
        client = request.client.host if request.client is not None else ""
        if self._streams.total() >= STREAMS_MAX or self._streams[client] >= STREAMS_OF_CLIENT_MAX:
            return Response("Too many pages are open already.", 503, {"Retry-After": "10"})
        return _CountedStream(self._stream(request.headers.get("last-event-id", "")), self._streams, client)

    async def _stream(self, last: str) -> AsyncGenerator[str]:
        listener = _Listener()
        self._listeners.add(listener)
        if self._polling is None or self._polling.get_loop().is_closed():
            self._polling = asyncio.create_task(self._poll())
        listener.add(*self._missed(last))
        try:
            yield f": open\nid: {self._id}-{self._numbers}\n\n"
            while True:
                try:
                    await asyncio.wait_for(listener.notified.wait(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield ": heartbeat\n\n"
                    continue
                events = [f"event: changed-{name}\ndata: {name}\n\n" for name in listener.take()]
                # The id stands for all of them, and so in the last.
                yield "".join(events[:-1]) + f"id: {self._id}-{self._numbers}\n{events[-1]}"
        finally:
            self._listeners.discard(listener)

    def _missed(self, last: str) -> list[str]:
        """What has changed since the event with this id, or lately if there is none; everything if it is not known."""
        if not last:
            since = asyncio.get_running_loop().time() - RECENT_SECONDS
            return [name for name, (_, at) in self._changed.items() if at >= since]
        known, _, number = last.partition("-")
        if known != self._id or not (number.isascii() and number.isdecimal() and len(number) < 20):
            return list(self._watched)
        return [name for name, (changed, _) in self._changed.items() if changed > int(number)]

    async def _poll(self) -> None:
        try:
            while self._listeners:
                for name, version in (await asyncio.to_thread(self._current)).items():
                    # What is seen for the first time may have changed since the listener's page was composed.
                    if self._versions.get(name) != version:
                        self._versions[name] = version
                        self._notify(name)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            # The next listener starts polling again, whatever ended it.
            self._polling = None

    def _current(self) -> dict[str, int]:
        """The version of everything that is in reach."""
        found: dict[str, int] = {}
        for name, watched in self._watched.items():
            try:
                found[name] = watched.version()
                self._unnoticed.discard(name)
            except (StoreUnavailable, LogError):
                pass
            except Exception:
                # The others are polled on; that this one is not has to be known.
                if name not in self._unnoticed:
                    self._unnoticed.add(name)
                    _logger.exception("Pages are not notified of changes in %s at present.", name)
        return found

    def _notify(self, name: str) -> None:
        self._numbers += 1
        self._changed[name] = self._numbers, asyncio.get_running_loop().time()
        for listener in self._listeners:
            listener.add(name)


class _Listener:
    """What one stream has to say still: each name once, however slowly its client reads."""

    def __init__(self) -> None:
        self.notified = asyncio.Event()
        self._names: dict[str, None] = {}

    def add(self, *names: str) -> None:
        """Notify it of these."""
        self._names |= dict.fromkeys(names)
        if self._names:
            self.notified.set()

    def take(self) -> list[str]:
        """The names since the last call; at least one if it was notified."""
        names, self._names = list(self._names), {}
        self.notified.clear()
        return names


class _CountedStream(StreamingResponse):
    """A stream of server-sent events that counts for its client from here on until it ends, however it ends."""

    def __init__(self, events: AsyncGenerator[str], open_streams: Counter[str], client: str) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._open_streams = open_streams
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._open_streams[self._client] += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._open_streams[self._client] -= 1
            if not self._open_streams[self._client]:
                del self._open_streams[self._client]
