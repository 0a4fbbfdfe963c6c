"""Forms whose fields belong to different components: each owner reads, refuses and writes its own section.

All sections of a form stand under one identifier that the client made. Nothing is written before every owner has
found its fields to be right. Each then writes in a transaction of its own, and does nothing the second time: sending
the same form again completes what could not be written, and doubles nothing.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preterite.component import Component


class Invalid(Exception):
    """Fields that cannot be right, each with its owner's sentence: `Invalid(price="Write it as in 3.39.")`."""

    def __init__(self, **sentences: str) -> None:
        self.sentences = sentences
        super().__init__("; ".join(f"{field}: {sentence}" for field, sentence in sentences.items()))


@dataclass(frozen=True)
class Section:
    """The fields of a form that belong to one component."""

    component: Component
    name: str
    fields: tuple[str, ...]
    read: Callable[..., Any]
    write: Callable[..., None]
    fallback: str

    @property
    def full_name(self) -> str:
        """With its owner, as in finance.first_price."""
        return f"{self.component.name}.{self.name}"

    @property
    def place(self) -> str:
        """Where it is declared."""
        return place_of(self.write)


@dataclass(frozen=True)
class Form:
    """What people fill in at once, though different components own it."""

    name: str
    sections: Sequence[Section]

    def faults(self) -> Iterable[str]:
        """What is wrong with it, in sentences: two owners of a field."""
        owners: dict[str, Section] = {}
        for section in self.sections:
            for field in section.fields:
                if field in owners:
                    other = owners[field]
                    yield (
                        f"Form {self.name!r}, field {field!r} has two owners: {other.full_name} ({other.place}) and "
                        f"{section.full_name} ({section.place})."
                    )
                owners[field] = section

    def read(self, fields: Mapping[str, str], ask: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """What every owner makes of its own fields, by section; and the sentences of those who refuse, by field."""
        values: dict[str, Any] = {}
        sentences: dict[str, str] = {}
        for section in self.sections:
            own = {name: fields[name].strip() for name in section.fields if name in fields}
            try:
                values[section.name] = section.read(defaultdict(str, own), ask)
            except Invalid as invalid:
                sentences |= invalid.sentences
        return values, sentences


@dataclass(frozen=True)
class Submission:
    """What became of a form: written by every owner, refused, or not yet written by some."""

    identifier: Any
    invalid: Mapping[str, str]
    """Sentences by field. If there is one from reading, nobody has written anything."""
    written: tuple[str, ...]
    """Sections that are written, with their owner."""
    unreached: Mapping[str, str]
    """Sections that could not be written just now, with the owner's sentence; sending the form again completes it."""

    @property
    def is_complete(self) -> bool:
        """Whether every owner has written its section."""
        return not self.invalid and not self.unreached


def place_of(function: Callable[..., Any]) -> str:
    """File and line of a function, seen from the folder in which one is."""
    code = inspect.unwrap(function).__code__
    file = Path(code.co_filename)
    here = Path.cwd()
    return f"{(file.relative_to(here) if file.is_relative_to(here) else file).as_posix()}:{code.co_firstlineno}"
