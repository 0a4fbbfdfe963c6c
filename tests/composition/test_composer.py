"""Composing pages: one call per part, whatever else is slow, broken or stopped; read-only, and without HTTP."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from paper_shop import BookId, OrderId, gates, ledger, library, library_parts, names, open_shop, order_page, shelf
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from preterite.composition import Ask, Composed, Composer, Ids, NotThere, Page, Parts, Slice, State
from preterite.composition.desks import CALLS_AT_A_TIME
from preterite.composition.views import HURRY_SECONDS, NO_PLACE_SECONDS, PATIENCE_SECONDS, Patience
from preterite.errors import ConfigurationError, UsageError

ORDER = OrderId(UUID(int=4711))


@contextmanager
def composing(books: int = 3, *pages: Page, **options: Any) -> Generator[Composer]:
    with open_shop(ORDER, books) as shop, Composer(shop, pages or [order_page], **options) as composer:
        yield composer
        gates.open.set()


def watched_threads(composer: Composer, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Whatever is run in a thread from now on."""
    sent: list[Callable[[], None]] = []
    in_a_thread = composer.in_a_thread

    def watched(work: Callable[[], None]) -> None:
        sent.append(work)
        in_a_thread(work)

    monkeypatch.setattr(composer, "in_a_thread", watched)
    return sent


@pytest.mark.parametrize("books", [1, 10, 500])
def test_a_page_makes_as_many_calls_as_it_has_parts_however_many_lines_it_shows(books: int) -> None:
    with composing(books, optional_seconds=5) as composer:
        composed = composer.compose(order_page, order=ORDER)

    assert (composed.calls, len(gates.asked), composed.status) == (3, 3, 200)
    assert len(composed["names"].value) == books
    assert {name: len(ids) for name, ids in gates.asked} == {"lines": 1, "names": books, "shelf": 0}


def test_every_part_sees_the_question_and_its_own_component_only() -> None:
    viewer = UUID(int=7)
    with composing() as composer:
        composed = composer.compose(order_page, order=ORDER, viewer=viewer, words={"page": "2"})

    assert composed["shelf"].value == {"viewer": str(viewer), "page": "2"}
    assert composed["names"].of(BookId(UUID(int=1))) == "Book 0"


def test_a_broken_part_leaves_its_sentence_and_every_other_slot_as_it_would_be() -> None:
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


def test_a_part_that_fails_is_said_once_and_its_recovery_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "preterite.composition")
    with composing() as composer:
        gates.broken = {"names"}
        for _ in range(3):
            composer.compose(order_page, order=ORDER)
        gates.broken = set()
        for _ in range(2):
            composer.compose(order_page, order=ORDER)

    said = [record.getMessage() for record in caplog.records]
    assert said == ["library.names failed; its slot shows the fallback.", "library.names answers again."]


def test_a_slow_part_delays_the_page_by_its_deadline_and_not_by_what_it_takes() -> None:
    with composing(optional_seconds=0.1) as composer:
        composer.compose(order_page, order=ORDER)
        gates.open.clear()
        began = time.monotonic()
        slow = composer.compose(order_page, order=ORDER)
        took = time.monotonic() - began

    assert slow["names"].state is State.LATE
    assert slow["shelf"].state is State.FILLED
    assert took < 5, "the part would have waited for ten seconds"


def test_the_event_loop_goes_on_while_a_part_keeps_its_page_waiting() -> None:
    async def open_meanwhile(composer: Composer) -> Composed:
        view = asyncio.create_task(composer.composed(order_page, order=ORDER))
        await asyncio.to_thread(gates.arrived.acquire)
        gates.open.set()
        return await view

    with composing(required_seconds=60, optional_seconds=60) as composer:
        gates.open.clear()
        composed = asyncio.run(open_meanwhile(composer))

    assert composed["names"].state is State.FILLED
    assert composed.milliseconds < 5_000, "the part would have waited for ten seconds"


def test_the_event_loop_stands_still_for_no_page_for_which_it_has_just_in_vain() -> None:
    patience = Patience(stands_still=True)
    lasted = [patience.lasts(100.0)]
    patience.lose(100.0)
    lasted += [patience.lasts(100.0 + HURRY_SECONDS - 0.01), patience.lasts(100.0 + HURRY_SECONDS)]

    assert lasted == [True, False, True]
    assert not Patience(stands_still=False).lasts(100.0)


