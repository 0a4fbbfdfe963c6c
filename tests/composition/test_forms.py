"""Forms whose fields belong to different components: split, refused as a whole, completed when sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

from support.paper_shop import BookId, gates, ledger, library, named, open_shop, order_page, priced

from preterite.composition import Composer, Form, Submission
from preterite.testing import StartedSystem

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


def test_an_owner_that_has_nothing_to_write_is_not_called() -> None:
    from preterite.composition import PageRequest, Parts

    @Parts(ledger).section("note", read=lambda fields, request: fields["note"] or None, fallback="Later.")
    def noted(book: BookId, note: str, session: object, request: PageRequest) -> None:
        raise AssertionError("there was no note")

    form = Form("with a note", [named, noted])
    with open_shop(UUID(int=1), 1) as shop, Composer(shop, [order_page], [form]) as composer:
        composer.stopped.add("ledger")
        sent = asyncio.run(composer.submit(form, BOOK, {"name": "Emma"}))

        assert (sent.is_complete, sent.written) == (True, ("library.named",))
