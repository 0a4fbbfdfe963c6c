"""Where databases and log are.

What code says counts before PRETERITE_… in the environment, before [tool.preterite], before files in `.preterite/`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from preterite.errors import ConfigurationError

DEFAULT_FOLDER = ".preterite"


@dataclass(frozen=True)
class ProjectSettings:
    """What [tool.preterite] in pyproject.toml says."""

    app: str | None = None
    log: str | None = None
    databases: Mapping[str, str] | None = None
    pages: str | None = None


@dataclass(frozen=True)
class _Project:
    """The part of pyproject.toml that is looked at."""

    tool: Mapping[str, Any] = field(default_factory=dict[str, Any])


def read_project(folder: Path) -> ProjectSettings:
    """The settings of the nearest pyproject.toml from this folder upwards; empty if there is none."""
    file = next(
        (parent / "pyproject.toml" for parent in (folder, *folder.parents) if (parent / "pyproject.toml").is_file()),
        None,
    )
    if file is None:
        return ProjectSettings()
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        table = msgspec.convert(content, _Project).tool.get("preterite", {})
        found = msgspec.convert(table, ProjectSettings)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}.") from error
    unknown = set(table) - {"app", "log", "databases", "pages"}
    if unknown:
        raise ConfigurationError(
            f"{file}: [tool.preterite] has no setting {sorted(unknown)[0]!r}; known are app, log, databases, pages."
        )
    return found


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
    """Where the environment says where a component's database is."""
    return f"PRETERITE_{_upper(component)}_URL"


def owner_variable(component: str) -> str:
    """Where it says how the owner of the component's tables reaches it."""
    return f"PRETERITE_{_upper(component)}_OWNER_URL"


def log_url(system: str, given: str | None, environment: Mapping[str, str], project: ProjectSettings) -> str:
    """The URL of the log, by the order of precedence. Pure."""
    return (
        given
        or environment.get("PRETERITE_LOG_URL")
        or project.log
        or f"sqlite:///{DEFAULT_FOLDER}/{system}/log.sqlite"
    )


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")
