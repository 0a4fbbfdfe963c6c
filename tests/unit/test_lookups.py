"""Whatever is looked up by a name that nothing has is answered with a sentence that lists what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from support.shop import declare

from preterite import Command, Component, Event, System, UnitOfWork
from preterite.composition import Composer, Page, PageRequest, Parts
from preterite.errors import PreteriteError, UnknownName
from preterite.testing import StartedSystem, started


class OtherHappened(Event):
    """No component publishes it."""


class DoOther(Command):
    """No component handles it."""


BILLING = Component("billing")
PARTS = Parts(BILLING)


@PARTS.part(fallback="no total")
def total(request: PageRequest) -> dict[int, int]:
    return {1: 2}


BILLING_PAGE = Page("bill", "/bill", parts=[total])
Lookup = Callable[[], object]


def lookups(shop: StartedSystem, composer: Composer) -> Mapping[str, tuple[Lookup, str]]:
    """Each way to name something to a system, with a wrong name, and a word of those that it should list."""
    system = System("shop", list(shop.components.values()))
    wrong: Any = "billing"

    def in_unit(act: Callable[[UnitOfWork], object]) -> Lookup:
        def lookup() -> None:
            sales = shop.components["sales"]
            with shop.connection(sales) as connection, sales.unit_of_work(connection) as unit_of_work:
                act(unit_of_work)

        return lookup

    return {
        "System.component": (lambda: system.component("billing"), "sales, finance"),
        "open, only a name": (lambda: system.open(only=["billing"]), "sales, finance"),
        "open, only a component": (lambda: system.open(only=[Component("billing")]), "sales, finance"),
        "open, databases": (lambda: system.open(databases={"billing": "sqlite:///x"}), "sales, finance"),
        "connection by name": (lambda: shop.connection(wrong).__enter__(), "sales, finance"),
        "connection of another": (lambda: shop.connection(Component("billing")).__enter__(), "not run here"),
        "session by name": (lambda: shop.session(wrong), "sales, finance"),
        "components": (lambda: shop.components["billing"], "sales, finance"),
        "databases": (lambda: shop.databases["billing"], "sales, finance"),
        "status": (lambda: shop.status()["finanse"], "sales, finance. Did you mean 'finance'?"),
        "published by name": (lambda: shop.published(wrong), "pass its class"),
        "published": (lambda: shop.published(OtherHappened), "No component of 'shop' publishes OtherHappened"),
        "publish": (in_unit(lambda unit: unit.publish(OtherHappened())), "publishes=[…]"),
        "schedule": (in_unit(lambda unit: unit.schedule(DoOther())), "Nothing in component 'sales' handles DoOther"),
        "page": (lambda: composer.compose(Page("away", "/away")), "known: bill"),
        "page by name": (lambda: composer.compose(wrong), "Known: bill"),
        "plan": (lambda: composer.plans["away"], "known: bill"),
        "slot": (lambda: composer.compose(BILLING_PAGE).slots["away"], "known: total"),
    }


@pytest.fixture
def tried() -> Iterator[Mapping[str, tuple[Lookup, str]]]:
    shop = declare()
    system = System("shop", [*shop.system.components, BILLING])
    with started(system) as opened, Composer(opened, [BILLING_PAGE]) as composer:
        with started(shop.system) as smaller:
            yield lookups(smaller, composer)


def test_a_name_that_nothing_has_is_answered_with_a_sentence(tried: Mapping[str, tuple[Lookup, str]]) -> None:
    said: dict[str, str] = {}
    for what, (lookup, _) in tried.items():
        with pytest.raises(PreteriteError) as refused:
            lookup()
        said[what] = str(refused.value)

    assert {what: said[what] for what, (_, names) in tried.items() if names not in said[what]} == {}
    assert all(sentence[0] != "'" or sentence.startswith("'billing' is no") for sentence in said.values())


def test_mappings_by_name_stay_mappings(tried: Mapping[str, tuple[Lookup, str]]) -> None:
    lookup, _ = tried["components"]
    with pytest.raises(KeyError):
        lookup()
    with pytest.raises(UnknownName, match=r"^There is no component 'billing' here; known: sales, finance\.$"):
        lookup()
