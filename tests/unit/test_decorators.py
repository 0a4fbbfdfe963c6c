"""Every decorator of the API refuses every wrong use in one sentence, and declares nothing by it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from support.shop import ItemPurchased, ItemReturned

import preterite
from preterite import Command, Component, Saga, composition, joined_by, started_by, timeout
from preterite.composition import Parts
from preterite.errors import UsageError


class Window(Saga, by="purchase_id"):
    """A saga that does nothing."""


class Pack(Command):
    """A command that nothing asks for."""


def bill(event: ItemPurchased) -> None: ...


FINANCE = Component("finance")
PARTS = Parts(FINANCE)
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
DECORATORS: dict[Any, Arguments] = {
    FINANCE.handles: ((ItemPurchased,), {}),
    FINANCE.upcasts: ((ItemReturned,), {"to": ItemPurchased}),
    FINANCE.cron: (("0 6 * * *",), {}),
    FINANCE.daily: ((), {}),
    FINANCE.monthly: ((), {}),
    started_by: ((ItemPurchased,), {}),
    joined_by: ((ItemPurchased,), {}),
    timeout: ((Pack,), {}),
    PARTS.part: ((), {"fallback": "no price"}),
    PARTS.section: (("price",), {"read": bill, "fallback": "no price"}),
}
"""Each with arguments that are right."""


def wrong_uses() -> Iterator[tuple[str, Callable[[], object]]]:
    """Each decorator bare, and with each of its arguments left out, of another type, or unknown to it."""
    for decorator, (given, named) in DECORATORS.items():
        name = decorator.__name__
        by_keyword = [
            one.name for one in inspect.signature(decorator).parameters.values() if one.kind is one.KEYWORD_ONLY
        ]
        yield f"{name} bare", partial(decorator, bill)
        yield f"{name} with one argument too many", partial(decorator, *given, object(), **named)
        yield f"{name} with an unknown argument", partial(decorator, *given, **named, unknown=1)
        yield f"{name} above a class", partial(decorator(*given, **named), Window)
        yield f"{name} above a value", partial(decorator(*given, **named), 1)
        if given and name != "section":
            yield f"{name} without arguments", partial(decorator, **named)
        for index in range(len(given)):
            wrong = [object() if place == index else one for place, one in enumerate(given)]
            yield f"{name} with another argument {index}", partial(decorator, *wrong, **named)
        for left_out in named:
            rest = {key: value for key, value in named.items() if key != left_out}
            yield f"{name} without {left_out}", partial(decorator, *given, **rest)
        for one in by_keyword:
            yield f"{name} with another {one}", partial(decorator, *given, **{**named, one: object()})
    yield "saga with parentheses", FINANCE.saga  # pyright: ignore[reportReturnType] - that is the test
    yield "saga above a function", partial(FINANCE.saga, bill)  # pyright: ignore[reportArgumentType]
    yield "saga above another class", partial(FINANCE.saga, Pack)  # pyright: ignore[reportArgumentType]


USES = dict(wrong_uses())


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
def test_a_decorator_that_is_used_wrongly_says_how_it_is_written(use: Callable[[], object]) -> None:
    with pytest.raises(UsageError) as refused:
        use()

    sentence = r"@[\w.]+ cannot be used so: .+\. Write it as in @[\w.]+(\(.*\)| above a class, without parentheses);"
    assert re.fullmatch(f"{sentence} nothing was declared\\.", str(refused.value))
    assert FINANCE.handlers == []
    assert FINANCE.sagas == []
    assert PARTS.parts == []
    assert PARTS.sections == []


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(
        UsageError, match=r"^@finance.handles cannot be used so: it has no parentheses\. Write it as in "
    ):
        FINANCE.handles(bill)  # pyright: ignore[reportArgumentType] - that is the test
    with pytest.raises(UsageError, match="message_type takes a class of Event or a class of Command, not int"):
        FINANCE.handles(int)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match="on_replay takes 'run' or 'skip', not 'never'"):
        FINANCE.handles(ItemPurchased, on_replay="never")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match="missing a required argument: 'message_type'"):
        FINANCE.handles()  # pyright: ignore[reportCallIssue]


def test_right_uses_are_accepted() -> None:
    shop = Component("shop")

    assert shop.handles(ItemPurchased, name="bill", lane="mail", recoverability=None)(bill) is bill
    assert shop.daily(timezone="Europe/Paris")(partial(bill)) is not None
    assert [handler.name for handler in shop.handlers] == ["bill", "bill"]


def test_every_decorator_of_the_api_is_tried() -> None:
    """A decorator is what returns a function that takes a function; `saga` is one itself."""
    found: set[str] = set()
    for module in (preterite, composition):
        for one in (getattr(module, name) for name in module.__all__):
            members = [one, *vars(one).values()] if isinstance(one, type) else [one]
            found |= {member.__name__ for member in members if inspect.isfunction(member) and _returns_one(member)}

    assert found == {decorator.__name__ for decorator in DECORATORS}


def _returns_one(function: Callable[..., object]) -> bool:
    return str(inspect.signature(function).return_annotation).startswith("Callable[[")
