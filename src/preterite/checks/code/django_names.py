"""Names of Django: models as `app.Model`, and apps in the dependencies of migrations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from preterite.checks.code.modules import DEPENDENCIES, RELATION_CALLS, ModuleSource, StringLiteral
from preterite.checks.findings import Finding, Place
from preterite.checks.partition import Ownership, Partition

_MODEL = re.compile(r"(?P<app>\w+)\.(?P<model>\w+)")


@dataclass
class DjangoNames:
    """The components of apps, by their labels, and of models, by app and name as Django compares them."""

    apps: dict[str, Ownership] = field(default_factory=dict[str, Ownership])
    models: dict[tuple[str, str], Ownership] = field(default_factory=dict[tuple[str, str], Ownership])

    def owner(self, string: StringLiteral) -> Ownership | None:
        """The component of the model or app that a string names; None if it names none."""
        if string.call == DEPENDENCIES:
            return self.apps.get(string.value)
        found = _MODEL.fullmatch(string.value.strip()) if string.call in RELATION_CALLS else None
        return None if found is None else self.models.get((found["app"], found["model"].casefold()))


def read_names(partition: Partition, modules: Mapping[str, ModuleSource]) -> DjangoNames:
    """The apps and models of all components; an app is called like its package, unless its configuration says more."""
    names, labels = DjangoNames(), dict[str, str]()
    for module, source in modules.items():
        if source.app_label is not None:
            labels[module.rpartition(".")[0]] = source.app_label
    for module, source in modules.items():
        ownership, package = partition.of_module(module), _app_of(module)
        if ownership is None or not source.models:
            continue
        for model, own_label in source.models.items():
            label = own_label or labels.get(package) or package.rpartition(".")[2]
            names.apps[label] = ownership
            names.models[label, model.casefold()] = ownership
    return names


def check_names(names: DjangoNames, ownership: Ownership, source: ModuleSource) -> Iterator[Finding]:
    """Strings of a module that name another component's models or apps."""
    for string in source.strings:
        owner = names.owner(string)
        if owner is None or owner is ownership:
            continue
        what = string.value.strip()
        verb = "depends on the migrations of" if string.call == DEPENDENCIES else "names the model"
        message = f"{ownership.name} {verb} {what}, which belongs to {owner.name}."
        place = Place(source.file, string.line)
        yield Finding("names-internals", ownership.name, what, string.call or "string", message, place)


def _app_of(module: str) -> str:
    """The package of the app that a module of models is in."""
    parts = module.split(".")
    return ".".join(parts[: parts.index("models")] if "models" in parts else parts[:-1])
