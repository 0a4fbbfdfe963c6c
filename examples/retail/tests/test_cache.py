"""The cached catalogue: read again after every change, and only then; the same in every process."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from retail_shop import LANTERN, MUG, at, open_shop
from sqlalchemy.orm import Session

from preterite.testing import StartedSystem
from retail.catalog.actions import list_product, list_products, move, offer_again, rename, withdraw
from retail.catalog.cache import EDITIONS_KEPT, CatalogCache, Listed, cached_catalog, change_edition
from retail.catalog.model import Product
from retail.system import catalog

THEN = at("2010-12-01")


def change(shop: StartedSystem, act: Callable[[Session], None]) -> CatalogCache:
    """The catalogue after a change."""
    with shop.session(catalog) as session:
        act(session)
    return cached(shop)


def cached(shop: StartedSystem) -> CatalogCache:
    with shop.session(catalog) as session:
        return cached_catalog(session)


def test_every_change_is_seen_at_once() -> None:
    with open_shop() as shop:
        listed = change(shop, lambda session: list_products(session, {LANTERN: "RED LANTERN", MUG: "A MUG"}, THEN))
        renamed = change(shop, lambda session: rename(session, LANTERN, "LAMP", at("2011-01-01")))
        moved = change(shop, lambda session: move(session, LANTERN, "Home"))
        withdrawn = change(shop, lambda session: withdraw(session, MUG, at("2011-02-01")))
        again = change(shop, lambda session: offer_again(session, MUG))
        other = UUID(int=7)
        one_more = change(shop, lambda session: list_product(session, other, "BAG", "Bags", at("2011-02-02")))

    assert listed.categories == {"Kitchen": 1, "Lighting": 1}
    assert renamed.products[LANTERN].name == "LAMP"
    assert moved.categories == {"Home": 1, "Kitchen": 1}
    assert (withdrawn.categories, withdrawn.find(count=9).total, withdrawn.find(withdrawn=True, count=9).total) == (
        {"Home": 1}, 1, 2,
    )  # fmt: skip
    assert again.find(count=9) == ([MUG, LANTERN], 2)
    assert one_more.newest[0] == other
    assert one_more.find(text="ba", count=9) == ([other], 1)


def test_what_has_not_changed_is_not_read_again() -> None:
    with open_shop() as shop:
        first = change(shop, lambda session: list_products(session, {LANTERN: "RED LANTERN"}, THEN))
        second = cached(shop)
        third = change(shop, lambda session: list_products(session, {LANTERN: "ALREADY LISTED"}, THEN))

    assert first is second is third


def test_a_catalogue_without_an_edition_is_never_taken_for_another() -> None:
    with open_shop() as shop:
        empty = cached(shop)
        with shop.session(catalog) as session, catalog.unit_of_work(session):
            session.add(Product(id=LANTERN, name="LAMP", category="Home", listed_at=THEN))
        earlier = cached(shop)

    assert (empty.find(count=9).total, earlier.find(count=9).total) == (0, 1)


def test_a_change_that_was_taken_back_is_not_seen() -> None:
    def fail(session: Session) -> None:
        with catalog.unit_of_work(session):
            change_edition(session, "a change")
            session.flush()
            raise RuntimeError("taken back")

    with open_shop() as shop:
        before = change(shop, lambda session: list_products(session, {LANTERN: "RED LANTERN"}, THEN))
        with pytest.raises(RuntimeError):
            change(shop, fail)
        after = cached(shop)

    assert after is before


@pytest.mark.parametrize("shops", [2, EDITIONS_KEPT + 2])
def test_several_catalogues_in_one_process_are_not_mixed(shops: int) -> None:
    def named(name: str) -> Callable[[Session], None]:
        return lambda session: list_products(session, {LANTERN: name}, THEN)

    opened = [open_shop() for _ in range(shops)]
    running = [one.__enter__() for one in opened]
    try:
        for number, shop in enumerate(running):
            change(shop, named(f"LANTERN {number}"))
        found = [cached(shop).products[LANTERN].name for shop in running]
    finally:
        for one in opened:
            one.__exit__(None, None, None)

    assert found == [f"LANTERN {number}" for number in range(shops)]


def test_a_list_is_in_the_order_of_names_and_cut_where_asked() -> None:
    def of(name: str, category: str) -> Listed:
        return Listed(name, category, THEN, None)

    ids = [UUID(int=number) for number in range(4)]
    listed = [of("A BAG", "Bags"), of("B BAG", "Bags"), of("B_%", "Other"), of("C", "Bags")]
    found = CatalogCache(dict(zip(ids, listed, strict=True)))

    assert found.find(category="Bags", first=1, count=1) == ([ids[1]], 3)
    assert found.find(text="b bag", count=9) == ([ids[0], ids[1]], 2)
    assert found.find(text="_%", count=9) == ([ids[2]], 1)
