"""Where databases and log are.

Arguments in code go before PRETERITE_… in the environment, that before [tool.preterite], that before files in
`.preterite/`.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from preterite.drivers.private_folder import DEFAULT_FOLDER
from preterite.errors import ConfigurationError
from preterite.printing.text import clause

ADMIN_VARIABLE = "PRETERITE_ADMIN_URL"
"""The environment variable with the administrator's URL; on a command line its password is visible to other users."""
LOG_VARIABLE = "PRETERITE_LOG_URL"
"""The environment variable with the URL of the log."""
FILE_BYTES_MAX = 8 * 1024 * 1024
"""Size of a file of a project that is read whole."""
_IS_URL = re.compile(r"PRETERITE_[A-Z0-9_]*_URL")


@dataclass(frozen=True)
class ProjectSettings:
    """The settings in [tool.preterite] of pyproject.toml."""

    app: str | None = None
    """The system that commands work on, as MODULE:ATTR; `--app` goes before it."""
    log: str | None = field(default=None, repr=False)
    """The URL of the log; default: `sqlite:///.preterite/SYSTEM/log.sqlite`."""
    databases: Mapping[str, str] | None = field(default=None, repr=False)
    """The URLs of the databases by component; default: `sqlite:///.preterite/SYSTEM/COMPONENT.sqlite`."""
    pages: str | None = None
    """The composed pages, as MODULE:ATTR, for `preterite pages` and `preterite owner`."""


@dataclass(frozen=True)
class _Project:
    """The part of pyproject.toml that is read."""

    tool: Mapping[str, Any] = field(default_factory=dict[str, Any])


def read_project(folder: Path) -> ProjectSettings:
    """The settings of the nearest pyproject.toml from this folder upwards; empty if there is none."""
    file = next(
        (parent / "pyproject.toml" for parent in (folder, *folder.parents) if (parent / "pyproject.toml").is_file()),
        None,
    )
    if file is None:
        return ProjectSettings()
    if not is_trusted(file.stat().st_uid, folder.stat().st_uid, os.geteuid()):
        raise ConfigurationError(
            f"{file} belongs to another user, who could decide in it which code runs here; it was not read. "
            "Work in a folder with a pyproject.toml of your own, or make this file yours."
        )
    try:
        content = tomllib.loads(read_file(file) or "")
        table = msgspec.convert(content, _Project).tool.get("preterite", {})
        found = msgspec.convert(table, ProjectSettings)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{file} cannot be read: {clause(error)}.") from None
    unknown = set(table) - {"app", "log", "databases", "pages"}
    if unknown:
        raise ConfigurationError(
            f"{file}: [tool.preterite] has no setting {sorted(unknown)[0]!r}; known are app, log, databases, pages."
        )
    return found


def read_file(file: Path) -> str | None:
    """The text of a file of a project, nothing where there is none.

    Raises `ConfigurationError` for what is no file of text, cannot be read, or is larger than `FILE_BYTES_MAX`.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES_MAX + 1)
        if len(content) <= FILE_BYTES_MAX:
            return content.decode()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file} cannot be read: {clause(_said(error))}.") from None
    raise ConfigurationError(f"{file} cannot be read: it is larger than {FILE_BYTES_MAX:,} bytes.")


def write_file(file: Path, text: str) -> None:
    """Write a file of a project; raises `ConfigurationError` if that is not possible."""
    try:
        file.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file} cannot be written: {clause(_said(error))}.") from None


def _said(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def is_trusted(owner: int, folder_owner: int, user: int) -> bool:
    """Whether a user takes settings from a file of this owner: its own, root's, or that of the folder's owner. Pure."""
    return owner in (user, 0, folder_owner)


def database_urls(
    system: str,
    components: Iterable[str],
    given: Mapping[str, str],
    environment: Mapping[str, str],
    project: ProjectSettings,
) -> dict[str, str]:
    """The URL of each component's database, by the order of precedence. Pure."""
    names = list(components)
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ConfigurationError(
            f"databases= names {unknown[0]!r}, which is no component of {system!r}; known are {', '.join(names)}."
        )
    configured = project.databases or {}
    return {
        name: given.get(name)
        or environment.get(url_variable(name))
        or configured.get(name)
        or f"sqlite:///{DEFAULT_FOLDER}/{system}/{name}.sqlite"
        for name in names
    }


def url_variable(component: str) -> str:
    """The environment variable with the URL of a component's database."""
    return f"PRETERITE_{_upper(component)}_URL"


def owner_variable(component: str) -> str:
    """The environment variable with the URL for the owner of the component's tables."""
    return f"PRETERITE_{_upper(component)}_OWNER_URL"


def owner_urls(components: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The URLs for the owners of the components' tables, where the environment has them. Pure."""
    found = {name: environment.get(owner_variable(name)) for name in components}
    return {name: url for name, url in found.items() if url}


def log_variable(component: str) -> str:
    """The environment variable with the log's URL for one component's worker: with rights to its own streams only."""
    return f"PRETERITE_{_upper(component)}_LOG_URL"


def shared_names(components: Iterable[str]) -> list[str]:
    """What is wrong with components whose names share a variable, and with it a role of PostgreSQL. Pure."""
    taken = {ADMIN_VARIABLE: "the administrator", LOG_VARIABLE: "the log", owner_variable("log"): "the log's owner"}
    faults: list[str] = []
    for name in dict.fromkeys(components):
        for variable in (url_variable(name), owner_variable(name), log_variable(name)):
            other = taken.setdefault(variable, repr(name))
            if other != repr(name):
                faults.append(f"{name!r} would share {variable} with {other}; give the component another name.")
    return faults


def worker_environment(component: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a component's worker: of the URLs only its own, and the log's with its own rights. Pure."""
    own = {url_variable(component), LOG_VARIABLE}
    found = {name: value for name, value in environment.items() if name in own or not _IS_URL.fullmatch(name)}
    log = environment.get(log_variable(component))
    return found if log is None else {**found, LOG_VARIABLE: log}


def log_url(system: str, given: str | None, environment: Mapping[str, str], project: ProjectSettings) -> str:
    """The URL of the log, by the order of precedence. Pure."""
    return given or environment.get(LOG_VARIABLE) or project.log or f"sqlite:///{DEFAULT_FOLDER}/{system}/log.sqlite"


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
