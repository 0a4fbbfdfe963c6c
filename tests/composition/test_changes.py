"""Streams of changes: what has changed reaches every client, however slowly it reads and however often it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import StreamingResponse

from preterite.composition.changes import Changes
from preterite.errors import StoreUnavailable

Stream = AsyncGenerator[str]


class Watched:
    """A database or a log whose version the test sets, and which counts how often it was read."""

    def __init__(self) -> None:
        self.now: Callable[[], int] = lambda: 0
        self.reads = 0
        self._awaited: list[tuple[int, asyncio.Event, asyncio.AbstractEventLoop]] = []

    def set(self, version: int) -> None:
        self.now = lambda: version

    def version(self) -> int:
        self.reads += 1
        for count, event, loop in self._awaited:
            if self.reads >= count:
                loop.call_soon_threadsafe(event.set)
        return self.now()

    async def read_again(self, times: int = 2) -> None:
        """Wait until it was read so often from now on."""
        event = asyncio.Event()
        self._awaited.append((self.reads + times, event, asyncio.get_running_loop()))
        await asyncio.wait_for(event.wait(), 60)


class System:
    def __init__(self) -> None:
        self.databases = {"sales": Watched(), "finance": Watched()}
        self.log = Watched()


def playing(play: Callable[[System, Changes], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Play it with a system that is polled without pauses."""
    monkeypatch.setattr("preterite.composition.changes.POLL_SECONDS", 0)
    system = System()
    asyncio.run(play(system, Changes(cast(Any, system))))


async def opened(changes: Changes, last: str = "") -> Stream:
    """A new stream, whose client has the id of its last event."""
    headers = [(b"last-event-id", last.encode())] if last else []
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers, "client": ("x", 1)}
    answer = await changes(Request(scope))
    return cast(Stream, cast(StreamingResponse, answer).body_iterator)


async def until_named(stream: Stream, *names: str) -> tuple[set[str], str]:
    """Read until all these were named; returns all that were, and the last id."""
    found: set[str] = set()
    last = ""
    while not found.issuperset(names):
        for line in (await asyncio.wait_for(anext(stream), 60)).splitlines():
            field, _, value = line.partition(": ")
            found |= {value} if field == "data" else set()
            last = value if field == "id" else last
    return found, last


async def settled(changes: Changes) -> tuple[Stream, str]:
    """A stream that has got everything that there is at first."""
    stream = await opened(changes)
    return stream, (await until_named(stream, "sales", "finance", "log"))[1]


def test_a_client_that_reads_slowly_misses_no_component(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(system: System, changes: Changes) -> None:
        stream, _ = await settled(changes)
        sales = system.databases["sales"]
        sales.now = lambda: sales.reads
        await sales.read_again(20)
        system.databases["finance"].set(1)
        await system.databases["finance"].read_again()

        assert (await until_named(stream, "finance"))[0] >= {"sales", "finance"}
        await stream.aclose()

    playing(play, monkeypatch)


@pytest.mark.parametrize("another", [False, True])
def test_a_client_that_was_away_gets_what_has_changed_meanwhile_and_nothing_else(
    another: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(system: System, changes: Changes) -> None:
        other = (await settled(changes))[0] if another else None
        stream, last = await settled(changes)
        await stream.aclose()
        finance = system.databases["finance"]
        finance.set(1)
        if other is not None:
            await until_named(other, "finance")

        back = await opened(changes, last)
        found, _ = await until_named(back, "finance")

        assert found == {"finance"}
        await back.aclose()

    playing(play, monkeypatch)


@pytest.mark.parametrize("last", ["of another process-3", "nonsense", "-", "\xff"])
def test_a_client_with_an_id_that_is_not_known_gets_everything(last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(system: System, changes: Changes) -> None:
        await settled(changes)

        await until_named(await opened(changes, last), "sales", "finance", "log")

    playing(play, monkeypatch)


def test_a_new_client_gets_what_has_changed_while_its_page_was_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(system: System, changes: Changes) -> None:
        other, _ = await settled(changes)
        system.databases["finance"].set(1)
        await until_named(other, "finance")

        await until_named(await opened(changes), "finance")

    playing(play, monkeypatch)


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), OSError("no permission")])
def test_a_database_that_cannot_be_watched_keeps_no_change_of_the_others_back(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing() -> int:
        raise error

    async def play(system: System, changes: Changes) -> None:
        stream, _ = await settled(changes)
        system.databases["sales"].now = failing
        await system.databases["sales"].read_again(3)
        system.databases["finance"].set(1)
        await until_named(stream, "finance")
        system.databases["sales"].set(2)
        await until_named(stream, "sales")

    playing(play, monkeypatch)

    unexpected = not isinstance(error, StoreUnavailable)
    assert [record.getMessage() for record in caplog.records] == [
        "Pages are not notified of changes in sales at present."
    ] * unexpected
