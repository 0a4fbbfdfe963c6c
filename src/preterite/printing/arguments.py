"""Arguments that a call cannot take, said in words."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from types import UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from preterite.errors import UsageError
from preterite.printing.text import clause

SHOWN_MAX = 80
"""Characters that are shown of a wrong argument."""
Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def declares(example: str = "") -> Callable[[Callable[Parameters, Returned]], Callable[Parameters, Returned]]:
    """Make a decorator of the API refuse, in one sentence, arguments that are missing or not as its annotations say.

    `example` is what stands behind its name, as in `("(ItemPurchased)")`; nothing where it takes no parentheses.
    """

    def checking(decorator: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
        signature = inspect.signature(decorator)
        is_method = next(iter(signature.parameters), "") == "self"

        @wraps(decorator)
        def checked(*given: Parameters.args, **named: Parameters.kwargs) -> Returned:
            fault = arguments_fault(decorator, signature, given, named)
            owner = f"{getattr(given[0], 'name', type(given[0]).__name__.lower())}." if is_method else ""
            name = owner + decorator.__name__
            if fault is None and not example:
                return decorator(*given, **named)
            if len(given) == is_method + 1 and not named and inspect.isfunction(given[-1]) and example:
                fault = "it has no parentheses"
            if fault is not None:
                raise _no_declaration(name, fault, example)
            declare: Any = decorator(*given, **named)

            @wraps(declare)
            def above(function: Any) -> Any:
                if not callable(function) or isinstance(function, type):
                    raise _no_declaration(name, f"it stands above {shown(function)}, which is no function", example)
                return declare(function)

            return cast(Any, above)

        return checked

    return checking


def _no_declaration(name: str, fault: str, example: str) -> UsageError:
    form = f"@{name}{example}" if example else f"@{name} above a class, without parentheses"
    return UsageError(f"@{name} cannot be used so: {clause(fault)}. Write it as in {form}; nothing was declared.")


def arguments_fault(
    function: Callable[..., Any], signature: inspect.Signature, given: tuple[Any, ...], named: Mapping[str, Any]
) -> str | None:
    """What is wrong with the arguments of a call, or nothing: by the parameters' names and annotated types."""
    try:
        bound = signature.bind(*given, **named).arguments
    except TypeError as error:
        return str(error)
    hints = get_type_hints(function)
    for name, value in bound.items():
        values = value if signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL else [value]
        wrong = [one for one in values if name in hints and not _fits(one, hints[name])]
        if wrong:
            return f"{name} takes {_written(hints[name])}, not {shown(wrong[0])}"
    return None


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type, as far as it can be seen from outside."""
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if isinstance(hint, TypeVar):
        return _fits(value, hint.__bound__)
    if kind in (Union, UnionType):
        return any(_fits(value, one) for one in parts)
    if kind is Literal:
        return value in parts
    if kind is type:
        return isinstance(value, type) and issubclass(value, parts[0])
    if kind is Any or not isinstance(kind, type):
        return True
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is str or not isinstance(value, str))


def _written(hint: Any) -> str:
    """A type as a reader writes it."""
    parts = get_args(hint)
    if isinstance(hint, TypeVar):
        return _written(hint.__bound__)
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(map(_written, parts))
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, parts))
    if get_origin(hint) is type:
        return f"a class of {parts[0].__name__}"
    return getattr(hint, "__name__", str(hint)).replace("NoneType", "None")


def shown(value: Any) -> str:
    """A value as a reader knows it: by its name, or by the beginning of its representation."""
    return str(getattr(value, "__qualname__", repr(value)[:SHOWN_MAX]))
