"""Names of Django: models as `app.Model`, the model of users, and apps in the dependencies of migrations."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from preterite.checks.code.literals import StringLiteral
from preterite.checks.code.modules import DEPENDENCIES, USER_MODEL, ModuleSource
from preterite.checks.findings import Finding, Place
from preterite.checks.partition import Ownership, Partition

_MODEL = re.compile(r"(?P<app>\w+)\.(?P<model>\w+)")


@dataclass
class DjangoNames:
    """The components of apps, by their labels, and of models, by app and name as Django compares them."""

    apps: dict[str, Ownership] = field(default_factory=dict[str, Ownership])
    models: dict[tuple[str, str], Ownership] = field(default_factory=dict[tuple[str, str], Ownership])
    users: Ownership | None = None
    """The component of the model of users; None if it belongs to none."""

    def owner(self, string: StringLiteral) -> Ownership | None:
        """The component of the model or app that a string names; None if it names none."""
        if string.call == DEPENDENCIES:
            return self.apps.get(string.value)
        if string.value == USER_MODEL:
            return self.users
        return self.owner_of_model(string.value) if string.is_relation else None

    def owner_of_model(self, name: str) -> Ownership | None:
        """The component of the model `app.Model`."""
        found = _MODEL.fullmatch(name.strip())
        return None if found is None else self.models.get((found["app"], found["model"].casefold()))


def read_names(partition: Partition, modules: Mapping[str, ModuleSource]) -> DjangoNames:
    """The apps and models of all components; an app is called like its package, unless its configuration says more."""
    names, labels = DjangoNames(), dict[str, str]()
    for source in modules.values():
        if source.app is not None:
            package, label = source.app
            labels[package or _package_of(source)] = label
    users = dict[tuple[str, str], Ownership]()
    for module, source in modules.items():
        ownership, package = partition.of_module(module), _app_of(module)
        if ownership is None or not source.models:
            continue
        for model, own_label in source.models.items():
            label = own_label or labels.get(package) or package.rpartition(".")[2]
            names.apps[label] = ownership
            names.models[label, model.casefold()] = ownership
            if model in source.users:
                users[label, model] = ownership
    set_to = _user_model(modules)
    if set_to is not None:
        names.users = names.owner_of_model(set_to)
    elif len(users) == 1:
        (names.users,) = users.values()
    return names


def _user_model(modules: Mapping[str, ModuleSource]) -> str | None:
    """The model of users in the settings: those of this process, or those in the code if only one model is set."""
    configured: Any = getattr(sys.modules.get("django.conf"), "settings", None)
    if configured is not None and configured.configured:
        return configured.AUTH_USER_MODEL
    found = {source.user_model for source in modules.values()} - {None}
    return found.pop() if len(found) == 1 else None


def _package_of(source: ModuleSource) -> str:
    return source.module if source.file.name == "__init__.py" else source.module.rpartition(".")[0]


def check_names(names: DjangoNames, ownership: Ownership, source: ModuleSource) -> Iterator[Finding]:
    """Strings of a module that name another component's models or apps."""
    for string in source.strings:
        owner = names.owner(string)
        if owner is None or owner is ownership:
            continue
        what = string.value.strip()
        verb = "depends on the migrations of" if string.call == DEPENDENCIES else "names the model"
        shown = f"of users, {what}" if what == USER_MODEL else what
        message = f"{ownership.name} {verb} {shown}, which belongs to {owner.name}."
        place = Place(source.file, string.line)
        yield Finding("names-internals", ownership.name, what, string.call or "string", message, place)


def _app_of(module: str) -> str:
    """The package of the app that a module of models is in."""
    parts = module.split(".")
    return ".".join(parts[: parts.index("models")] if "models" in parts else parts[:-1])
