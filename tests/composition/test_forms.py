"""Forms whose fields belong to different components: split, refused as a whole, completed when sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from support.paper_shop import BookId, gates, ledger, library, named, open_shop, order_page, priced, shelf

from preterite import Component, System
from preterite.composition import Composer, Form, Page, PageRequest, Parts, Section, Submission, ValidationError
from preterite.errors import ConfigurationError, UsageError
from preterite.testing import StartedSystem, started

BOOK = BookId(UUID(int=99))
FORM = Form("new book", [named, priced])


@contextmanager
def composing() -> Generator[tuple[StartedSystem, Composer]]:
    with open_shop(UUID(int=1), 1) as shop, Composer(shop, [order_page], [FORM]) as composer:
        yield shop, composer


def send(composer: Composer, **fields: str) -> Submission:
    return asyncio.run(composer.submit(FORM, BOOK, fields))


def rows(shop: StartedSystem) -> tuple[int, int]:
    """The number of rows of the new book in the library and in the ledger."""
    with shop.connection(library) as connection:
        names = connection.execute("select count(*) from book where id = ?", [str(BOOK)]).fetchone()[0]
    with shop.connection(ledger) as connection:
        prices = connection.execute("select count(*) from line where book_id = ?", [str(BOOK)]).fetchone()[0]
    return names, prices


def test_each_owner_writes_its_own_fields_under_the_same_identifier() -> None:
    with composing() as (shop, composer):
        sent = send(composer, name=" Emma ", pence="250")

        assert sent.is_complete
        assert sent.written == ("library.named", "ledger.priced")
        assert rows(shop) == (1, 1)


def test_nothing_is_written_before_every_owner_has_found_its_fields_valid() -> None:
    with composing() as (shop, composer):
        sent = send(composer, name="Emma", pence="cheap")

        assert sent.errors == {"pence": "Write whole pence."}
        assert rows(shop) == (0, 0)


def test_every_owner_reports_the_errors_of_its_own_fields() -> None:
    with composing() as (_, composer):
        assert send(composer).errors == {"name": "A book needs a name.", "pence": "Write whole pence."}


def test_what_one_owner_could_not_write_is_completed_by_sending_the_form_again() -> None:
    with composing() as (shop, composer):
        gates.broken = {"priced"}
        first = send(composer, name="Emma", pence="250")
        gates.broken = set()
        second = send(composer, name="Emma", pence="250")

        assert first.failed == {"ledger.priced": "The ledger could not note the price yet."}
        assert not first.is_complete
        assert second.is_complete
        assert rows(shop) == (1, 1)


def test_a_stopped_owner_writes_nothing_and_its_section_is_reported_as_failed() -> None:
    with composing() as (shop, composer):
        composer.stopped.add("library")
        sent = send(composer, name="Emma", pence="250")

        assert sent.failed == {"library.named": "The library could not note the name yet."}
        assert rows(shop) == (0, 1)


def test_an_owner_may_still_refuse_while_it_writes() -> None:
    with composing() as (shop, composer):
        assert send(composer, name="Emma", pence="13").errors == {"pence": "Nothing costs thirteen pence."}
        assert rows(shop) == (1, 0)


def sent_with(read: Callable[..., Any], write: Callable[..., Any], **fields: Any) -> tuple[Submission, tuple[int, int]]:
    """What came of a form whose second section is read and written so, and the rows that it left."""
    broken = Parts(ledger).section("pence", read=read, fallback="Later.")(write)
    form = Form("broken", [named, broken])
    with open_shop(UUID(int=1), 1) as shop, Composer(shop, [order_page], [form]) as composer:
        return asyncio.run(composer.submit(form, BOOK, {"name": "Emma", "pence": "250", **fields})), rows(shop)


def nothing(*_: object) -> None: ...


def something(fields: Mapping[str, str], request: PageRequest) -> str | None:
    return fields["pence"] or None


def test_nothing_is_written_if_a_field_cannot_be_read() -> None:
    def cannot(fields: Mapping[str, str], request: PageRequest) -> Any:
        raise LookupError("no such currency")

    sent, left = sent_with(cannot, nothing)

    assert (sent.written, sent.failed, left) == ((), {"ledger.nothing": "Later."}, (0, 0))


def test_a_field_that_is_no_text_reads_as_empty() -> None:
    sent, _ = sent_with(something, nothing, pence=b"a file")

    assert sent.written == ("library.named",)


def test_an_error_without_a_field_is_no_success() -> None:
    def refusing(*_: object) -> None:
        raise ValidationError

    while_reading, left = sent_with(refusing, nothing)
    while_writing, _ = sent_with(something, refusing)

    assert (while_reading.is_complete, left) == (False, (0, 0))
    assert while_writing.failed == {"ledger.refusing": "Later."}


@pytest.mark.parametrize("error", [SystemExit, StopIteration, asyncio.CancelledError, KeyboardInterrupt])
def test_whatever_a_section_raises_its_section_has_failed(error: type[BaseException]) -> None:
    def raising(*_: object) -> None:
        raise error

    sent, left = sent_with(something, raising)

    assert (sent.written, sent.failed, left) == (("library.named",), {"ledger.raising": "Later."}, (1, 0))


def test_a_section_whose_work_is_never_done_is_not_written() -> None:
    async def later(*_: object) -> None: ...

    def returning(*_: object) -> Any:
        return later()

    with pytest.raises(UsageError, match="is async"):
        sent_with(something, later)
    with pytest.raises(UsageError, match="a read that is async"):
        sent_with(later, nothing)
    assert sent_with(something, returning)[0].failed == {"ledger.returning": "Later."}


def test_sections_of_one_name_in_two_components_get_their_own_values() -> None:
    kept: dict[str, str] = {}

    def section(component: Component, field: str) -> Section:
        def read(fields: Mapping[str, str], request: PageRequest) -> str:
            return fields[field]

        def noted(book: BookId, text: str, session: object, request: PageRequest) -> None:
            kept[component.name] = text

        return Parts(component).section(field, read=read, fallback="Later.")(noted)

    form = Form("same", [section(library, "title"), section(ledger, "pence")])
    with open_shop(UUID(int=1), 1) as shop, Composer(shop, [order_page], [form]) as composer:
        asyncio.run(composer.submit(form, BOOK, {"title": "Emma", "pence": "250"}))

    assert kept == {"library": "Emma", "ledger": "250"}


def test_forms_of_a_component_that_was_not_opened_are_refused() -> None:
    page = Page("shelf", parts=[shelf])
    with started(System("library-only", [library])) as shop:
        with pytest.raises(ConfigurationError, match="Forms have fields of 'ledger'"):
            Composer(shop, [page], [FORM])


def test_an_owner_that_has_nothing_to_write_is_not_called() -> None:
    @Parts(ledger).section("note", read=lambda fields, request: fields["note"] or None, fallback="Later.")
    def noted(book: BookId, note: str, session: object, request: PageRequest) -> None:
        raise AssertionError("there was no note")

    form = Form("with a note", [named, noted])
    with open_shop(UUID(int=1), 1) as shop, Composer(shop, [order_page], [form]) as composer:
        composer.stopped.add("ledger")
        sent = asyncio.run(composer.submit(form, BOOK, {"name": "Emma"}))

        assert (sent.is_complete, sent.written) == (True, ("library.named",))
