"""What the public modules export, read from the code: the same text on every version of Python."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from dataclasses import MISSING, is_dataclass
from enum import Enum
from typing import Any, Literal, NamedTuple, get_args, get_origin

MODULES = (
    "preterite",
    "preterite.composition",
    "preterite.composition.web",
    "preterite.errors",
    "preterite.operations",
    "preterite.operations.dead_letters",
    "preterite.operations.recovery",
    "preterite.operations.rehearsal",
    "preterite.operations.replays",
    "preterite.operations.status",
    "preterite.testing",
    "preterite.testing.conformance",
)
NOT_CONSTRUCTED = {
    "Addresses",
    "Composed",
    "Envelope",
    "OpenSystem",
    "PageView",
    "Part",
    "Section",
    "Slot",
    "StartedSystem",
    "Submission",
    "Tick",
    "UnitOfWork",
}
"""Users get objects of these classes and never call their constructors."""


class Entry(NamedTuple):
    """A public name, or a public member of a class."""

    name: str
    signature: str
    text: str
    members: tuple[Entry, ...] = ()


def entries(module: str) -> Iterator[Entry]:
    """What a module exports, in the order of the alphabet."""
    found = importlib.import_module(module)
    for name in sorted(found.__all__):
        yield _entry(name, getattr(found, name))


def _entry(name: str, value: Any) -> Entry:
    if get_origin(value) is Literal:
        return Entry(name, "", f"One of {', '.join(map(repr, get_args(value)))}.")
    if get_origin(value) is not None:
        # Since Python 3.13 such an alias has the docstring of what it is an alias of.
        return Entry(name, "", f"The same as `{value}`.")
    if not inspect.isclass(value):
        return Entry(name, _signature(value) if inspect.isroutine(value) else "", inspect.getdoc(value) or "")
    text = value.__doc__ or ""
    # A dataclass or a named tuple without docstring gets its signature as one, which depends on the version.
    text = "" if text.startswith(f"{value.__name__}(") else inspect.cleandoc(text)
    if issubclass(value, BaseException):
        return Entry(name, f"({', '.join(base.__name__ for base in value.__bases__)})", text)
    constructed = name not in NOT_CONSTRUCTED and not issubclass(value, Enum)
    return Entry(name, _signature(value) if constructed else "", text, tuple(_members(value)))


def _members(value: type) -> Iterator[Entry]:
    for name, found in sorted(vars(value).items()):
        if name.startswith(("_", "test_")):
            continue
        text = inspect.getdoc(found) or ""
        if inspect.isfunction(found):
            yield Entry(name, _signature(found), text)
        elif isinstance(found, (classmethod, staticmethod)):
            yield Entry(name, _signature(getattr(value, name)), text)
        elif isinstance(found, property):
            yield Entry(name, ": property", text)


def _signature(value: Any) -> str:
    try:
        found = inspect.signature(value)
    except ValueError:
        return ""
    parts: list[str] = []
    star = False
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        star = star or parameter.kind is parameter.VAR_POSITIONAL
        parts.append(_parameter(value, parameter))
    returns = "" if inspect.isclass(value) else _arrow(found)
    return f"({', '.join(parts)}){returns}"


def _parameter(value: Any, parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = f"{stars}{parameter.name}"
    if parameter.annotation is not parameter.empty:
        text += f": {_annotation(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    made = is_dataclass(value) and value.__dataclass_fields__[parameter.name].default is MISSING
    # A function is shown with its address, which differs from run to run.
    unshown = made or inspect.isroutine(parameter.default) or type(parameter.default).__module__.startswith("msgspec")
    default = "…" if unshown else repr(parameter.default)
    return f"{text} = {default}"


def _arrow(found: inspect.Signature) -> str:
    return "" if found.return_annotation is found.empty else f" -> {_annotation(found.return_annotation)}"


def _annotation(annotation: Any) -> str:
    """An annotation as it is written in the code, without quotes."""
    written = getattr(annotation, "__forward_arg__", annotation)
    if isinstance(written, str):
        return written
    if annotation is None or annotation is type(None):
        return "None"
    if inspect.isclass(annotation) and not getattr(annotation, "__args__", ()):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("uuid.", "").replace("datetime.datetime", "datetime")
