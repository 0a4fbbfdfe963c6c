"""Rules about code: what a component imports, names in strings, calls and shares with other components."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from preterite.checks.code.codebase import Codebase
from preterite.checks.code.django_names import check_names, read_names
from preterite.checks.code.modules import ModuleSource
from preterite.checks.findings import Finding, Place
from preterite.checks.partition import Ownership, Partition
from preterite.printing.text import clause


def check_imports(partition: Partition, codebase: Codebase) -> Iterator[Finding]:
    """All findings about code."""
    shared = [one for one in partition.ownerships if one.package is None]
    if shared:
        names = " and ".join(one.name for one in shared)
        message = f"{names} are declared in one module: only the SQL in their handlers is checked."
        yield Finding("module-shared", shared[0].name, names, "declare", message, shared[0].place)
    yield from _unread(partition, codebase)
    if codebase.graph is not None:
        yield from _imports(partition, codebase)
    mapped = _mapped_classes(partition, codebase)
    of_django = read_names(partition, codebase.modules)
    functions = {module: source.functions for module, source in codebase.modules.items()}
    for module, source in codebase.modules.items():
        ownership = partition.of_module(module)
        if ownership is None:
            continue
        yield from _names(partition, ownership, source, codebase, mapped)
        yield from check_names(of_django, ownership, source)
        yield from _calls(partition, ownership, source, functions)
    yield from _shared_state(partition, codebase)


def _unread(partition: Partition, codebase: Codebase) -> Iterator[Finding]:
    """Modules of components that cannot be parsed, and the one because of which no imports are known."""
    for one in codebase.unread:
        ownership = partition.of_module(one.module)
        if ownership is not None:
            message = f"{one.module} of {ownership.name} cannot be parsed: {clause(one.reason)}."
            yield Finding("module-not-understood", ownership.name, one.module, "parse", message, one.place)
    if codebase.without_imports is not None:
        _, place, reason = codebase.without_imports
        message = f"The imports of no module are checked, because one cannot be parsed: {clause(reason)}."
        yield Finding("module-not-understood", "", "imports", "parse", message, place)


def _imports(partition: Partition, codebase: Codebase) -> Iterator[Finding]:
    """Imports of internals, direct and through modules that belong to no component."""
    reached: dict[str, list[tuple[str, ...]]] = {}
    for importer in sorted(codebase.graph.modules):
        ownership = partition.of_module(importer)
        if ownership is None:
            continue
        for imported in sorted(codebase.graph.find_modules_directly_imported_by(importer)):
            other = partition.of_module(imported)
            if other is ownership or partition.is_contract(imported):
                continue
            place = _place_of_import(codebase, importer, imported)
            if other is not None:
                message = f"{ownership.name} imports {imported}, which is internal to {other.name}."
                yield Finding("imports-internals", ownership.name, imported, "import", message, place)
                continue
            if imported not in reached:
                reached[imported] = list(_chains(partition, codebase, imported))
            yield from _indirect(partition, ownership, reached[imported], place)


def _indirect(
    partition: Partition, ownership: Ownership, chains: Iterable[tuple[str, ...]], place: Place
) -> Iterator[Finding]:
    """A finding for each chain to another component; its cause is the last import of the chain."""
    for chain in chains:
        owner = partition.of_module(chain[-1])
        if owner is None or owner is ownership:
            continue
        through = " → ".join(chain[:-1])
        message = f"{ownership.name} imports {through}, which imports {chain[-1]}, internal to {owner.name}."
        yield Finding("imports-indirectly", ownership.name, chain[-1], f"through {chain[-2]}", message, place)


def _chains(partition: Partition, codebase: Codebase, start: str) -> Iterator[tuple[str, ...]]:
    """The shortest chain of imports from a shared module over each import by which it reaches a component's internals.

    Only modules that belong to no component are followed.
    """
    chains: dict[str, tuple[str, ...]] = {start: (start,)}
    waiting = [start]
    while waiting:
        module = waiting.pop(0)
        for imported in sorted(codebase.graph.find_modules_directly_imported_by(module)):
            if imported in chains or partition.is_contract(imported):
                continue
            chain = (*chains[module], imported)
            if partition.of_module(imported) is not None:
                yield chain
            else:
                chains[imported] = chain
                waiting.append(imported)


def _place_of_import(codebase: Codebase, importer: str, imported: str) -> Place:
    details = codebase.graph.get_import_details(importer=importer, imported=imported)
    source = codebase.modules.get(importer)
    return Place(None if source is None else source.file, details[0]["line_number"] if details else None)


def _mapped_classes(partition: Partition, codebase: Codebase) -> dict[str, set[str]]:
    """The components that map a class of this name to a table."""
    found: dict[str, set[str]] = {}
    for module, source in codebase.modules.items():
        ownership = partition.of_module(module)
        if ownership is not None:
            for name in source.mapped:
                found.setdefault(name, set()).add(ownership.name)
    return found


def _names(
    partition: Partition,
    ownership: Ownership,
    source: ModuleSource,
    codebase: Codebase,
    mapped: Mapping[str, set[str]],
) -> Iterator[Finding]:
    """Strings that name an internal module of another component, or one of its classes in a relation."""
    for string in source.strings:
        value = string.value.strip()
        place = Place(source.file, string.line)
        module = _module_in(value, codebase)
        other = None if module is None else partition.of_module(module)
        if module is not None and other is not None and other is not ownership and not partition.is_contract(module):
            message = f"{ownership.name} names {module}, which is internal to {other.name}, in a string."
            yield Finding("names-internals", ownership.name, module, "string", message, place)
        if string.is_relation:
            for name in re.findall(r"\w+", value):
                owners = mapped.get(name, set())
                if owners and ownership.name not in owners:
                    message = f"{ownership.name} declares a relation to {name}, a class of {', '.join(sorted(owners))}."
                    yield Finding("names-internals", ownership.name, name, "relation", message, place)


def _module_in(value: str, codebase: Codebase) -> str | None:
    """The longest module that a dotted name begins with."""
    name = value.replace(":", ".")
    if "." not in name or not all(part.isidentifier() for part in name.split(".")):
        return None
    parts = name.split(".")
    for size in range(len(parts), 1, -1):
        candidate = ".".join(parts[:size])
        if candidate in codebase.modules:
            return candidate
    return None


def _calls(
    partition: Partition, ownership: Ownership, source: ModuleSource, functions: Mapping[str, Iterable[str]]
) -> Iterator[Finding]:
    """Functions in the contracts of other components that are used here."""
    for used in source.imported:
        owner = next((one for one in partition.ownerships if used.module in one.contracts), None)
        if owner is None or owner is ownership or used.name not in functions.get(used.module, ()):
            continue
        message = f"{ownership.name} uses {used.name}, a function in the contracts of {owner.name}."
        place = Place(source.file, used.line)
        yield Finding("calls-contract-function", ownership.name, f"{used.module}.{used.name}", "call", message, place)


def _shared_state(partition: Partition, codebase: Codebase) -> Iterator[Finding]:
    """State in modules that belong to no component and are used by several."""
    changed = {place for source in codebase.modules.values() for place in source.changed}
    for module, source in sorted(codebase.modules.items()):
        if partition.of_module(module) is not None:
            continue
        for name, line in sorted(source.state.items()):
            if name not in source.stateful and (module, name) not in changed:
                continue
            users = sorted(
                {
                    ownership.name
                    for other, other_source in codebase.modules.items()
                    if (ownership := partition.of_module(other)) is not None
                    and _uses(other_source, module, name, source)
                }
            )
            if len(users) > 1:
                message = f"{' and '.join(users)} share {module}.{name}, which is mutable state."
                place = Place(source.file, line)
                yield Finding("shares-state", users[0], f"{module}.{name}", "share", message, place)


def _uses(source: ModuleSource, module: str, name: str, shared: ModuleSource) -> bool:
    """Whether a module imports this name from a shared module, or a function there that uses the name."""
    for used in source.imported:
        if used.module == module and (used.name == name or name in shared.functions.get(used.name, ())):
            return True
    return False
