"""A mapping by name whose answer to an unknown name is a sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import NoReturn, TypeVar

from preterite.errors import UnknownName

Value = TypeVar("Value")


class ByName(dict[str, Value]):
    """What there is by name: `ByName("component", {…})`. A name that it does not have raises `UnknownName`."""

    def __init__(self, what: str, found: Mapping[str, Value]) -> None:
        super().__init__(found)
        self._what = what

    def __missing__(self, name: object) -> NoReturn:
        raise unknown_name(self._what, name, self)


def unknown_name(what: str, name: object, known: Iterable[str]) -> UnknownName:
    """The exception for a name that nothing has, with those that there are, and the closest one."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 1) if isinstance(name, str) else []
    meant = f" Did you mean {close[0]!r}?" if close else ""
    return UnknownName(f"There is no {what} {name!r} here; known: {', '.join(names) or 'none'}.{meant}")
