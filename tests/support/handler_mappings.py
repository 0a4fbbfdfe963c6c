"""What else classes can be mapped to, for programs of handlers: heirs, versions, composite keys, orphans, defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from hypothesis import strategies as some
from sqlalchemy import ForeignKey, insert, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

COLUMNS = {
    "shape": "id, kind, area",
    "room": "id, seats",
    "counter": "name, part, hits, version, touched, state",
    "basket": "id, size",
    "item": "basket_id, place, amount",
    "tag": "name",
}
"""What is compared of each table, in an order in which none refers to a later one."""


class Base(DeclarativeBase):
    """Tables of all programs."""

    __mapper_args__: ClassVar[dict[str, Any]] = {}  # pyright: ignore[reportIncompatibleVariableOverride]


class Shape(Base):
    __tablename__ = "shape"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    area: Mapped[int]
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_on": "kind", "polymorphic_identity": "shape"}


class Square(Shape):
    """An heir in the same table."""

    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_identity": "square"}


class Room(Shape):
    """An heir with a table of its own."""

    __tablename__ = "room"
    id: Mapped[int] = mapped_column(ForeignKey(Shape.id), primary_key=True)
    seats: Mapped[int]
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_identity": "room"}


class Counter(Base):
    """A composite key, a version, a default on update, one of the server's."""

    __tablename__ = "counter"
    name: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hits: Mapped[int]
    version: Mapped[int] = mapped_column()
    touched: Mapped[int] = mapped_column(default=0, onupdate=lambda: 1)
    state: Mapped[str] = mapped_column(server_default="new")
    __mapper_args__: ClassVar[dict[str, Any]] = {"version_id_col": version}


class Basket(Base):
    """Its items are deleted with it, and once they are no longer in it."""

    __tablename__ = "basket"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    size: Mapped[int]
    items: Mapped[list[Item]] = relationship(cascade="all, delete-orphan", order_by="Item.place")


class Item(Base):
    __tablename__ = "item"
    basket_id: Mapped[int] = mapped_column(ForeignKey(Basket.id), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amount: Mapped[int]


class Tag(Base):
    """A row that the database may refuse for another one."""

    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Call(Protocol):
    """The call of a handler."""

    @property
    def session(self) -> Session:
        """Its session."""
        ...


SHAPES: Mapping[str, Callable[[int, int], Shape]] = {
    "shape": lambda key, area: Shape(id=key, area=area),
    "square": lambda key, area: Square(id=key, area=area),
    "room": lambda key, area: Room(id=key, area=area, seats=area),
}


def _add_shape(call: Call, key: int, kind: str, area: int) -> None:
    call.session.add(SHAPES[kind](key, area))


def _grow_shape(call: Call, key: int) -> object:
    found = call.session.get(Shape, key)
    if found is None:
        return None
    found.area += 1
    return type(found).__name__


def _all_shapes(call: Call) -> object:
    found = call.session.scalars(select(Shape).order_by(Shape.id))
    return [(type(one).__name__, one.area, getattr(one, "seats", None)) for one in found]


def _delete_shape(call: Call, key: int) -> None:
    found = call.session.get(Shape, key)
    if found is not None:
        call.session.delete(found)


def _count(call: Call, name: str, part: int) -> object:
    found = call.session.get(Counter, (name, part))
    if found is None:
        call.session.add(Counter(name=name, part=part, hits=1))
        return None
    found.hits += 1
    return found.hits, found.version, found.touched, found.state


def _count_behind(call: Call, name: str, how: str) -> None:
    """Change a counter behind the back of the session."""
    if how == "core":
        call.session.execute(update(Counter.__table__).values(hits=Counter.hits + 10))  # type: ignore[arg-type]
    else:
        call.session.execute(text("update counter set version = version + 1 where name = :name"), {"name": name})


def _fill_basket(call: Call, key: int, place: int, amount: int) -> object:
    basket = call.session.get(Basket, key)
    if basket is None:
        basket = Basket(id=key, size=0)
        call.session.add(basket)
    basket.items.append(Item(place=place, amount=amount))
    basket.size += 1
    return [item.place for item in basket.items]


def _take_from_basket(call: Call, key: int, how: str) -> object:
    basket = call.session.get(Basket, key)
    if basket is None:
        return None
    if how == "all":
        basket.items.clear()
    elif how == "first":
        del basket.items[:1]
    else:
        call.session.delete(basket)
    return basket.size


def _add_tag(call: Call, name: str) -> None:
    call.session.add(Tag(name=name))


def _insert_tag(call: Call, name: str, how: str) -> object:
    if how == "returning":
        return call.session.scalar(insert(Tag).values(name=name).returning(Tag.name))
    if how == "many":
        call.session.execute(insert(Tag), [{"name": name}, {"name": f"{name}2"}])
    else:
        call.session.add_all([Tag(name=name), Tag(name=f"{name}2")])
    return None


def _merge_counter(call: Call, name: str, part: int) -> object:
    known = call.session.get(Counter, (name, part))
    given = Counter(name=name, part=part, hits=50, **({} if known is None else {"version": known.version}))
    return call.session.merge(given).hits


def _look_anew(call: Call, key: int, how: str) -> object:
    if how == "for update":
        found = call.session.get(Basket, key, with_for_update=True)
        return None if found is None else found.size
    chosen = select(Basket).where(Basket.id == key).execution_options(populate_existing=True)
    return [(one.size, [item.amount for item in one.items]) for one in call.session.scalars(chosen)]


STEPS: Mapping[str, Callable[..., object]] = {
    "add shape": _add_shape,
    "grow shape": _grow_shape,
    "all shapes": _all_shapes,
    "delete shape": _delete_shape,
    "count": _count,
    "count behind": _count_behind,
    "fill basket": _fill_basket,
    "take from basket": _take_from_basket,
    "add tag": _add_tag,
    "insert tag": _insert_tag,
    "merge counter": _merge_counter,
    "look anew": _look_anew,
}
_key, _amount = some.integers(1, 3), some.integers(1, 9)
_name = some.sampled_from("ab")
CHOICES: Mapping[str, tuple[some.SearchStrategy[Any], ...]] = {
    "add shape": (_key, some.sampled_from(sorted(SHAPES)), _amount),
    "grow shape": (_key,),
    "all shapes": (),
    "delete shape": (_key,),
    "count": (_name, some.integers(1, 2)),
    "count behind": (_name, some.sampled_from(["core", "text"])),
    "fill basket": (_key, _key, _amount),
    "take from basket": (_key, some.sampled_from(["all", "first", "itself"])),
    "add tag": (_name,),
    "insert tag": (_name, some.sampled_from(["returning", "many", "all"])),
    "merge counter": (_name, some.integers(1, 2)),
    "look anew": (_key, some.sampled_from(["for update", "populate"])),
}
"""What the arguments of each step may be."""
