"""The order in which the parts of a page are called, and what is refused before anything is opened."""

from __future__ import annotations

from typing import Any, NewType
from uuid import UUID

import pytest
from support.paper_shop import (
    BookId,
    OrderId,
    ledger_parts,
    library_parts,
    lines,
    named,
    names,
    order_page,
    priced,
    shelf,
)

from preterite import Component
from preterite.composition import Form, Ids, Page, PagesRefused, Part, Parts
from preterite.composition.pages import needed_for, plan, plans
from preterite.errors import UnknownName, UsageError

AuthorId = NewType("AuthorId", UUID)


def part(name: str, needs: dict[str, Any], *, provides: tuple[Any, ...] = (), fallback: str = "Not now.") -> Part:
    """A part that does nothing."""

    def function(**_: object) -> None:
        return None

    function.__name__ = name
    return Part(library_parts.component, name, function, needs, {}, provides, False, None, fallback, "", slot=name)


def slots(page: Page) -> list[list[str]]:
    return [[step.part.slot for step in wave] for wave in plan(page)]


def faults(*pages: Page, forms: tuple[Form, ...] = ()) -> str:
    with pytest.raises(PagesRefused) as refused:
        plans(pages, forms)
    return str(refused.value)


def test_a_part_is_in_the_wave_after_all_its_sources() -> None:
    assert slots(order_page) == [["lines", "shelf"], ["names"]]


def test_parts_that_need_only_what_the_page_takes_are_in_the_first_wave() -> None:
    page = Page("book", takes={"book": BookId}, parts=[names, part("also", {"books": BookId}, provides=(AuthorId,))])

    assert slots(page) == [["names", "also"]]


def test_a_part_restricted_to_some_sources_waits_for_those_only() -> None:
    also = part("also", {"books": BookId}, provides=(BookId,))
    page = Page("book", takes={"book": BookId}, parts=[also.of("book"), names.of("book"), names.of("also").at("more")])

    assert slots(page) == [["also", "names"], ["more"]]


def test_a_need_that_no_source_provides_is_refused_with_its_place() -> None:
    said = faults(Page("order", parts=[names]))

    assert "library.names (tests/support/paper_shop.py:" in said
    assert "needs a BookId" in said


def test_two_owners_of_a_slot_are_refused_with_both_places() -> None:
    said = faults(Page("order", takes={"order": OrderId}, parts=[lines, names, shelf.at("names")]))

    assert said.count("tests/support/paper_shop.py:") == 2
    assert "slot 'names' has two owners: library.names" in said


def test_parts_that_depend_on_each_other_are_refused() -> None:
    one, other = part("one", {"a": BookId}, provides=(AuthorId,)), part("other", {"a": AuthorId}, provides=(BookId,))

    assert "depend on each other in a cycle (one on other, other on one)" in faults(Page("p", parts=[one, other]))


def test_an_unknown_source_a_missing_fallback_and_a_name_used_twice_are_refused_together() -> None:
    said = faults(
        Page("order", takes={"order": OrderId, "shelf": BookId}, parts=[lines.of("nowhere"), shelf]),
        Page("order", parts=[part("silent", {}, fallback="")]),
    )

    assert "no identifier or slot is called 'nowhere'" in said
    assert "has no fallback" in said
    assert "the page takes an identifier of that name" in said
    assert "Two pages are called 'order'" in said


def test_two_owners_of_a_field_are_refused_with_both_places() -> None:
    same = Parts(Component("other")).section("name", read=lambda fields, request: None, fallback="Later.")(
        lambda *_: None
    )
    said = faults(forms=(Form("book", [named, priced, same]),))

    assert "field 'name' has two owners: library.named (tests/support/paper_shop.py:" in said


def test_two_sections_of_one_name_in_a_form_are_refused() -> None:
    assert "has two sections called library.named" in faults(forms=(Form("book", [named, named]),))


@pytest.mark.parametrize("name", ["viewer", "as_of", "params", "only", "page", "self"])
def test_an_identifier_that_could_not_be_passed_is_refused(name: str) -> None:
    said = faults(Page("book", takes={name: BookId}, parts=[names]))

    assert f"takes an identifier called {name!r}, which compose() has as an argument" in said


def test_slots_that_a_page_does_not_have_are_not_composed_in_silence() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'names'"):
        needed_for(plan(order_page), ["nmaes"])
    with pytest.raises(UsageError, match="write a list"):
        needed_for(plan(order_page), "names")


def test_what_a_slot_needs_includes_the_sources_of_its_identifiers() -> None:
    steps = plan(order_page)

    assert needed_for(steps, ["names"]) == {"names", "lines", "order"}
    assert needed_for(steps, ["shelf"]) == {"shelf"}


def test_a_parameter_that_cannot_be_passed_is_refused_where_it_is_declared() -> None:
    with pytest.raises(UsageError, match="parameter 'mood' cannot be passed"):

        @ledger_parts.part(fallback="Not now.")
        def moody(orders: Ids[OrderId], mood: str) -> None: ...

    with pytest.raises(UsageError, match="is async"):

        @ledger_parts.part(fallback="Not now.")
        async def later(orders: Ids[OrderId]) -> None: ...