def test_a_slow_component_takes_no_threads_from_the_others() -> None:
    async def many(composer: Composer) -> list[Composed]:
        slow = [composer.composed(shelf_page, book=BookId(UUID(int=1))) for _ in range(50)]
        return list(await asyncio.gather(*slow, *(composer.composed(order_page, order=ORDER) for _ in range(6))))

    shelf_page = Page("shelf", takes={"book": BookId}, parts=[names])
    with composing(3, shelf_page, order_page, optional_seconds=1) as composer:
        gates.open.clear()
        views = asyncio.run(many(composer))
        asked = [name for name, _ in gates.asked]

    assert {view["names"].state for view in views} == {State.LATE}
    assert asked.count("names") <= CALLS_AT_A_TIME
    assert [view["lines"].state for view in views if view.page == "order"] == [State.FILLED] * 6


def test_what_waits_for_a_slow_part_is_asked_with_the_rest_once_that_is_late() -> None:
    parts = Parts(ledger)

    @parts.part(gives=[BookId], fallback="Not now.")
    def suggested() -> Slice:
        gates.open.wait(10)
        return Slice({}, gives={BookId: [BookId(UUID(int=2))]})

    page = Page("book", takes={"book": BookId}, parts=[suggested, names.of("book", "suggested")])
    with composing(3, page, optional_seconds=0.2) as composer:
        composer.compose(page, book=BookId(UUID(int=1)))
        gates.open.clear()
        opening = threading.Timer(0.3, gates.open.set)
        opening.start()
        composed = composer.compose(page, book=BookId(UUID(int=1)))
        opening.join()

    assert (composed["suggested"].state, composed["names"].state) == (State.LATE, State.FILLED)
    assert set(composed["names"].value) == {UUID(int=1)}


def test_a_part_whose_component_is_full_is_asked_once_it_has_a_place_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def in_a_full_house(composer: Composer) -> Composed:
        full = [asyncio.create_task(composer.composed(names_page, book=BookId(UUID(int=1)))) for _ in range(places)]
        for _ in range(places):
            await asyncio.to_thread(gates.arrived.acquire)
        last = asyncio.create_task(composer.composed(slow_page))
        await asyncio.to_thread(refused.wait, 10)
        gates.open.set()
        await asyncio.gather(*full)
        return await last

    refused = threading.Event()

    def watched(enter: Callable[[], bool]) -> bool:
        has_place = enter()
        if not has_place:
            refused.set()
        return has_place

    parts = Parts(ledger)

    @parts.part(gives=[BookId], fallback="Not now.")
    def slowly_found() -> Slice:
        refused.wait(10 * PATIENCE_SECONDS)
        return Slice({}, gives={BookId: [BookId(UUID(int=1))]})

    places = CALLS_AT_A_TIME
    slow_page = Page("slow", parts=[slowly_found, names])
    names_page = Page("names", takes={"book": BookId}, parts=[names])
    with composing(3, names_page, slow_page, optional_seconds=5) as composer:
        gates.open.clear()
        desk = composer.desks["library"]
        monkeypatch.setattr(desk, "enter", partial(watched, desk.enter))
        composed = asyncio.run(in_a_full_house(composer))

    assert composed["names"].state is State.FILLED
    assert composed.milliseconds < 5_000, "nothing has waited until the deadline of the other part"


def test_a_component_that_is_full_is_not_asked_for_a_place_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def many(composer: Composer) -> list[Composed]:
        return list(
            await asyncio.gather(
                *(composer.composed(page, book=BookId(UUID(int=1))) for _ in range(CALLS_AT_A_TIME + 1))
            )
        )

    page = Page("names", takes={"book": BookId}, parts=[names])
    with composing(3, page, order_page, optional_seconds=0.5) as composer:
        sent = watched_threads(composer, monkeypatch)
        gates.open.clear()
        views = asyncio.run(many(composer))

    assert {view["names"].state for view in views} == {State.LATE}
    assert len(sent) <= CALLS_AT_A_TIME + 0.5 / NO_PLACE_SECONDS + 10


