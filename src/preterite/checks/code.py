"""Rules about code: what components import, name, call and share of one another."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preterite.checks.findings import Finding, Place, place_of
from preterite.checks.partition import Partition, Territory
from preterite.checks.source import RELATION_CALLS, Facts, files, read


@dataclass
class Code:
    """All modules that were read, and who imports whom."""

    facts: Mapping[str, Facts]
    graph: Any
    """Grimp's graph of imports; nothing where the code is no package."""


def read_code(partition: Partition) -> Code:
    """Read every module of the packages in which components live."""
    import grimp

    roots = sorted({(one.home or "").partition(".")[0] for one in partition.territories if one.home} - {""})
    facts: dict[str, Facts] = {}
    packages: list[str] = []
    for root in roots:
        places = _places(root)
        for folder in places:
            packages.append(root)
            facts.update({module: read(module, file) for module, file in files(folder, root)})
        if not places and (file := _file(root)) is not None:
            facts[root] = read(root, file)
    graph = grimp.build_graph(*dict.fromkeys(packages), cache_dir=None) if packages else None
    return Code(facts, graph)


def of_components(partition: Partition, code: Code) -> Iterator[tuple[Territory, Facts]]:
    """The modules of each component; of one that shares its module with others, what its handlers say."""
    for module, facts in code.facts.items():
        territory = partition.of_module(module)
        if territory is not None:
            yield territory, facts
    for territory in partition.territories:
        if territory.home is None:
            yield from ((territory, facts) for facts in _handlers(territory))


def _handlers(territory: Territory) -> Iterator[Facts]:
    for handler in territory.component.handlers:
        place = place_of(handler.function)
        if place.file is None or place.line is None:
            continue
        last = place.line + len(inspect.getsourcelines(handler.function)[0])
        whole = read(handler.function.__module__, place.file)
        yield replace(whole, texts=[text for text in whole.texts if place.line <= text.line < last])


def check_code(partition: Partition, code: Code) -> Iterator[Finding]:
    """All findings about code."""
    untold = [one for one in partition.territories if one.home is None]
    if untold:
        names = " and ".join(one.name for one in untold)
        sentence = f"The code of {names} cannot be told apart but for their handlers: one module declares them."
        yield Finding("code-untold", untold[0].name, names, "declare", sentence, untold[0].place)
    if code.graph is not None:
        yield from _imports(partition, code)
    mapped = _mapped(partition, code)
    functions = {module: facts.functions for module, facts in code.facts.items()}
    for module, facts in code.facts.items():
        territory = partition.of_module(module)
        if territory is None:
            continue
        yield from _names(partition, territory, facts, code, mapped)
        yield from _calls(partition, territory, facts, functions)
    yield from _state(partition, code)


def _places(root: str) -> list[Path]:
    loaded = sys.modules.get(root)
    found = getattr(loaded, "__path__", None) if loaded is not None else None
    if found is None:
        spec = importlib.util.find_spec(root)
        found = spec.submodule_search_locations if spec is not None else None
    return [Path(one) for one in found or ()]


