"""Forms whose fields belong to different components: each component reads, validates and writes its own section.

All sections of a form share one identifier that the client made. Nothing is written before every component has found
its fields valid. Each then writes in a transaction of its own, and does nothing the second time: sending the same form
again completes what could not be written, and duplicates nothing.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preterite.component import Component

if TYPE_CHECKING:
    from preterite.composition.parts import PageRequest


class ValidationError(Exception):
    """Fields that are not valid, each with a message: `ValidationError(price="Write it as in 3.39.")`."""

    def __init__(self, **messages: str) -> None:
        self.messages = messages
        super().__init__("; ".join(f"{field}: {message}" for field, message in messages.items()))


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
        """With its component, as in finance.first_price."""
        return f"{self.component.name}.{self.name}"

    @property
    def place(self) -> str:
        """Where it is declared."""
        return place_of(self.write)


@dataclass(frozen=True)
class Form:
    """Sections of different components that people fill in together."""

    name: str
    sections: Sequence[Section]

    def faults(self) -> Iterable[str]:
        """What is wrong with it, in sentences: a field with two owners."""
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

    def read(self, fields: Mapping[str, str], request: PageRequest) -> tuple[dict[str, Any], dict[str, str]]:
        """What each component reads from its own fields, by section; and the errors, by field."""
        values: dict[str, Any] = {}
        errors: dict[str, str] = {}
        for section in self.sections:
            own = {name: fields[name].strip() for name in section.fields if name in fields}
            try:
                values[section.name] = section.read(defaultdict(str, own), request)
            except ValidationError as invalid:
                errors |= invalid.messages
        return values, errors


@dataclass(frozen=True)
class Submission:
    """The result of sending a form: written, refused, or written in part."""

    identifier: Any
    errors: Mapping[str, str]
    """Messages by field. If reading has found one, nothing is written."""
    written: tuple[str, ...]
    """Sections that are written, with their component."""
    failed: Mapping[str, str]
    """Sections that could not be written, with their fallback; sending the form again writes them."""

    @property
    def is_complete(self) -> bool:
        """Whether every section is written."""
        return not self.errors and not self.failed


def place_of(function: Callable[..., Any]) -> str:
    """File and line of a function, relative to the current folder."""
    code = inspect.unwrap(function).__code__
    file = Path(code.co_filename)
    here = Path.cwd()
    return f"{(file.relative_to(here) if file.is_relative_to(here) else file).as_posix()}:{code.co_firstlineno}"
