"""Composing pages: one call per part, whatever else is slow, broken or stopped; read-only, and without HTTP."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session
from support.paper_shop import (
    BookId,
    OrderId,
    gates,
    ledger,
    library,
    library_parts,
    lines,
    names,
    open_shop,
    order_page,
    shelf,
)
from support.processes import until

from preterite.composition import ComposedPage, Composer, Ids, NotFound, Page, PageRequest, PartResult, Parts, State
from preterite.composition.context import INLINE_PAUSE_SECONDS, InlineBudget
from preterite.composition.execution import FULL_SECONDS
from preterite.composition.pools import CALLS_AT_A_TIME
from preterite.errors import ConfigurationError, UsageError

ORDER = OrderId(UUID(int=4711))
AMPLE_SECONDS = 60.0
"""No part is late because the machine is slow; a part that is to be late has its own `seconds`."""


@contextmanager
def composing(books: int = 3, *pages: Page, **options: Any) -> Generator[Composer]:
    options = {"optional_seconds": AMPLE_SECONDS, "required_seconds": AMPLE_SECONDS, **options}
    with open_shop(ORDER, books) as shop, Composer(shop, pages or [order_page], **options) as composer:
        yield composer
        gates.open.set()


def calls_of(function: Callable[..., Any]) -> tuple[list[Any], Callable[..., Any]]:
    """What this function has returned from now on, and the function that keeps it."""
    returned: list[Any] = []

    def watched(*arguments: Any) -> Any:
        found = function(*arguments)
        returned.append(found)
        return found

    return returned, watched


@pytest.mark.parametrize("books", [1, 10, 500])
def test_a_page_makes_as_many_calls_as_it_has_parts_however_many_lines_it_shows(books: int) -> None:
    with composing(books) as composer:
        composed = composer.compose(order_page, order=ORDER)

    assert (composed.calls, len(gates.asked), composed.status) == (3, 3, 200)
    assert len(composed["names"].value) == books
    assert {name: len(ids) for name, ids in gates.asked} == {"lines": 1, "names": books, "shelf": 0}


def test_every_part_sees_the_request_and_its_own_component_only() -> None:
    viewer = UUID(int=7)
    with composing() as composer:
        composed = composer.compose(order_page, order=ORDER, viewer=viewer, params={"page": "2"})

    assert composed["shelf"].value == {"viewer": str(viewer), "page": "2"}
    assert composed["names"].of(BookId(UUID(int=1))) == "Book 0"


def test_a_broken_part_leaves_its_fallback_and_every_other_slot_unchanged() -> None:
    with composing() as composer:
        whole = composer.compose(order_page, order=ORDER)
        gates.broken = {"names"}
        broken = composer.compose(order_page, order=ORDER)
        gates.broken = set()
        healed = composer.compose(order_page, order=ORDER)

    assert broken["names"].state is State.FAILED
    assert [slot.fallback for slot in broken.missing] == ["Names are not available right now."]
    assert broken["names"].of(BookId(UUID(int=1))) == "–"
    assert broken["lines"].value == whole["lines"].value
    assert (broken.status, healed.missing) == (200, [])


def test_a_part_that_fails_is_logged_once_and_its_recovery_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "preterite.composition")
    with composing() as composer:
        gates.broken = {"names"}
        for _ in range(3):
            composer.compose(order_page, order=ORDER)
        gates.broken = set()
        for _ in range(2):
            composer.compose(order_page, order=ORDER)

    logged = [record.getMessage() for record in caplog.records]
    assert logged == ["library.names failed; its slot shows the fallback.", "library.names has recovered."]


def test_a_part_that_is_late_at_every_view_is_logged_once_though_it_ends_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "preterite.composition")
    page = replace(order_page, parts=[lines, replace(names, seconds=0.05)])
    with composing(3, page) as composer:
        ended, watched = calls_of(composer.context.pools["library"].call)
        composer.context.pools["library"].call = watched  # type: ignore[method-assign]
        for view in range(1, 4):
            gates.open.clear()
            composer.compose(page, order=ORDER)
            gates.open.set()
            until(lambda view=view: len(ended) == view, "the part ends")

    assert [record.getMessage() for record in caplog.records] == [
        "library.names did not answer within 50 ms; its slot shows the fallback."
    ]


@pytest.mark.parametrize("inline", [False, True])
def test_a_slow_part_delays_the_page_by_its_deadline_and_not_by_what_it_takes(inline: bool) -> None:
    page = replace(order_page, parts=[lines, replace(names, seconds=0.1), shelf])
    with composing(3, page, inline=inline) as composer:
        gates.open.clear()
        slow = composer.compose(page, order=ORDER)

    assert slow["names"].state is State.LATE
    assert (slow["lines"].state, slow["shelf"].state) == (State.FILLED, State.FILLED)


@pytest.mark.parametrize("inline", [False, True])
def test_the_event_loop_goes_on_while_a_slow_part_delays_its_page(inline: bool) -> None:
    async def open_meanwhile(composer: Composer) -> ComposedPage:
        view = asyncio.create_task(composer.compose_async(order_page, order=ORDER))
        await asyncio.to_thread(gates.arrived.acquire)
        gates.open.set()
        return await view

    with composing(inline=inline) as composer:
        gates.open.clear()
        composed = asyncio.run(open_meanwhile(composer))

    assert composed["names"].state is State.FILLED


@pytest.mark.parametrize("inline", [False, True])
def test_the_event_loop_is_blocked_while_a_part_runs_only_if_the_application_chose_so(
    inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preterite.composition.context.INLINE_SECONDS", 2 * AMPLE_SECONDS)
    parts = Parts(ledger)

    @parts.part(fallback="Not now.")
    def has_run() -> bool:
        """Whether the event loop has run while this part did."""
        loop.call_soon_threadsafe(turn.set)
        return turn.is_set() if inline else turn.wait(AMPLE_SECONDS)

    async def composed(composer: Composer) -> ComposedPage:
        nonlocal loop
        loop = asyncio.get_running_loop()
        return await composer.compose_async(page)

    loop: Any = None
    turn = threading.Event()
    page = Page("page", parts=[has_run])
    with composing(1, page, inline=inline) as composer:
        slot = asyncio.run(composed(composer))["has_run"]

    assert (slot.state, slot.value) == (State.FILLED, not inline)


def test_a_page_with_a_slow_part_is_not_inline_for_a_while() -> None:
    budget = InlineBudget(inline=True)
    available = [budget.is_available(100.0)]
    budget.exhaust(100.0)
    available += [budget.is_available(100.0 + pause) for pause in (INLINE_PAUSE_SECONDS - 0.01, INLINE_PAUSE_SECONDS)]

    assert available == [True, False, True]
    assert not InlineBudget(inline=False).is_available(100.0)


def test_parts_that_answer_at_once_are_called_one_after_another_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preterite.composition.context.OVERLAP_SECONDS", 2 * AMPLE_SECONDS)
    with composing() as composer:
        threads, watched = calls_of(composer.context.run_in_thread)
        monkeypatch.setattr(composer.context, "run_in_thread", watched)
        composed = composer.compose(order_page, order=ORDER)

    assert (composed.calls, len(threads)) == (3, 1)


def test_a_slow_component_takes_no_threads_from_the_others() -> None:
    async def many(composer: Composer) -> list[ComposedPage]:
        slow = [composer.compose_async(shelf_page, book=BookId(UUID(int=1))) for _ in range(50)]
        return list(await asyncio.gather(*slow, *(composer.compose_async(order_page, order=ORDER) for _ in range(6))))

    shelf_page = Page("shelf", takes={"book": BookId}, parts=[names])
    with composing(3, shelf_page, order_page, optional_seconds=0.5) as composer:
        gates.open.clear()
        views = asyncio.run(many(composer))
        asked = [name for name, _ in gates.asked]

    assert {view["names"].state for view in views} == {State.LATE}
    assert asked.count("names") <= CALLS_AT_A_TIME
    assert [view["lines"].state for view in views if view.page == "order"] == [State.FILLED] * 6


@pytest.mark.parametrize("inline", [False, True])
def test_of_parts_that_become_ready_together_a_slow_one_does_not_delay_the_other(inline: bool) -> None:
    @Parts(ledger).part(fallback="Not now.")
    def opener(books: Ids[BookId]) -> int:
        gates.open.set()
        return len(books)

    seconds = 20.0
    page = replace(order_page, parts=[lines, names, opener])
    with composing(3, page, inline=inline, optional_seconds=seconds) as composer:
        gates.open.clear()
        composed = composer.compose(page, order=ORDER)

    assert (composed["names"].state, composed["opener"].state) == (State.FILLED, State.FILLED)
    assert composed.milliseconds < seconds * 1000 / 2


@pytest.mark.parametrize("inline", [False, True])
def test_what_depends_on_a_late_part_is_called_with_the_identifiers_of_its_other_sources(inline: bool) -> None:
    held = threading.Event()

    @Parts(ledger).part(provides=[BookId], fallback="Not now.", seconds=0.1)
    def suggested() -> PartResult:
        held.wait(AMPLE_SECONDS)
        return PartResult({}, provides={BookId: [BookId(UUID(int=2))]})

    page = Page("book", takes={"book": BookId}, parts=[suggested, names.of("book", "suggested")])
    with composing(3, page, inline=inline) as composer:
        composed = composer.compose(page, book=BookId(UUID(int=1)))
        held.set()

    assert (composed["suggested"].state, composed["names"].state) == (State.LATE, State.FILLED)
    assert set(composed["names"].value) == {UUID(int=1)}


@pytest.mark.parametrize("inline", [False, True])
def test_a_part_whose_component_is_full_is_called_once_it_has_a_place_again(
    inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def beside_a_full_component(composer: Composer) -> ComposedPage:
        views = [composer.compose_async(names_page, book=BookId(UUID(int=1))) for _ in range(CALLS_AT_A_TIME)]
        full = [asyncio.create_task(view) for view in views]
        for _ in range(CALLS_AT_A_TIME):
            await asyncio.to_thread(gates.arrived.acquire)
        last = asyncio.create_task(composer.compose_async(last_page))
        await asyncio.to_thread(refused.wait, AMPLE_SECONDS)
        gates.open.set()
        await asyncio.gather(*full)
        return await last

    def watched(enter: Callable[[], bool]) -> bool:
        has_place = enter()
        if not has_place:
            refused.set()
        return has_place

    @Parts(ledger).part(provides=[BookId], fallback="Not now.")
    def found() -> PartResult:
        return PartResult({}, provides={BookId: [BookId(UUID(int=1))]})

    refused = threading.Event()
    last_page = Page("last", parts=[found, names])
    names_page = Page("names", takes={"book": BookId}, parts=[names])
    with composing(3, names_page, last_page, inline=inline) as composer:
        gates.open.clear()
        pool = composer.context.pools["library"]
        monkeypatch.setattr(pool, "enter", partial(watched, pool.enter))
        composed = asyncio.run(beside_a_full_component(composer))

    assert composed["names"].state is State.FILLED


def test_a_full_component_is_tried_again_after_a_pause_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def many(composer: Composer) -> list[ComposedPage]:
        views = [composer.compose_async(page, book=BookId(UUID(int=1))) for _ in range(CALLS_AT_A_TIME + 1)]
        return list(await asyncio.gather(*views))

    seconds = 0.5
    page = Page("names", takes={"book": BookId}, parts=[names])
    with composing(3, page, order_page, optional_seconds=seconds) as composer:
        pool = composer.context.pools["library"]
        places, watched = calls_of(pool.enter)
        monkeypatch.setattr(pool, "enter", watched)
        gates.open.clear()
        views = asyncio.run(many(composer))

    assert {view["names"].state for view in views} == {State.LATE}
    assert places.count(True) == CALLS_AT_A_TIME
    assert 1 <= places.count(False) <= seconds / FULL_SECONDS + 1


def test_a_stopped_component_is_not_called() -> None:
    with composing() as composer:
        composer.stopped.add("library")
        composed = composer.compose(order_page, order=ORDER)

    assert (composed["names"].state, composed["shelf"].state) == (State.STOPPED, State.STOPPED)
    assert [name for name, _ in gates.asked] == ["lines"]


@pytest.mark.parametrize(("trouble", "status"), [("not found", 404), ("broken", 503), ("stopped", 503)])
def test_a_required_part_decides_the_status(trouble: str, status: int) -> None:
    with composing() as composer:
        gates.broken = {"lines"} if trouble == "broken" else set()
        composer.stopped |= {"ledger"} if trouble == "stopped" else set()
        order = OrderId(UUID(int=1)) if trouble == "not found" else ORDER
        composed = composer.compose(order_page, order=order)

    assert composed.status == status
    assert composed["names"].state is State.NOT_CALLED
    assert composed["names"].value == {}


def test_an_identifier_that_its_component_does_not_know_affects_one_row() -> None:
    with open_shop(ORDER, 3) as shop:
        with shop.connection(library) as connection, library.unit_of_work(connection):
            connection.execute("delete from book where name = 'Book 1'")
        with Composer(shop, [order_page], optional_seconds=AMPLE_SECONDS) as composer:
            shown = composer.compose(order_page, order=ORDER)["names"]

    assert [shown.of(BookId(UUID(int=number))) for number in (1, 2, 3)] == [
        "Book 0",
        "a book no longer listed",
        "Book 2",
    ]


def test_for_one_slot_only_the_parts_that_it_needs_are_called() -> None:
    with composing() as composer:
        composed = composer.compose(order_page, order=ORDER, only=["names"])

    assert set(composed.slots) == {"lines", "names"}
    assert composed.calls == 2


def test_a_page_has_the_same_values_with_and_without_an_event_loop() -> None:
    async def from_asyncio(composer: Composer) -> ComposedPage:
        return await composer.compose_async(order_page, order=ORDER)

    with composing() as composer:
        plain = composer.compose(order_page, order=ORDER)
        awaited = asyncio.run(from_asyncio(composer))

    assert {name: slot.value for name, slot in plain.slots.items()} == {
        name: slot.value for name, slot in awaited.slots.items()
    }


def test_a_part_cannot_write() -> None:
    parts = Parts(library)

    @parts.part(fallback="Not now.")
    def thief(connection: sqlite3.Connection) -> None:
        connection.execute("delete from book")

    page = Page("thief", parts=[thief])
    with composing(3, page, order_page) as composer:
        stolen = composer.compose(page)
        left = composer.compose(order_page, order=ORDER)

    assert stolen["thief"].state is State.FAILED
    assert len(left["names"].value) == 3


def test_parts_over_sqlalchemy_read_as_well_and_cannot_write_either() -> None:
    parts = Parts(library)

    @parts.part(fallback="Not now.")
    def by_session(session: Session) -> list[str]:
        return list(session.scalars(text("select name from book order by name")))

    @parts.part(fallback="Not now.")
    def by_connection(connection: Connection) -> list[str]:
        return list(connection.scalars(text("select name from book order by name")))

    @parts.part(fallback="Not now.")
    def thief_by_session(session: Session) -> None:
        session.execute(text("delete from book"))
        session.commit()

    @parts.part(fallback="Not now.")
    def thief_by_connection(connection: Connection) -> None:
        connection.execute(text("delete from book"))
        connection.commit()

    page = Page("sqlalchemy", parts=[thief_by_session, thief_by_connection, by_session, by_connection])
    with composing(2, page) as composer:
        composer.compose(page)
        composed = composer.compose(page)

    assert [composed[slot].state for slot in ("thief_by_session", "thief_by_connection")] == [State.FAILED] * 2
    assert composed["by_session"].value == composed["by_connection"].value == ["Book 0", "Book 1"]


def test_a_part_that_ends_its_transaction_affects_no_later_call() -> None:
    parts = Parts(library)

    @parts.part(fallback="Not now.")
    def ended(connection: Connection) -> list[str]:
        found = list(connection.scalars(text("select name from book order by name")))
        connection.rollback()
        return found

    @parts.part(fallback="Not now.")
    def thief(connection: Connection) -> None:
        connection.rollback()
        connection.execute(text("delete from book"))
        connection.commit()

    ended_page, thief_page = Page("ended", parts=[ended]), Page("thief", parts=[thief])
    with composing(2, ended_page, thief_page) as composer:
        views = [composer.compose(ended_page) for _ in range(3)]
        stolen = composer.compose(thief_page)
        after = composer.compose(ended_page)

    assert stolen["thief"].state is State.FAILED
    assert [view["ended"].value for view in [*views, after]] == [["Book 0", "Book 1"]] * 4


def test_what_a_part_provides_without_declaring_it_is_refused() -> None:
    parts = Parts(library)

    @parts.part(fallback="Not now.")
    def generous() -> PartResult:
        return PartResult({}, provides={BookId: []})

    page = Page("generous", parts=[generous])
    with composing(1, page) as composer:
        assert composer.compose(page)["generous"].state is State.FAILED


def test_an_optional_part_that_finds_nothing_leaves_the_page_as_it_is() -> None:
    parts = Parts(library)

    @parts.part(fallback="Not now.")
    def absent(request: PageRequest) -> None:
        raise NotFound("Nothing here.")

    page = Page("absent", parts=[absent])
    with composing(1, page) as composer:
        composed = composer.compose(page)

    assert (composed["absent"].state, composed.status, composed.missing) == (State.NOT_FOUND, 200, [])


def test_a_page_is_composed_for_the_present_of_the_system_or_for_another_moment() -> None:
    parts = Parts(library)

    @parts.part(fallback="Not now.")
    def moment(request: PageRequest) -> datetime:
        return request.as_of

    page = Page("moment", parts=[moment])
    then = datetime(2011, 3, 1, tzinfo=UTC)
    with composing(1, page) as composer:
        assert composer.compose(page)["moment"].value == datetime(2013, 7, 30, 12, tzinfo=UTC)
        assert composer.compose(page, as_of=then)["moment"].value == then


def test_misuse_is_refused_in_one_sentence() -> None:
    async def on_a_loop(composer: Composer) -> None:
        composer.compose(order_page, order=ORDER)

    with composing() as composer:
        with pytest.raises(UsageError, match="takes order, not"):
            composer.compose(order_page, oder=ORDER)
        with pytest.raises(UsageError, match="write: await"):
            asyncio.run(on_a_loop(composer))
        with pytest.raises(UsageError, match=r"order is \[.*\], no identifier; pass one, or a frozenset"):
            composer.compose(order_page, order=[ORDER])
        assert composer.compose(order_page, order={ORDER}).status == 200
    with pytest.raises(UsageError, match="This composer is closed"):
        composer.compose(order_page, order=ORDER)


def test_pages_that_are_too_many_are_refused_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("preterite.composition.composer.EXECUTIONS_MAX", 0)
    with composing() as composer:
        refused = [composer.compose(order_page, order=ORDER) for _ in range(3)]

    assert {(page.calls, page.status) for page in refused} == {(0, 503)}
    assert [record.getMessage()[:25] for record in caplog.records] == ["0 pages are being compose"]


def test_pages_of_a_component_that_was_not_opened_are_refused() -> None:
    from preterite import System

    other = System("ledger-only", [ledger])
    with pytest.raises(ConfigurationError, match="parts of 'library'"):
        from preterite.testing import started

        with started(other) as shop:
            Composer(shop, [Page("shelf", parts=[shelf])])


def test_identifiers_of_one_kind_arrive_as_one_set() -> None:
    parts = Parts(library)

    @parts.part(provides=[BookId], fallback="Not now.")
    def first() -> PartResult:
        return PartResult([], provides={BookId: [BookId(UUID(int=2)), BookId(UUID(int=1)), BookId(UUID(int=2))]})

    @library_parts.part(fallback="Not now.")
    def seen(books: Ids[BookId]) -> list[BookId]:
        return sorted(books)

    page = Page("set", takes={"book": BookId}, parts=[first, seen])
    with composing(1, page) as composer:
        composed = composer.compose(page, book=frozenset({BookId(UUID(int=3)), BookId(UUID(int=1))}))

    assert composed["seen"].value == [UUID(int=1), UUID(int=2), UUID(int=3)]
