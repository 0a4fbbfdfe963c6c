"""All modules of the packages in which components are declared, with the graph of their imports."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from preterite.checks.code.modules import ModuleSource, files, read
from preterite.checks.findings import Place, place_of
from preterite.checks.partition import Ownership, Partition
from preterite.drivers.extras import needing

REASON_MAX = 200
"""Characters of the reason why a module cannot be parsed."""


class Unread(NamedTuple):
    """A module that cannot be parsed, and why."""

    module: str
    place: Place
    reason: str


@dataclass
class Codebase:
    """The modules that were read, by name, and the imports between them."""

    modules: Mapping[str, ModuleSource]
    graph: Any
    """Grimp's import graph; None if the code is not in packages, or if a module of one cannot be parsed."""
    unread: list[Unread] = field(default_factory=list[Unread])
    without_imports: Unread | None = None
    """Why no import is known, if a module cannot be parsed."""


def read_codebase(partition: Partition) -> Codebase:
    """Read every module of the top-level packages that contain components."""
    with needing("preterite check"):
        import grimp
        from grimp.exceptions import SourceSyntaxError

    roots = sorted({(one.package or "").partition(".")[0] for one in partition.ownerships if one.package} - {""})
    found: dict[str, Path] = {}
    packages: list[str] = []
    for root in roots:
        folders = _folders(root)
        for folder in folders:
            packages.append(root)
            found.update(files(folder, root))
        if not folders and (file := _file(root)) is not None:
            found[root] = file
    modules: dict[str, ModuleSource] = {}
    codebase = Codebase(modules, None)
    for module, file in found.items():
        try:
            modules[module] = read(module, file)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OSError) as error:
            codebase.unread.append(Unread(module, Place(file, getattr(error, "lineno", None)), _reason(error)))
    try:
        codebase.graph = grimp.build_graph(*dict.fromkeys(packages), cache_dir=None) if packages else None
    except (SourceSyntaxError, UnicodeError) as error:
        file = getattr(error, "filename", None)
        place = Place(None if file is None else Path(file), getattr(error, "lineno", None))
        codebase.without_imports = Unread("", place, _reason(error))
    return codebase


def _reason(error: BaseException) -> str:
    """Why a module cannot be parsed, in one line."""
    said = error.msg if isinstance(error, SyntaxError) else str(error).partition("\n")[0]
    return said[:REASON_MAX] or type(error).__name__


def modules_of_components(partition: Partition, codebase: Codebase) -> Iterator[tuple[Ownership, ModuleSource]]:
    """Each component with each of its modules; with its handlers alone if it shares its module with others."""
    for module, source in codebase.modules.items():
        ownership = partition.of_module(module)
        if ownership is not None:
            yield ownership, source
    for ownership in partition.ownerships:
        if ownership.package is None:
            yield from ((ownership, source) for source in _handlers(ownership))


def _handlers(ownership: Ownership) -> Iterator[ModuleSource]:
    for handler in ownership.component.handlers:
        place = place_of(handler.definition)
        if place.file is None or place.line is None:
            continue
        last = place.line + len(inspect.getsourcelines(handler.definition)[0])
        source = read(handler.definition.__module__, place.file)
        yield replace(source, strings=[string for string in source.strings if place.line <= string.line < last])


def _folders(root: str) -> list[Path]:
    loaded = sys.modules.get(root)
    found = getattr(loaded, "__path__", None) if loaded is not None else None
    if found is None:
        spec = importlib.util.find_spec(root)
        found = spec.submodule_search_locations if spec is not None else None
    return [Path(one) for one in found or ()]


def _file(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return None if file is None else Path(file)