def _file(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return None if file is None else Path(file)


def _imports(partition: Partition, code: Code) -> Iterator[Finding]:
    """Imports of internals, direct and through modules that belong to nobody."""
    for importer in sorted(code.graph.modules):
        territory = partition.of_module(importer)
        if territory is None:
            continue
        for imported in sorted(code.graph.find_modules_directly_imported_by(importer)):
            other = partition.of_module(imported)
            if other is territory or partition.is_contract(imported):
                continue
            if other is not None:
                place = _place_of_import(code, importer, imported)
                sentence = f"{territory.name} imports {imported}, which is inside {other.name}."
                yield Finding("imports-internals", territory.name, imported, "import", sentence, place)
                continue
            for chain in _ways_in(partition, code, imported, territory):
                reached = partition.of_module(chain[-1])
                assert reached is not None, "a way in ends inside a component"
                through = " → ".join(chain[:-1])
                sentence = f"{territory.name} reaches {chain[-1]}, which is inside {reached.name}, through {through}."
                place = _place_of_import(code, importer, imported)
                yield Finding("imports-through", territory.name, chain[-1], f"through {imported}", sentence, place)


def _ways_in(partition: Partition, code: Code, start: str, by: Territory) -> Iterator[tuple[str, ...]]:
    """From a module that belongs to nobody: the shortest way to each foreign module that it reaches through such."""
    ways: dict[str, tuple[str, ...]] = {start: (start,)}
    waiting = [start]
    while waiting:
        module = waiting.pop(0)
        for imported in sorted(code.graph.find_modules_directly_imported_by(module)):
            if imported in ways or partition.is_contract(imported):
                continue
            ways[imported] = (*ways[module], imported)
            other = partition.of_module(imported)
            if other is None:
                waiting.append(imported)
            elif other is not by:
                yield ways[imported]


def _place_of_import(code: Code, importer: str, imported: str) -> Place:
    details = code.graph.get_import_details(importer=importer, imported=imported)
    facts = code.facts.get(importer)
    return Place(None if facts is None else facts.file, details[0]["line_number"] if details else None)


def _mapped(partition: Partition, code: Code) -> dict[str, set[str]]:
    """Which components have a class for a table of this name."""
    found: dict[str, set[str]] = {}
    for module, facts in code.facts.items():
        territory = partition.of_module(module)
        for name in facts.mapped if territory is not None else ():
            assert territory is not None, "only classes of components are looked at"
            found.setdefault(name, set()).add(territory.name)
    return found


def _names(
    partition: Partition, territory: Territory, facts: Facts, code: Code, mapped: Mapping[str, set[str]]
) -> Iterator[Finding]:
    """Strings that are the name of a foreign module, or of a foreign class where relations are told."""
    for text in facts.texts:
        value = text.value.strip()
        module = _module_in(value, code)
        other = None if module is None else partition.of_module(module)
        if module is not None and other is not None and other is not territory and not partition.is_contract(module):
            sentence = f"{territory.name} names {module}, which is inside {other.name}, in a string."
            yield Finding("names-internals", territory.name, module, "string", sentence, Place(facts.file, text.line))
        if text.call in RELATION_CALLS:
            for name in _class_names(value):
                owners = mapped.get(name, set())
                if owners and territory.name not in owners:
                    sentence = f"{territory.name} relates to {name} of {', '.join(sorted(owners))} by its name."
                    place = Place(facts.file, text.line)
                    yield Finding("names-internals", territory.name, name, "relation", sentence, place)


def _module_in(value: str, code: Code) -> str | None:
    """The longest module that a dotted name begins with."""
    name = value.replace(":", ".")
    if "." not in name or not all(part.isidentifier() for part in name.split(".")):
        return None
    parts = name.split(".")
    for size in range(len(parts), 1, -1):
        candidate = ".".join(parts[:size])
        if candidate in code.facts:
            return candidate
    return None


def _class_names(value: str) -> list[str]:
    return [word for word in re.findall(r"\w+", value) if word.isidentifier()]


def _calls(
    partition: Partition, territory: Territory, facts: Facts, functions: Mapping[str, Iterable[str]]
) -> Iterator[Finding]:
    """Functions of another's contracts that are used here."""
    for used in facts.used:
        owner = next((one for one in partition.territories if used.module in one.contracts), None)
        if owner is None or owner is territory or used.name not in functions.get(used.module, ()):
            continue
        sentence = f"{territory.name} uses {used.name}, a function in the contracts of {owner.name}."
        place = Place(facts.file, used.line)
        yield Finding("calls-function", territory.name, f"{used.module}.{used.name}", "call", sentence, place)


def _state(partition: Partition, code: Code) -> Iterator[Finding]:
    """Modules that belong to nobody, hold something that is changed, and are imported by several components."""
    changed = {place for facts in code.facts.values() for place in facts.changed}
    for module, facts in sorted(code.facts.items()):
        if partition.of_module(module) is not None:
            continue
        for name, line in sorted(facts.state.items()):
            if name not in facts.stateful and (module, name) not in changed:
                continue
            users = sorted(
                {
                    territory.name
                    for other, theirs in code.facts.items()
                    if (territory := partition.of_module(other)) is not None and _uses(theirs, module, name, facts)
                }
            )
            if len(users) > 1:
                sentence = f"{' and '.join(users)} share {module}.{name}, which is state."
                yield Finding("shares-state", users[0], f"{module}.{name}", "share", sentence, Place(facts.file, line))


def _uses(facts: Facts, module: str, name: str, shared: Facts) -> bool:
    """Whether a module uses this name of a shared one, or a function of it that works on the name."""
    for used in facts.used:
        if used.module == module and (used.name == name or name in shared.functions.get(used.name, ())):
            return True
    return False