def test_a_stopped_component_is_not_asked() -> None:
    with composing() as composer:
        composer.stopped.add("library")
        composed = composer.compose(order_page, order=ORDER)

    assert (composed["names"].state, composed["shelf"].state) == (State.STOPPED, State.STOPPED)
    assert [name for name, _ in gates.asked] == ["lines"]


@pytest.mark.parametrize(("trouble", "status"), [("not there", 404), ("broken", 503), ("stopped", 503)])
def test_a_required_part_decides_the_status(trouble: str, status: int) -> None:
    with composing() as composer:
        gates.broken = {"lines"} if trouble == "broken" else set()
        composer.stopped |= {"ledger"} if trouble == "stopped" else set()
        order = OrderId(UUID(int=1)) if trouble == "not there" else ORDER
        composed = composer.compose(order_page, order=order)

    assert composed.status == status
    assert composed["names"].state is State.UNASKED
    assert composed["names"].value == {}


def test_an_identifier_that_one_owner_does_not_know_harms_one_row() -> None:
    with open_shop(ORDER, 3) as shop:
        with shop.connection(library) as connection, library.unit_of_work(connection):
            connection.execute("delete from book where name = 'Book 1'")
        with Composer(shop, [order_page], optional_seconds=5) as composer:
            shown = composer.compose(order_page, order=ORDER)["names"]

    assert [shown.of(BookId(UUID(int=number))) for number in (1, 2, 3)] == [
        "Book 0",
        "a book no longer listed",
        "Book 2",
    ]


def test_asked_for_one_slot_only_what_it_is_made_of_is_called() -> None:
    with composing() as composer:
        composed = composer.compose(order_page, order=ORDER, only=["names"])

    assert set(composed.slots) == {"lines", "names"}
    assert composed.calls == 2


def test_the_same_page_has_the_same_slices_whoever_composes_it() -> None:
    async def from_asyncio(composer: Composer) -> Composed:
        return await composer.composed(order_page, order=ORDER)

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


def test_a_part_that_ends_its_transaction_harms_nobody_who_is_asked_after_it() -> None:
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


def test_what_a_part_gives_without_declaring_it_is_refused() -> None:
    parts = Parts(library)

    @parts.part(fallback="Not now.")
    def generous() -> Slice:
        return Slice({}, gives={BookId: []})

    page = Page("generous", parts=[generous])
    with composing(1, page) as composer:
        assert composer.compose(page)["generous"].state is State.FAILED


def test_an_optional_part_about_something_that_is_not_there_leaves_the_page_standing() -> None:
    parts = Parts(library)

    @parts.part(fallback="Not now.")
    def absent(ask: Ask) -> None:
        raise NotThere("Nothing here.")

    page = Page("absent", parts=[absent])
    with composing(1, page) as composer:
        composed = composer.compose(page)

    assert (composed["absent"].state, composed.status, composed.missing) == (State.NOT_THERE, 200, [])


def test_a_page_is_asked_for_the_present_moment_of_the_system_or_for_another() -> None:
    parts = Parts(library)

    @parts.part(fallback="Not now.")
    def moment(ask: Ask) -> datetime:
        return ask.as_of

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


def test_pages_of_a_component_that_was_not_opened_are_refused() -> None:
    from preterite import System

    other = System("ledger-only", [ledger])
    with pytest.raises(ConfigurationError, match="parts of 'library'"):
        from preterite.testing import started

        with started(other) as shop:
            Composer(shop, [Page("shelf", parts=[shelf])])


def test_identifiers_of_one_kind_arrive_as_one_set() -> None:
    parts = Parts(library)

    @parts.part(gives=[BookId], fallback="Not now.")
    def first() -> Slice:
        return Slice([], gives={BookId: [BookId(UUID(int=2)), BookId(UUID(int=1)), BookId(UUID(int=2))]})

    @library_parts.part(fallback="Not now.")
    def seen(books: Ids[BookId]) -> list[BookId]:
        return sorted(books)

    page = Page("set", takes={"book": BookId}, parts=[first, seen])
    with composing(1, page) as composer:
        composed = composer.compose(page, book=frozenset({BookId(UUID(int=3)), BookId(UUID(int=1))}))

    assert composed["seen"].value == [UUID(int=1), UUID(int=2), UUID(int=3)]
