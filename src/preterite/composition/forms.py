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
from typing import TYPE_CHECKING, Any, NamedTuple

from preterite.component import Component
from preterite.errors import UsageError

if TYPE_CHECKING:
    from preterite.composition.parts import PageRequest


class ValidationError(Exception):
    """Fields that are not valid, each with a message: `ValidationError(price="Write it as in 3.39.")`."""

    def __init__(self, **messages: str) -> None:
        if not messages:
            raise UsageError("ValidationError names no field; write it as in ValidationError(price='Write a price.').")
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


class Reading(NamedTuple):
    """What was read of a form: the value of each section in their order, unless some are not valid or not read."""

    values: list[Any]
    errors: dict[str, str]
    """Messages by field."""
    failures: dict[str, Exception]
    """What `read` has raised, by section."""


@dataclass(frozen=True)
class Form:
    """Sections of different components that people fill in together."""

    name: str
    sections: Sequence[Section]

    def faults(self) -> Iterable[str]:
        """What is wrong with it, in sentences: a field with two owners, two sections of one name."""
        owners: dict[str, Section] = {}
        names: set[str] = set()
        for section in self.sections:
            if section.full_name in names:
                yield f"Form {self.name!r} has two sections called {section.full_name}."
            names.add(section.full_name)
            for field in section.fields:
                if field in owners:
                    other = owners[field]
                    yield (
                        f"Form {self.name!r}, field {field!r} has two owners: {other.full_name} ({other.place}) and "
                        f"{section.full_name} ({section.place})."
                    )
                owners[field] = section

    def read(self, fields: Mapping[str, object], request: PageRequest) -> Reading:
        """What each component reads from its own fields; what is not text, such as a file, reads as empty."""
        found = Reading([], {}, {})
        for section in self.sections:
            own = {name: text.strip() for name in section.fields if isinstance(text := fields.get(name), str)}
            try:
                found.values.append(section.read(defaultdict(str, own), request))
            except ValidationError as invalid:
                found.errors.update(invalid.messages)
            except Exception as error:
                found.failures[section.full_name] = error
        return found


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


def require_done(section: Section, returned: object) -> None:
    """Raise `UsageError` if a section's function has returned work that would never be done."""
    if inspect.isawaitable(returned) or inspect.isgenerator(returned) or inspect.isasyncgen(returned):
        if inspect.iscoroutine(returned):
            returned.close()
        raise UsageError(
            f"{section.full_name} returns a {type(returned).__name__}, which is never run; write in the function "
            f"({section.place})."
        )


def place_of(function: Callable[..., Any]) -> str:
    """File and line of a function, relative to the current folder."""
    code = inspect.unwrap(function).__code__
    file = Path(code.co_filename)
    here = Path.cwd()
    return f"{(file.relative_to(here) if file.is_relative_to(here) else file).as_posix()}:{code.co_firstlineno}"
