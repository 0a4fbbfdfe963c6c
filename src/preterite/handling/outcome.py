"""What a handler returns: nothing, or something to be awaited. Work that would never be done is its failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from inspect import isawaitable, isroutine
from typing import Any, TypeVar, cast

from preterite.errors import HandlerFailed
from preterite.handling.failure import is_of_a_library

Result = TypeVar("Result")
_OF_STATEMENTS = frozenset({"aiosqlite", "psycopg", "sqlalchemy"})
"""Libraries whose tasks are statements that the handler has begun, by `gather` for example."""
_UNDONE = (Generator, AsyncGenerator, Future, partial)


class HandlerLoop:
    """The event loop of one worker's `async def` handlers. Used by one thread."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Run it to its end; what a handler that stops the loop has left open is cancelled, and then closed."""
        started: list[asyncio.Task[Any]] = []

        async def noted() -> Result:
            started.append(cast("asyncio.Task[Any]", asyncio.current_task()))
            return await coroutine

        try:
            return self._runner.run(noted())
        finally:
            for task in started:
                self._end(task)

    def close(self) -> None:
        """Close the loop."""
        self._runner.close()

    def _end(self, task: asyncio.Task[Any]) -> None:
        """Cancel it if it has not ended; each time that it stops the loop again, it goes on from there."""
        loop = self._runner.get_loop()
        while not task.done():
            task.cancel()
            with suppress(RuntimeError, asyncio.CancelledError):
                loop.run_until_complete(asyncio.gather(task, return_exceptions=True))


def run_to_its_end(handler: str, outcome: object, run: Callable[[Coroutine[Any, Any, None]], object]) -> None:
    """Await what a handler has returned, if it can be awaited.

    Raises `HandlerFailed` where it is a generator, a function or a future, whose work would not be done or waited for.
    """
    if isawaitable(outcome):
        run(_awaited(handler, outcome))
    else:
        _refuse_undone(handler, outcome)


def _refuse_undone(handler: str, outcome: object) -> None:
    kind = type(outcome).__name__
    if isinstance(outcome, _UNDONE) or isroutine(outcome):
        what = f"a {kind} that it returned, which is never run or waited for"
        raise HandlerFailed(handler, f"{what}; do it in the handler")


async def _awaited(handler: str, outcome: Awaitable[Any]) -> None:
    """Await it. A task of the application's own that is left unfinished is cancelled, and the handler has failed.

    Tasks of libraries are left alone: a client of some service keeps one for its connection.
    """
    before = asyncio.all_tasks()
    left: list[asyncio.Task[Any]] = []
    try:
        result = await outcome
        while isawaitable(result):
            result = await result
        _refuse_undone(handler, result)
    finally:
        left += [task for task in asyncio.all_tasks() - before if not _is_of_a_library(task)]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
    if left:
        names = ", ".join(sorted(getattr(task.get_coro(), "__qualname__", "a task") for task in left))
        raise HandlerFailed(handler, f"a task left behind ({names}), which was cancelled; await it in the handler")


def _is_of_a_library(task: asyncio.Task[Any]) -> bool:
    coroutine = task.get_coro()
    code, frame = getattr(coroutine, "cr_code", None), getattr(coroutine, "cr_frame", None)
    package = "" if frame is None else frame.f_globals.get("__name__", "").partition(".")[0]
    return code is None or (is_of_a_library(code.co_filename) and package not in _OF_STATEMENTS)
