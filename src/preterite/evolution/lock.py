"""`contracts.lock`: every shape in which an event was ever published, so that a change is judged against all of them.

Each version of an event has its shapes in order; the last is the present one. What is retired was published once and is
in no log any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from preterite.component import Component
from preterite.errors import ConfigurationError
from preterite.evolution.compatibility import Fault, Verdict, judge
from preterite.evolution.shapes import Shape, read, shape_of, written
from preterite.system import System

FILE = "contracts.lock"
Versions = Mapping[int, tuple[Shape, ...]]


@dataclass(frozen=True)
class Locked:
    """What the file holds."""

    system: str = ""
    events: Mapping[str, Versions] = field(default_factory=dict[str, Versions])
    retired: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """What has become of one event since the file was written: each verdict beside an earlier shape."""

    name: str
    version: int
    what: str
    verdicts: tuple[Verdict, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def is_allowed(self) -> bool:
        """Whether nobody breaks."""
        return not self.faults and all(one.is_allowed for one in self.verdicts)


class _Shape(msgspec.Struct, forbid_unknown_fields=True):
    key: str | None
    fields: dict[str, Any]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    system: str = ""
    events: dict[str, dict[str, list[_Shape]]] = {}
    retired: list[str] = []


def load(file: Path) -> Locked:
    """What is locked; nothing where there is no file. Raises `ConfigurationError` where it cannot be understood."""
    if not file.exists():
        return Locked()
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_File)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error}. It is written by preterite contracts lock."
        ) from error
    events = {
        name: {
            int(version): tuple(_shape(name, int(version), one) for one in shapes) for version, shapes in kept.items()
        }
        for name, kept in found.events.items()
    }
    return Locked(found.system, events, tuple(found.retired))


def save(file: Path, locked: Locked) -> None:
    """Write the file, so that a change shows as few lines as it has."""
    events = {
        name: {
            str(version): [{"key": one.key, "fields": _fields(one)} for one in shapes]
            for version, shapes in sorted(versions.items())
        }
        for name, versions in sorted(locked.events.items())
    }
    document = {"system": locked.system, "events": events, "retired": sorted(locked.retired)}
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def declared(system: System) -> dict[str, Shape]:
    """The present shape of every event of a system, by its name on the wire."""
    shapes = [shape_of(event, one.name) for one in system.components for event in one.publishes]
    return {one.name: one for one in shapes}


def changes(system: System, locked: Locked) -> list[Change]:
    """What differs from the file, judged against every shape that was ever published."""
    present = declared(system)
    found = [_change(system, shape, locked.events.get(name, {})) for name, shape in sorted(present.items())]
    gone = [
        _gone(name, versions) for name, versions in sorted(locked.events.items()) if _is_gone(name, present, locked)
    ]
    return [one for one in [*found, *gone] if one.what != "unchanged"]


def grown(system: System, locked: Locked, retire: Sequence[str] = ()) -> Locked:
    """The file with the present shapes added; whoever calls has made sure that all changes are allowed."""
    events = {name: dict(versions) for name, versions in locked.events.items() if name not in retire}
    for name, shape in declared(system).items():
        versions = events.setdefault(name, {})
        before = versions.get(shape.version, ())
        if shape not in before[-1:]:
            versions[shape.version] = (*before, shape)
    return replace(locked, system=system.name, events=events, retired=tuple(sorted({*locked.retired, *retire})))


def _change(system: System, shape: Shape, versions: Versions) -> Change:
    if not versions:
        return Change(shape.name, shape.version, "new")
    newest = max(versions)
    if shape.version < newest:
        sentence = f"{shape.name} was published in version {newest} and is declared in version {shape.version}."
        return Change(shape.name, shape.version, "goes back", faults=(Fault("contract-gone", "", sentence),))
    if shape.version > newest:
        return Change(shape.name, shape.version, "new version", faults=tuple(_not_upcast(system, shape, versions)))
    shapes = versions[newest]
    missing = tuple(_not_upcast(system, shape, {one: kept for one, kept in versions.items() if one != newest}))
    if shape == shapes[-1]:
        return Change(shape.name, shape.version, "changed" if missing else "unchanged", faults=missing)
    return Change(shape.name, shape.version, "changed", tuple(judge(one, shape) for one in shapes), missing)


def _not_upcast(system: System, shape: Shape, versions: Versions) -> Iterator[Fault]:
    """Components that hear an event and cannot read its older versions."""
    for component in system.components:
        heard = _heard(component, shape.name, system)
        for version in sorted(versions) if heard is not None else ():
            if (heard, version) not in component.upcasters:
                sentence = (
                    f"{component.name} hears {shape.name} and cannot read what was written in version {version}: "
                    f"@{component.name}.upcasts(…, to={heard.__name__ if heard else ''})."
                )
                yield Fault("contract-upcast", "", sentence)


def _heard(component: Component, name: str, system: System) -> Any:
    """The class under which a component hears an event, if it does."""
    types = {handler.message_type for handler in component.handlers}
    for owner in system.components:
        for event, published in owner.published.items():
            if published.wire_name == name and event in types:
                return event
    return None


def _is_gone(name: str, present: Mapping[str, Shape], locked: Locked) -> bool:
    return name not in present and name not in locked.retired


def _gone(name: str, versions: Versions) -> Change:
    newest = max(versions)
    return Change(name, newest, "gone", (judge(versions[newest][-1], None),))


def _shape(name: str, version: int, kept: _Shape) -> Shape:
    return Shape(name, version, kept.key, {field: read(one) for field, one in kept.fields.items()})


def _fields(shape: Shape) -> dict[str, Any]:
    return {name: written(one) for name, one in shape.fields.items()}
